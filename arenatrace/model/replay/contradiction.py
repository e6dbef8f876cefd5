"""Contradictions between an event and the state of its arena."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Contradiction:
    """Expected and observed result of an event, and why they exclude each other."""

    expected: str
    observed: str
    explanation: str
    #: A cause that leaves no event would explain it. Never a divergence by itself.
    excusable: bool = False
    #: Pages whose earlier events decide it, (first, count). (0, 0) if it holds in any order of
    #: events, None if every event of the arena counts.
    pages: tuple[int, int] | None = (0, 0)
    #: It concerns the free set. If not, it concerns page table entries.
    of_free_set: bool = False


def page_range_text(page: int, count: int) -> str:
    """Return the pages as text."""
    return f"page {page}" if count == 1 else f"pages {page} to {page + count - 1}"


def excusable(expected: str, observed: str) -> Contradiction:
    """Return a contradiction that a cause without an event would explain."""
    return Contradiction(
        expected, observed, "only a lack of memory or a failed lock explains it", True, None
    )


def zero_length(function: str) -> Contradiction:
    """Return the contradiction of a call of ``function`` with a count of 0."""
    return Contradiction(
        "at least one page", "0 pages", f"{function} is never called with a count of 0"
    )


def bad_page(what: str) -> Contradiction:
    """Return the contradiction of an impossible page number in ``what``."""
    return Contradiction(
        "the page of the address",
        "an impossible page number",
        f"the page, the address and the result of {what} do not match",
    )


def over_scratch(page: int, count: int, observed: str) -> Contradiction:
    """Return the contradiction of an allocation over scratch that this profile refuses."""
    return Contradiction(
        "refused (-EBUSY inside)",
        observed,
        "a page of the range is scratched, and this kernel does not allocate over scratch",
        pages=(page, count),
    )
