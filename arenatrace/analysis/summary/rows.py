"""Rows of programs and arenas in a summary, of a finished trace and of a live recording alike."""

from __future__ import annotations

from typing import Any

import polars as pl

from arenatrace.analysis.fault_counts import COUNTS
from arenatrace.analysis.text_columns import formatted

Row = dict[str, Any]

_OPERATIONS = ("allocs", "frees", "reserves")


def program_rows(programs: pl.LazyFrame, counts: pl.LazyFrame, causes: pl.DataFrame) -> list[Row]:
    """Return the programs that use an arena or faulted, most faults first.

    The recorder's own programs are left out unless one of them is blamed.

    Args:
        programs: the table ``programs``.
        counts: rows of ``fault_counts`` by ``prog_index``.
        causes: rows of ``fault_counts.causes``.
    """
    relevant = pl.col("faults").is_not_null() | (
        pl.col("arena").is_not_null() & ~pl.col("own").fill_null(value=False)
    )
    rows = (
        programs.select("prog", "id", "name", "tag", "type", "arena", "own")
        .join(counts.rename({"prog_index": "prog"}), on="prog", how="left")
        .filter(relevant)
        .with_columns(pl.col("faults", *COUNTS).fill_null(0))
        .sort("faults", "prog", descending=[True, False])
        .select("prog", "id", "name", "tag", "type", "arena", "faults", *COUNTS)
        .collect()
    )
    return [
        {**row, "causes": dict(_of_program(causes, row["prog"]).iter_rows())}
        for row in rows.iter_rows(named=True)
    ]


def _of_program(causes: pl.DataFrame, prog: int) -> pl.DataFrame:
    return causes.filter(pl.col("prog_index") == prog).select("cause", "count")


def arena_rows(arenas: pl.LazyFrame, counts: pl.LazyFrame, activity: pl.LazyFrame) -> list[Row]:
    """Return one row per arena, most faults first; addresses are hex strings.

    Args:
        arenas: the table ``arenas``.
        counts: rows of ``fault_counts`` by ``arena``.
        activity: rows of ``totals.arena_totals``.
    """
    rows = (
        arenas.select(
            "arena",
            "map_id",
            "name",
            "max_entries",
            formatted("0x{}", _hex("user_vm_start")).alias("user_vm_start"),
            formatted("0x{}", _hex("kern_vm_start")).alias("kern_vm_start"),
            "preexisting",
            "create_ts_ns",
            "destroy_ts_ns",
        )
        .join(counts, on="arena", how="left")
        .join(activity.select("arena", *_OPERATIONS), on="arena", how="left")
        .with_columns(pl.col("faults", *COUNTS, *_OPERATIONS).fill_null(0))
        .sort("faults", "arena", descending=[True, False])
    )
    return rows.collect().to_dicts()


def _hex(column: str) -> pl.Expr:
    """Hex digits of an address column; arenas are few, so Python makes them."""
    return pl.col(column).map_elements(lambda value: f"{value:x}", return_dtype=pl.String)


def cause_counts(causes: pl.DataFrame) -> dict[str, int]:
    """Return the faults of each cause, most frequent first, from rows of ``fault_counts.causes``.

    Of equally frequent causes the one that is most frequent in a single program comes first.
    """
    summed = causes.group_by("cause", maintain_order=True).agg(pl.col("count").sum())
    return dict(summed.sort("count", descending=True, maintain_order=True).iter_rows())
