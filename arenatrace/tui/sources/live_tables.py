"""Programs and arenas of a recording under way, with what is counted of them."""

from __future__ import annotations

from typing import Any

import polars as pl

from arenatrace.analysis.fault_counts import COUNTS
from arenatrace.analysis.live.fault_tally import Tally
from arenatrace.analysis.live.window import Recent
from arenatrace.report.units import count

_NONE = dict.fromkeys(("faults", *COUNTS), 0)


def program_rows(programs: pl.DataFrame, tally: Tally) -> list[dict[str, Any]]:
    """As the member ``programs`` of a summary."""
    counts = tally.by("prog_index")
    causes = tally.causes_by_program()
    own = programs["own"].fill_null(value=False)
    relevant = programs.filter(
        (programs["arena"].is_not_null() & ~own) | programs["prog"].is_in(list(counts))
    )
    rows = [
        {
            **row,
            **counts.get(row["prog"], _NONE),
            "causes": causes.get(row["prog"], {}),
        }
        for row in relevant.select("prog", "id", "name", "tag", "type", "arena").to_dicts()
    ]
    return sorted(rows, key=lambda row: (-row["faults"], row["prog"]))


def arena_rows(
    arenas: pl.DataFrame, tally: Tally, operations: pl.DataFrame
) -> list[dict[str, Any]]:
    """As the member ``arenas`` of a summary."""
    counts = tally.by("arena")
    done = {row["arena"]: row for row in operations.to_dicts()}
    nothing = {"allocs": 0, "frees": 0, "reserves": 0}
    rows = [
        {
            **row,
            **counts.get(row["arena"], _NONE),
            **{name: done.get(row["arena"], nothing)[name] for name in nothing},
            "user_vm_start": _hex(row["user_vm_start"]),
            "kern_vm_start": _hex(row["kern_vm_start"]),
        }
        for row in arenas.to_dicts()
    ]
    return sorted(rows, key=lambda row: (-row["faults"], row["arena"]))


def _hex(value: int | None) -> str | None:
    return None if value is None else f"0x{value:x}"


def let_go(recent: Recent) -> list[str]:
    """What to say of rows that are not listed any more; the counts hold, and the trace has all."""
    words = {"arenas": "arena", "programs": "program", "stacks": "call stack"}
    return [
        f"{count(number, words[table])} of long ago not listed until the recording ends"
        for table, number in recent.let_go.items()
        if number
    ]
