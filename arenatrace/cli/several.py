"""What subcommands that take several traces have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from arenatrace.cli.findings import findings_code
from arenatrace.cli.notices import print_notices
from arenatrace.errors import ArenatraceError, ExitCode
from arenatrace.trace.folder import collect, trace_directories

if TYPE_CHECKING:
    from arenatrace.trace.folder import Collection


def several(paths: tuple[Path, ...]) -> Collection | None:
    """The traces that ``paths`` name; None if it is one path, and not a folder of several."""
    if len(paths) == 1:
        try:
            if len(trace_directories(paths[0])) == 1:
                return None
        except (ArenatraceError, OSError, ValueError):
            # What is wrong is said by what opens it.
            return None
    found = collect(paths)
    print_notices(found.notices)
    return found


def tell_unreadable(found: Collection) -> None:
    """Name what could not be read, one line each."""
    print_notices(f"left out: {one.error.message}" for one in found.unreadable)


def several_code(found: Collection, faults: int, lost: int) -> ExitCode:
    """The exit code of a look at several traces: INPUT if one of them could not be read."""
    if found.unreadable:
        return ExitCode.INPUT
    sealed = all(member.meta.sealed for member in found.members())
    return findings_code(faults, lost, sealed=sealed)
