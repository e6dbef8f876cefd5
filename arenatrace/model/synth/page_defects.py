"""Impossible allocations, frees and reservations. Each function emits its wrong event last.

A function returns False if the arena is not in a suitable state yet.
"""

from __future__ import annotations

from arenatrace.model.kernel.arena import BAND_PAGES
from arenatrace.model.synth.workload import Workload
from arenatrace.schema import Kind


def live_page(work: Workload) -> bool:
    """An allocation returns a page that is in use."""
    page = work.alloc(1)
    if page >= 0:
        work.alloc_event(page, 1, 0, work.uaddr(page))
    return page >= 0


def worse_fit(work: Workload) -> bool:
    """An allocation returns free pages that are not the best fit."""
    by_size = work.arena.free.by_size()
    if not by_size or by_size[0][1] < 4 * by_size[-1][1]:
        return False
    # The range is larger than the best fit, so the order of equal ranges cannot explain it.
    work.alloc_event(by_size[0][0], 1, 0, work.uaddr(by_size[0][0]))
    return True


def outside(work: Workload) -> bool:
    """An allocation returns pages above the user range."""
    page = work.arena.max_entries
    work.alloc_event(page, 1, 0, work.uaddr(page))
    return True


def reserved_page(work: Workload) -> bool:
    """An allocation returns a reserved page."""
    page = work.arena.find_pages(None, 1)
    if page < 0:
        return False
    work.reserve(page, 1)
    work.alloc_event(page, 1, 0, work.uaddr(page))
    return True


def deferred_page(work: Workload) -> bool:
    """An allocation returns a page whose free still waits for the worker."""
    page = work.alloc(1)
    if page < 0:
        return False
    work.free(page, 1, sleepable=False)
    work.alloc_event(page, 1, 0, work.uaddr(page))
    return True


def lost_alloc(work: Workload) -> bool:
    """An allocation is missing, and the next one does not get its page."""
    # With one free range, no other order of earlier events explains it.
    work.free(0, work.arena.max_entries)
    work.live.clear()
    page = work.arena.find_pages(None, 1)
    if page < 0:
        return False
    work.arena.allocate(page, 1)
    return work.alloc(1) >= 0


def lost_free(work: Workload) -> bool:
    """A free is missing, and its page is handed out again."""
    page = work.alloc(1)
    if page < 0:
        return False
    work.arena.release(page, 1)
    return work.alloc(1, page) >= 0


def misaligned_alloc(work: Workload) -> bool:
    """An allocation succeeds at an address that is not page-aligned."""
    page = work.arena.find_pages(None, 1)
    if page < 0:
        return False
    work.alloc_event(page, 1, work.uaddr(page) + 8, work.uaddr(page))
    return True


def bad_node(work: Workload) -> bool:
    """An allocation succeeds on an impossible NUMA node."""
    page = work.arena.find_pages(None, 1)
    if page < 0:
        return False
    work.alloc_event(page, 1, 0, work.uaddr(page), node=-2)
    return True


def reserve_live(work: Workload) -> bool:
    """A page in use is reserved."""
    page = work.alloc(1)
    if page >= 0:
        work.reserve_event(page, 1, 0)
    return page >= 0


def reserve_inside(work: Workload) -> bool:
    """A reservation inside the user range fails as out of range."""
    work.reserve_event(work.some_page(), 1, -22)
    return True


def reserve_outside(work: Workload) -> bool:
    """A reservation outside the user range succeeds."""
    work.reserve_event(work.arena.max_entries, 1, 0)
    return True


def zero_alloc(work: Workload) -> bool:
    """An allocation of no pages."""
    work.alloc_event(None, 0, 0, 0)
    return True


def zero_free(work: Workload) -> bool:
    """A free of no pages."""
    work.free_event(work.some_page(), 0)
    return True


def bad_page(work: Workload) -> bool:
    """A free has a page number above that of any arena."""
    page = work.some_page()
    work.event(Kind.PAGE_FREE, pgoff=BAND_PAGES + 5, pages=1, addr=work.uaddr(page), sleepable=True)
    return True


def after_destroy(work: Workload) -> bool:
    """An allocation in a destroyed arena."""
    page = work.arena.find_pages(None, 1)
    if page < 0:
        return False
    work.end()
    work.alloc_event(page, 1, 0, work.uaddr(page))
    return True
