"""Which rows of the tables beside the events a recording under way holds on to."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

#: Rows of stacks and symbols beyond which those that nothing held needs are let go.
ROWS = 20_000
#: Arenas and programs that are gone, and that nothing held needs, are kept up to so many.
GONE = 500
#: Arenas and programs, gone or not, beyond which the oldest are let go.
LISTED = 5_000
#: Bytes of texts and lists of one table, beyond which the oldest rows are let go.
BYTES = 32 << 20

_GONE_AT = {"arenas": "destroy_ts_ns", "programs": "unload_ts_ns"}
_KEYS = {"arenas": "arena", "programs": "prog", "stacks": "stack"}
#: Bytes that an entry of a list of structs takes beside its texts.
_ENTRY_BYTES = 64

Tables = Mapping[str, pl.DataFrame]


def kept_rows(table: str, tables: Tables, needed: pl.DataFrame) -> pl.DataFrame:
    """The rows of ``tables[table]`` that are held on to.

    ``needed`` has ``arena``, ``prog``, ``stack`` and ``ip`` of the faults that are held and of
    what explains them: rows that they point at stay as long as there is any other to let go.
    Arenas and programs that are still there stay longer than those that are gone.
    """
    rows = tables[table]
    if table in _GONE_AT:
        rows = _there_or_new(rows, table, needed)
        if len(rows) > LISTED:
            rows = _first_ranked(rows, table, needed, pl.lit(1), LISTED // 2)
    elif len(rows) > ROWS:
        new = pl.int_range(pl.len()) >= len(rows) - ROWS // 2
        rows = rows.filter(_pointed_at(table, tables, needed) | new)
    # letting go in lots: not row by row, at every batch
    size = _bytes(rows)
    if rows.select(size.sum()).item() > BYTES:
        rows = _first_ranked(rows, table, needed, size, BYTES // 2)
    return rows


def _pointed_at(table: str, tables: Tables, needed: pl.DataFrame) -> pl.Expr:
    if table == "symbols":
        frames = tables["stacks"]["frames"].explode()
        used = pl.concat([frames, needed["ip"]]).drop_nulls().unique()
        return pl.col("addr").is_in(used.implode())
    return _is_in(_KEYS[table], needed)


def _is_in(key: str, needed: pl.DataFrame) -> pl.Expr:
    return pl.col(key).is_in(needed[key].drop_nulls().unique().implode())


def _there_or_new(rows: pl.DataFrame, table: str, needed: pl.DataFrame) -> pl.DataFrame:
    gone = pl.col(_GONE_AT[table]).is_not_null()
    if rows.select(gone.sum()).item() <= 2 * GONE:
        return rows
    newest = gone.cum_sum(reverse=True) <= GONE
    return rows.filter(~gone | _is_in(_KEYS[table], needed) | newest)


def _first_ranked(
    rows: pl.DataFrame, table: str, needed: pl.DataFrame, size: pl.Expr, most: int
) -> pl.DataFrame:
    """The rows that matter most, together at most ``most`` of ``size``.

    These are what is needed, then what is still there, then the newest.
    """
    pointed = _is_in(_KEYS[table], needed) if table in _KEYS else pl.lit(value=False)
    there = pl.col(_GONE_AT[table]).is_null() if table in _GONE_AT else pl.lit(value=True)
    place = pl.int_range(pl.len())
    ranked = rows.select(pointed=pointed, there=there, place=place, size=size.cast(pl.Int64))
    ranked = ranked.sort("pointed", "there", "place", descending=True)
    kept = ranked.filter(pl.col("size").cum_sum() <= most)["place"].sort()
    return rows[kept]


def _bytes(rows: pl.DataFrame) -> pl.Expr:
    """Bytes of the texts and lists of each row."""
    sizes = [_bytes_of(pl.col(name), dtype) for name, dtype in rows.schema.items()]
    return pl.sum_horizontal(pl.lit(0, pl.Int64), *(size for size in sizes if size is not None))


def _bytes_of(column: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    if isinstance(dtype, pl.String):
        return column.str.len_bytes().cast(pl.Int64)
    if not isinstance(dtype, pl.List):
        return None
    if not isinstance(dtype.inner, pl.Struct):
        return column.list.len().cast(pl.Int64) * 8
    texts = [
        pl.element().struct.field(field.name).str.len_bytes().cast(pl.Int64)
        for field in dtype.inner.fields
        if isinstance(field.dtype, pl.String)
    ]
    return column.list.eval(pl.sum_horizontal(pl.lit(_ENTRY_BYTES), *texts)).list.sum()
