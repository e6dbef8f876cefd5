"""Row limits and eviction of a live recording's tables other than events.

Events are evicted in `window.py`, operations on pages in `last_operations.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

#: Rows of stacks or symbols above which unreferenced old rows are evicted.
MAX_ROWS = 20_000
#: Destroyed arenas or unloaded programs that stay although nothing references them.
MAX_GONE = 500
#: Arenas or programs, gone or not, above which the oldest are evicted.
MAX_LISTED = 5_000
#: Bytes of strings and lists in one table above which the oldest rows are evicted.
MAX_BYTES = 32 << 20

_GONE_AT = {"arenas": "destroy_ts_ns", "programs": "unload_ts_ns"}
_KEYS = {"arenas": "arena", "programs": "prog", "stacks": "stack"}
#: Bytes of one element of a list of structs, without its strings.
_ENTRY_BYTES = 64

Tables = Mapping[str, pl.DataFrame]


def retained_rows(table: str, tables: Tables, needed: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of ``tables[table]`` that stay in memory.

    Referenced rows are evicted last. Arenas and programs that still exist stay longer than
    destroyed ones.

    Args:
        table: name of a table other than events.
        tables: all tables other than events.
        needed: references from retained faults and the operations that explain them, in the
            columns ``arena``, ``prog``, ``stack`` and ``ip``.
    """
    rows = tables[table]
    if table in _GONE_AT:
        rows = _existing_or_new(rows, table, needed)
        if len(rows) > MAX_LISTED:
            rows = _highest_ranked(rows, table, needed, pl.lit(1), MAX_LISTED // 2)
    elif len(rows) > MAX_ROWS:
        is_new = pl.int_range(pl.len()) >= len(rows) - MAX_ROWS // 2
        rows = rows.filter(_is_referenced(table, tables, needed) | is_new)
    # Evicting down to half the limit makes eviction rare: not at every batch.
    size = _bytes(rows)
    if rows.select(size.sum()).item() > MAX_BYTES:
        rows = _highest_ranked(rows, table, needed, size, MAX_BYTES // 2)
    return rows


def _is_referenced(table: str, tables: Tables, needed: pl.DataFrame) -> pl.Expr:
    if table == "symbols":
        frames = tables["stacks"]["frames"].explode()
        used = pl.concat([frames, needed["ip"]]).drop_nulls().unique()
        return pl.col("addr").is_in(used.implode())
    return _is_in(_KEYS[table], needed)


def _is_in(key: str, needed: pl.DataFrame) -> pl.Expr:
    return pl.col(key).is_in(needed[key].drop_nulls().unique().implode())


def _existing_or_new(rows: pl.DataFrame, table: str, needed: pl.DataFrame) -> pl.DataFrame:
    is_gone = pl.col(_GONE_AT[table]).is_not_null()
    if rows.select(is_gone.sum()).item() <= 2 * MAX_GONE:
        return rows
    is_newest = is_gone.cum_sum(reverse=True) <= MAX_GONE
    return rows.filter(~is_gone | _is_in(_KEYS[table], needed) | is_newest)


def _highest_ranked(
    rows: pl.DataFrame, table: str, needed: pl.DataFrame, size: pl.Expr, limit: int
) -> pl.DataFrame:
    """Return the rows of highest rank whose ``size`` adds up to at most ``limit``.

    Referenced rows rank first, then existing objects, then newer rows.
    """
    is_referenced = _is_in(_KEYS[table], needed) if table in _KEYS else pl.lit(value=False)
    exists = pl.col(_GONE_AT[table]).is_null() if table in _GONE_AT else pl.lit(value=True)
    ranked = rows.select(
        is_referenced=is_referenced,
        exists=exists,
        index=pl.int_range(pl.len()),
        size=size.cast(pl.Int64),
    ).sort("is_referenced", "exists", "index", descending=True)
    return rows[ranked.filter(pl.col("size").cum_sum() <= limit)["index"].sort()]


def _bytes(rows: pl.DataFrame) -> pl.Expr:
    """Return the bytes of strings and lists in each row."""
    sizes = [_bytes_of(pl.col(name), dtype) for name, dtype in rows.schema.items()]
    return pl.sum_horizontal(pl.lit(0, pl.Int64), *(size for size in sizes if size is not None))


def _bytes_of(column: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    if isinstance(dtype, pl.String):
        return column.str.len_bytes().cast(pl.Int64)
    if not isinstance(dtype, pl.List):
        return None
    if not isinstance(dtype.inner, pl.Struct):
        return column.list.len().cast(pl.Int64) * 8
    strings = [
        pl.element().struct.field(field.name).str.len_bytes().cast(pl.Int64)
        for field in dtype.inner.fields
        if isinstance(field.dtype, pl.String)
    ]
    return column.list.eval(pl.sum_horizontal(pl.lit(_ENTRY_BYTES), *strings)).list.sum()
