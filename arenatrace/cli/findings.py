"""The exit code of a look at faults."""

from __future__ import annotations

from arenatrace.errors import ExitCode


def findings_code(faults: int, lost: int) -> ExitCode:
    """FINDINGS if there are faults; INCONCLUSIVE if none were seen but events were lost."""
    if faults:
        return ExitCode.FINDINGS
    return ExitCode.INCONCLUSIVE if lost else ExitCode.OK
