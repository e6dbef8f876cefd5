"""Warnings about an import and the trace it wrote."""

from __future__ import annotations

from collections.abc import Sequence

from arenatrace.importers.trace_rows import TraceRows


def import_warnings(rows: TraceRows, damage: Sequence[str]) -> tuple[str, ...]:
    """Return one warning for each gap in the texts and each kind of other report."""
    warnings = list(damage)
    for report, number in sorted(
        rows.other_reports.items(), key=lambda item: (-item[1], item[0].description)
    ):
        where = f" in program {report.program}" if report.program else ""
        warnings.append(f"{number:,} x {report.description}{where}")
    if rows.repeated_oopses:
        warnings.append(f"{rows.repeated_oopses:,} oopses occur twice in the input and count once")
    if rows.unproven_oopses:
        warnings.append(
            f"{rows.unproven_oopses:,} oopses have a BPF program on the stack, but the registers "
            "do not prove that the address is in an arena"
        )
    if rows.other_clock:
        warnings.append(
            f"{rows.other_clock:,} faults have timestamps of another clock than the first fault; "
            "only their order is used"
        )
    if rows.untimed > rows.other_clock:
        warnings.append("No timestamps in the input; faults are in input order.")
    if rows.wall_clock:
        warnings.append("timestamps are wall-clock times: ns since 1970")
    if rows.code.overflow:
        warnings.append("more code in the input than the tables hold: stacks have gaps")
    return tuple(warnings)
