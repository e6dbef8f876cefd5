"""What a user must be told about an import, and about the trace it made."""

from __future__ import annotations

from collections.abc import Sequence

from arenatrace.importers.trace_rows import TraceRows


def notices(rows: TraceRows, damage: Sequence[str]) -> tuple[str, ...]:
    """One sentence for each thing the texts could not say, or said besides faults."""
    said = list(damage)
    for note, number in sorted(rows.notes.items(), key=lambda item: (-item[1], item[0].what)):
        where = f" in program {note.program}" if note.program else ""
        said.append(f"{number:,} x {note.what}{where}")
    if rows.repeated_oopses:
        said.append(f"{rows.repeated_oopses:,} oopses stand in the text twice and count once")
    if rows.unplaced_oopses:
        said.append(
            f"{rows.unplaced_oopses:,} oopses have a BPF program on the stack, but their registers "
            "do not show that the address was an arena's"
        )
    if rows.other_clock:
        said.append(
            f"{rows.other_clock:,} faults have times of another clock than the first one; "
            "of theirs only the order is kept"
        )
    if rows.untimed > rows.other_clock:
        said.append("the text tells no times, faults are in its order")
    if rows.wall_clock:
        said.append("times are of the wall clock: ns since 1970")
    if rows.code.overflow:
        said.append("the text names more code than the tables take: stacks have gaps")
    return tuple(said)
