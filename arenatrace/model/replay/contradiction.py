"""An event that cannot have happened as recorded, and the words for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Contradiction:
    """What the model expected, what the trace has, and why both cannot be."""

    expected: str
    observed: str
    explanation: str
    #: Something that leaves no event would explain it: never a divergence by itself.
    excusable: bool = False
    #: Pages whose earlier events decide it, (first, count): (0, 0) if no order of events would
    #: make it possible, None if every event of the arena counts.
    pages: tuple[int, int] | None = (0, 0)
    #: It is about the pages' being free or not, rather than about their page table entries.
    of_free_set: bool = False


def page_range_text(page: int, count: int) -> str:
    """The pages, in a sentence."""
    return f"page {page}" if count == 1 else f"pages {page} to {page + count - 1}"


def excusable(expected: str, observed: str) -> Contradiction:
    """A contradiction that a failure without an event would explain."""
    return Contradiction(
        expected, observed, "only a lack of memory or a failed lock explains it", True, None
    )


def zero_length(function: str) -> Contradiction:
    """``function`` got a count of 0."""
    return Contradiction(
        "at least one page", "0 pages", f"{function} is never reached with a count of 0"
    )


def bad_page(what: str) -> Contradiction:
    """The page number of ``what`` cannot be."""
    return Contradiction(
        "a page that belongs to its address",
        "an impossible page number",
        f"the page, the address and the result of {what} do not belong together",
    )


def over_scratch(page: int, count: int, observed: str) -> Contradiction:
    """An allocation over scratch that this profile refuses."""
    return Contradiction(
        "refused (-EBUSY inside)",
        observed,
        "a page of the range is scratched, and this kernel does not allocate over scratch",
        pages=(page, count),
    )
