"""Shared by subcommands: warnings on stderr, exit codes, several traces at once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from arenatrace.errors import ArenatraceError, ExitCode
from arenatrace.report.sanitize import harmless
from arenatrace.trace.folder import collect, trace_directories

if TYPE_CHECKING:
    from arenatrace.trace.folder import Collection


def print_warnings(warnings: Iterable[str]) -> None:
    """Print each warning as one line on stderr."""
    for warning in warnings:
        click.echo(f"arenatrace: note: {harmless(warning)}", err=True)


def findings_code(faults: int, lost: int, *, sealed: bool) -> ExitCode:
    """Return FINDINGS if there are faults, INCONCLUSIVE if faults may be missing, else OK.

    Faults may be missing if events were lost, and from an unsealed trace: its recorder still runs,
    or was killed before it wrote its losses.
    """
    if faults:
        return ExitCode.FINDINGS
    return ExitCode.INCONCLUSIVE if lost or not sealed else ExitCode.OK


def collect_several(paths: tuple[Path, ...]) -> Collection | None:
    """Return the traces at ``paths``; None for a single trace."""
    if len(paths) == 1:
        try:
            if len(trace_directories(paths[0])) == 1:
                return None
        except (ArenatraceError, OSError, ValueError):
            # opening the trace reports the error
            return None
    found = collect(paths)
    print_warnings(found.warnings)
    return found


def print_unreadable(found: Collection) -> None:
    """Print one warning for each unreadable trace."""
    print_warnings(f"left out: {one.error.message}" for one in found.unreadable)


def several_code(found: Collection, faults: int, lost: int) -> ExitCode:
    """Return the exit code for several traces: INPUT if one of them could not be read."""
    if found.unreadable:
        return ExitCode.INPUT
    sealed = all(member.meta.sealed for member in found.members())
    return findings_code(faults, lost, sealed=sealed)
