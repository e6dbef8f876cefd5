"""The exit code of a look at faults."""

from __future__ import annotations

from arenatrace.errors import ExitCode


def findings_code(faults: int, lost: int, *, sealed: bool) -> ExitCode:
    """FINDINGS if there are faults; INCONCLUSIVE if none were seen but that proves nothing.

    So it is if events were lost, and in a trace that was never sealed: its recorder still
    runs, or was killed before it could say what it had lost.
    """
    if faults:
        return ExitCode.FINDINGS
    return ExitCode.INCONCLUSIVE if lost or not sealed else ExitCode.OK
