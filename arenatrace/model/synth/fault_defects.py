"""Impossible faults. Each function emits its wrong event last and returns True.

A function returns False if the arena is not in a suitable state yet.
"""

from __future__ import annotations

from arenatrace.model.kernel.profiles import BPF_F_SEGV_ON_FAULT
from arenatrace.model.kernel.pte import Pte
from arenatrace.model.synth.workload import Workload
from arenatrace.schema import PAGE_SIZE, Kind, Outcome


def other_page(work: Workload) -> bool:
    """The page number differs from the page of the address."""
    page = work.some_page()
    work.event(
        Kind.USER_FAULT, pgoff=page ^ 1, addr=work.uaddr(page), ret=0, outcome=Outcome.MAPPED
    )
    return True


def scratch_over_page(work: Workload) -> bool:
    """Scratch is installed on a page in use."""
    page = work.alloc(1)
    if page >= 0:
        work.kernel_event(page, Outcome.SCRATCH_INSTALLED)
    return page >= 0


def mapped_nowhere(work: Workload) -> bool:
    """A kernel fault finds an empty page mapped."""
    page = _empty_page(work)
    if page is not None:
        work.kernel_event(page, Outcome.ALREADY_MAPPED)
    return page is not None


def oops_recoverable(work: Workload) -> bool:
    """A kernel fault oopses although the handler must recover it."""
    page = _empty_page(work)
    if page is not None:
        work.kernel_event(page, Outcome.OOPS)
    return page is not None


def recovered_in_guard(work: Workload) -> bool:
    """A kernel fault in the lower guard is recovered."""
    start = work.info.kern_vm_start or 0
    work.event(
        Kind.KERNEL_FAULT,
        addr=start - 2 * PAGE_SIZE,
        write=False,
        outcome=Outcome.SCRATCH_INSTALLED,
        prog=work.info.arena,
    )
    return True


def recovered_early(work: Workload) -> bool:
    """A kernel fault is recovered by a kernel that has no scratch pages."""
    page = _empty_page(work, Pte.NONE, Pte.GARBAGE)
    if page is not None:
        work.kernel_event(page, Outcome.SCRATCH_INSTALLED)
    return page is not None


def user_scratch(work: Workload) -> bool:
    """User space maps a scratched page."""
    page = _empty_page(work)
    if page is None:
        return False
    work.kernel_touch(page)
    work.user_event(page, Outcome.MAPPED)
    return True


def user_refused(work: Workload) -> bool:
    """User space gets SIGSEGV for a page in use."""
    page = work.alloc(1)
    if page >= 0:
        work.user_event(page, Outcome.SIGSEGV)
    return page >= 0


def user_filled(work: Workload) -> bool:
    """A user fault fills a page of an arena with BPF_F_SEGV_ON_FAULT."""
    if not work.info.map_flags & BPF_F_SEGV_ON_FAULT:
        return False
    page = _empty_page(work, Pte.NONE, Pte.GARBAGE)
    if page is not None:
        work.user_event(page, Outcome.MAPPED)
    return page is not None


def prog_on_page(work: Workload) -> bool:
    """A program faults on a page in use."""
    page = work.alloc(1)
    if page >= 0:
        work.prog_event(page)
    return page >= 0


def prog_store_zeroed(work: Workload) -> bool:
    """A program's store is zeroed, or its load is ignored."""
    page = _empty_page(work)
    if page is not None:
        work.prog_event(page, right=False)
    return page is not None


def sticky_replaced(work: Workload) -> bool:
    """An allocation replaces scratch on a kernel that refuses it."""
    page = work.arena.find_pages(None, 1)
    if page < 0 or work.arena.state(page) != Pte.NONE:
        return False
    work.kernel_touch(page)
    work.alloc_event(page, 1, 0, work.uaddr(page))
    return True


def _empty_page(work: Workload, *states: Pte) -> int | None:
    """Return an empty page, freed again so that its state does not depend on the worker."""
    empty = states or (Pte.NONE,)
    for _ in range(200):
        page = work.rng.randrange(work.arena.max_entries)
        if work.arena.state(page) in empty:
            work.free(page, 1)
            return page
    return None
