"""Exceptions: each has a one-line message, a hint and a documented exit code."""

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
    #: Internal error (EX_SOFTWARE of sysexits.h).
    INTERNAL = 70


class ArenatraceError(Exception):
    """Error with a one-line ``message`` and a ``hint`` for the user."""

    exit_code: ExitCode = ExitCode.INPUT

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ArenatraceError):
    """The command line is wrong."""

    exit_code = ExitCode.USAGE


class TraceError(ArenatraceError):
    """The input is not a readable trace."""

    exit_code = ExitCode.INPUT


class IncompleteError(ArenatraceError):
    """The output is valid but incomplete, for example after a full disk."""

    exit_code = ExitCode.INCONCLUSIVE


class DiskFullError(IncompleteError):
    """The disk is full, or the quota of the user is exceeded."""


class UnsupportedError(ArenatraceError):
    """This kernel, machine or user does not support the operation."""

    exit_code = ExitCode.UNSUPPORTED
