"""Keyed tables: several rows about one key become one."""

from __future__ import annotations

import polars as pl

from arenatrace.schema import KEYED


def merge_rows(table: str, rows: pl.LazyFrame) -> pl.LazyFrame:
    """One row per key of ``table``, in key order; in each column the last non-null value wins.

    A recorder learns an arena's map id or a program's unload time after it first wrote the
    row; it appends what it learned. Tables without a key come back as they are.
    """
    key = KEYED.get(table)
    if key is None:
        return rows
    return (
        rows.group_by(key, maintain_order=True)
        .agg(pl.all().drop_nulls().last())
        .sort(key)
        .select(rows.collect_schema().names())
    )
