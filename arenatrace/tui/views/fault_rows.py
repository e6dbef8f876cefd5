"""Columns and cells of the fault list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from arenatrace.report.units import since
from arenatrace.tui import labels
from arenatrace.tui.widgets.row_table import Cell, Column

#: Columns of single faults, and of signatures.
FAULTS = (
    Column("fault", "#", 10, right=True, rank=9),
    Column("time", "time", 16, right=True, rank=4),
    Column("side", "side", 6, rank=3),
    Column("cause", "cause", 18, rank=8),
    Column("program", "program", 20, rank=7),
    Column("place", "line", 24, rank=10),
    Column("outcome", "outcome", 17, rank=2),
    Column("page", "page", 9, right=True, rank=2),
    Column("task", "task", 16, rank=1),
    Column("text", "source", 24, flexible=True, rank=6),
)
GROUPS = (
    Column("count", "faults", 11, right=True, rank=9),
    Column("oopses", "oopses", 8, right=True, rank=3),
    Column("cause", "cause", 18, rank=8),
    Column("first", "first", 16, right=True, rank=2),
    Column("last", "last", 16, right=True, rank=2),
    Column("title", "access", 48, flexible=True, rank=10),
)


def fault_cells(row: Mapping[str, Any], start_ns: int) -> list[Cell]:
    """Return the cells of one fault; the recording began at ``start_ns``."""
    task = row["task"]
    return [
        (str(row["fault"]), "dim"),
        (since(row["ts_ns"], start_ns), ""),
        (row["side"] or "?", ""),
        labels.cause_cell(row["cause"]),
        (labels.program_name(row["prog"]), ""),
        (labels.location(row), "bold"),
        (row["outcome"] or "?", labels.OUTCOME_STYLE.get(row["outcome"], "")),
        ("" if row["page"] is None else str(row["page"]), ""),
        (f"{task['comm'] or '?'} {task['tid'] or ''}", "dim"),
        (labels.source_text(row) or row["title"], "dim"),
    ]


def group_cells(row: Mapping[str, Any], start_ns: int) -> list[Cell]:
    """Return the cells of one signature; the recording began at ``start_ns``."""
    oopses = row["oopses"]
    return [
        (f"{row['count']:,}", "bold"),
        (f"{oopses:,}" if oopses else "", "bold red"),
        labels.cause_cell(row["cause"]),
        (since(row["first_ts_ns"], start_ns), ""),
        (since(row["last_ts_ns"], start_ns), ""),
        (row["title"], ""),
    ]
