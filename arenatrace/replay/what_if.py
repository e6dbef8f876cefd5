"""Send the requests of a trace to another kernel profile."""

from __future__ import annotations

from arenatrace.model.kernel.profiles import profile_named
from arenatrace.model.what_if import ArenaWhatIf, WhatIf
from arenatrace.replay.survey import survey_trace
from arenatrace.replay.trace_events import segments
from arenatrace.trace.reader import Trace


def what_if_trace(trace: Trace, recorded: str, profile: str) -> WhatIf:
    """Return the events of ``trace`` that differ under ``profile``.

    Args:
        trace: The trace.
        recorded: Name of the profile of the recorded kernel.
        profile: Name of the profile to compare with.

    Raises:
        UsageError: No profile is called ``profile``.
        polars.exceptions.PolarsError: A file of the trace is damaged.
    """
    other = profile_named(profile)
    survey = survey_trace(trace)
    result = WhatIf(other.name, recorded)
    arenas = {
        arena: ArenaWhatIf(survey.arenas[arena], other, result)
        for arena in sorted(survey.event_counts)
    }
    for arena, segment in segments(trace, survey, sorted(arenas)):
        arenas[arena].feed(segment)
    result.differences.sort(key=lambda difference: difference.seq)
    return result
