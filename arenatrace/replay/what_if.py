"""What another generation of the kernel would have done with the requests of a trace."""

from __future__ import annotations

from arenatrace.model.kernel.profiles import profile_named
from arenatrace.model.what_if import ArenaWhatIf, WhatIf
from arenatrace.replay.survey import survey
from arenatrace.replay.trace_events import segments
from arenatrace.trace.reader import Trace


def what_if_trace(trace: Trace, recorded: str, profile: str) -> WhatIf:
    """The requests of ``trace``, a recording of ``recorded``, under ``profile``.

    Raises UsageError for an unknown profile and what polars raises for a damaged file.
    """
    other = profile_named(profile)
    found = survey(trace)
    result = WhatIf(other.name, recorded)
    arenas = {
        arena: ArenaWhatIf(found.facts[arena], other, result) for arena in sorted(found.sizes)
    }
    for arena, segment in segments(trace, found, sorted(arenas)):
        arenas[arena].feed(segment)
    result.differences.sort(key=lambda difference: difference.seq)
    return result
