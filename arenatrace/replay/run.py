"""Replay a whole trace and reach a verdict."""

from __future__ import annotations

from arenatrace.model.kernel.profiles import AUTO, profile_named
from arenatrace.model.replay.tally import Tally
from arenatrace.model.replay.verdict import ReplayResult
from arenatrace.replay.processes import replay_arenas
from arenatrace.replay.profile_choice import replay_under_profile
from arenatrace.replay.survey import Survey, survey_trace
from arenatrace.schema import Kind, Level
from arenatrace.trace.losses import has_probe
from arenatrace.trace.reader import Trace

#: Operations that change the state of an arena, by their key in ``PAGE_PROBES``.
_NEEDED = {
    "page allocations": "allocations",
    "page frees": "frees",
    "faults of user space": "user faults",
}


def replay_trace(trace: Trace, profile: str = AUTO, jobs: int | None = None) -> ReplayResult:
    """Replay ``trace`` against the model of the kernel's arena.

    Args:
        trace: The trace.
        profile: Name of a profile. ``auto`` takes the profile that the trace proves.
        jobs: Most processes used. The default is one per CPU that this process may use.

    Raises:
        UsageError: No profile has this name.
        polars.exceptions.PolarsError: A file of the trace is damaged.
    """
    wanted = None if profile == AUTO else profile_named(profile)
    survey = survey_trace(trace)
    choice = replay_under_profile(
        wanted, survey.hints, lambda chosen: replay_arenas(trace, survey, chosen, jobs)
    )
    result = choice.result
    return ReplayResult(
        choice.profile.name,
        choice.evidence,
        result.tally,
        result.divergences,
        _inconclusive_reasons(trace, survey, result.tally),
    )


def _inconclusive_reasons(trace: Trace, survey: Survey, tally: Tally) -> list[str]:
    """Return why the trace proves nothing if no event diverges."""
    meta = trace.meta
    reasons = []
    if meta.level == Level.FAULTS:
        reasons.append("recorded at level faults: there are no page_alloc events to replay")
    filters = [f"--{kind}" for kind in ("program", "cgroup") if meta.filters.get(kind)]
    if filters:
        reasons.append(f"recorded with {' and '.join(filters)}: events of other tasks are missing")
    if meta.probes.attached:
        missing = [what for what, operation in _NEEDED.items() if not has_probe(meta, operation)]
        if missing:
            reasons.append(f"not recorded: {', '.join(missing)}")
    elif meta.level != Level.FAULTS and not survey.kinds.get(Kind.PAGE_ALLOC) and _faults(survey):
        reasons.append("there are faults but no page_alloc events to replay")
    if survey.untimed_losses:
        reasons.append(f"{survey.untimed_losses} event(s) were lost at unknown times")
    elif survey.lossy:
        reasons.append("events were lost: the state after each loss is unknown")
    if tally.unsettled:
        reasons.append(f"no order was found for {tally.unsettled} event(s) of overlapping threads")
    return reasons or _empty_reasons(tally)


def _empty_reasons(tally: Tally) -> list[str]:
    """Return why a complete trace still proves nothing."""
    if not tally.events:
        return ["the trace has no event of an arena: there is nothing to replay"]
    if tally.unknown == tally.events:
        return ["every arena is older than the trace: no state is known"]
    return []


def _faults(survey: Survey) -> int:
    return survey.kinds.get(Kind.KERNEL_FAULT, 0) + survey.kinds.get(Kind.PROG_FAULT, 0)
