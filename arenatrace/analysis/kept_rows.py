"""Which rows of the tables beside the events a recording under way holds on to."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

#: Rows of stacks and symbols beyond which those that nothing held needs are let go.
ROWS = 20_000
#: Arenas and programs that are gone, and that nothing held needs, are kept up to so many.
GONE = 500

_GONE_AT = {"arenas": "destroy_ts_ns", "programs": "unload_ts_ns"}

Tables = Mapping[str, pl.DataFrame]


def kept_rows(table: str, tables: Tables, faults: pl.DataFrame) -> pl.DataFrame:
    """The rows of ``tables[table]`` that are held on to while ``faults`` are.

    Of arenas and programs all that are still there stay, however many they are.
    """
    rows = tables[table]
    if table in _GONE_AT:
        return _there_or_new(rows, table, faults)
    if len(rows) <= ROWS:
        return rows
    new = pl.int_range(pl.len()) >= len(rows) - ROWS // 2
    if table == "stacks":
        return rows.filter(pl.col("stack").is_in(faults["stack"].implode()) | new)
    if table == "symbols":
        frames = tables["stacks"]["frames"].explode()
        used = pl.concat([frames, faults["ip"]]).drop_nulls().unique()
        return rows.filter(pl.col("addr").is_in(used.implode()) | new)
    return rows.tail(ROWS)


def _there_or_new(rows: pl.DataFrame, table: str, faults: pl.DataFrame) -> pl.DataFrame:
    gone = pl.col(_GONE_AT[table]).is_not_null()
    # letting go in lots: not row by row, at every batch
    if rows.select(gone.sum()).item() <= 2 * GONE:
        return rows
    key = "arena" if table == "arenas" else "prog"
    needed = pl.col(key).is_in(faults[key].drop_nulls().unique().implode())
    newest = gone.cum_sum(reverse=True) <= GONE
    return rows.filter(~gone | needed | newest)
