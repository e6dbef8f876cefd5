"""Reasons: the rules behind the causes. Several reasons can have one cause."""

from __future__ import annotations

from enum import StrEnum

import polars as pl

from arenatrace.schema import Cause


class Reason(StrEnum):
    """The rule that decided the cause of a fault."""

    NULL_PAGE = "null-page"
    GUARD_BAND = "guard-band"
    OUTSIDE_USER_RANGE = "outside-user-range"
    #: The address lies in no arena with a known address and size.
    UNKNOWN_ARENA = "unknown-arena"
    #: The handler found the page mapped, and the mapping is recorded.
    MAPPED_DURING_FAULT = "mapped-during-fault"
    #: The handler found a scratch page that was installed long before: a stale translation.
    STALE_TRANSLATION = "stale-translation"
    #: The handler found the page mapped, and no mapping is recorded.
    MAPPED_UNRECORDED = "mapped-unrecorded"
    #: The trace has no page history.
    NO_HISTORY = "no-history"
    FREE_QUEUED = "free-queued"
    #: The page was mapped just before the fault was reported.
    JUST_MAPPED = "just-mapped"
    #: The trace says that the page was mapped.
    CONTRADICTION = "contradiction"
    RESERVED = "reserved"
    #: A free removed the scratch page of an earlier fault.
    SCRATCH_FREED = "scratch-freed"
    #: Another task freed the page just before the fault.
    JUST_FREED = "just-freed"
    FREED = "freed"
    #: Another task mapped the page just after the fault.
    MAPPED_NEXT = "mapped-next"
    #: A free of the page is recorded, but no mapping before it.
    FREED_UNRECORDED_MAPPING = "freed-unrecorded-mapping"
    #: The arena is older than the recording, and no operation on the page is recorded.
    PREEXISTING_ARENA = "preexisting-arena"
    OUT_OF_BOUNDS = "out-of-bounds"
    NEVER_ALLOCATED = "never-allocated"

    @property
    def cause(self) -> Cause:
        """The cause that follows from this reason."""
        return _CAUSES[self]


_CAUSES = {
    Reason.NULL_PAGE: Cause.NULL_PAGE,
    Reason.GUARD_BAND: Cause.GUARD_BAND,
    Reason.OUTSIDE_USER_RANGE: Cause.OUTSIDE_USER_RANGE,
    Reason.UNKNOWN_ARENA: Cause.UNKNOWN,
    Reason.MAPPED_DURING_FAULT: Cause.ALLOC_RACE,
    Reason.STALE_TRANSLATION: Cause.REFAULT,
    Reason.MAPPED_UNRECORDED: Cause.ALLOC_RACE,
    Reason.NO_HISTORY: Cause.UNKNOWN,
    Reason.FREE_QUEUED: Cause.FREE_RACE,
    Reason.JUST_MAPPED: Cause.ALLOC_RACE,
    Reason.CONTRADICTION: Cause.UNKNOWN,
    Reason.RESERVED: Cause.RESERVED_GUARD,
    Reason.SCRATCH_FREED: Cause.REFAULT,
    Reason.JUST_FREED: Cause.FREE_RACE,
    Reason.FREED: Cause.USE_AFTER_FREE,
    Reason.MAPPED_NEXT: Cause.ALLOC_RACE,
    Reason.FREED_UNRECORDED_MAPPING: Cause.USE_AFTER_FREE,
    Reason.PREEXISTING_ARENA: Cause.UNKNOWN,
    Reason.OUT_OF_BOUNDS: Cause.OUT_OF_BOUNDS,
    Reason.NEVER_ALLOCATED: Cause.NEVER_ALLOCATED,
}


def reason_is(*reasons: Reason) -> pl.Expr:
    """Whether the column ``reason`` is one of ``reasons``."""
    return pl.col("reason").is_in([reason.value for reason in reasons])


def cause_of_reason() -> pl.Expr:
    """The cause of the column ``reason``."""
    causes = {reason.value: reason.cause.value for reason in Reason}
    return pl.col("reason").replace_strict(causes, return_dtype=pl.String)
