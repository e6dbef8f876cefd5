"""The exception tree: each error is one line, a hint, and a documented exit code."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every subcommand."""

    OK = 0
    FINDINGS = 1
    USAGE = 2
    INPUT = 3
    INCONCLUSIVE = 4
    UNSUPPORTED = 5
    #: A fault of this program (EX_SOFTWARE of sysexits.h).
    INTERNAL = 70


class ArenatraceError(Exception):
    """What went wrong (one line) and the way out (``hint``)."""

    exit_code: ExitCode = ExitCode.INPUT

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ArenatraceError):
    """The command line asks for something that cannot be meant."""

    exit_code = ExitCode.USAGE


class TraceError(ArenatraceError):
    """The input is not a trace, or not one that can be read."""

    exit_code = ExitCode.INPUT


class IncompleteError(ArenatraceError):
    """What was written until now is kept and valid, but it is not all: a full disk."""

    exit_code = ExitCode.INCONCLUSIVE


class DiskFullError(IncompleteError):
    """There is no room on the disk, or none is left of the user's share of it."""


class UnsupportedError(ArenatraceError):
    """This kernel, machine or user cannot do what was asked."""

    exit_code = ExitCode.UNSUPPORTED
