"""Losses by kind and time stretch, from the counters of the probes and the kernel."""

from __future__ import annotations

from typing import cast

import pytest

from arenatrace.capture.probes.loader import Probes
from arenatrace.capture.probes.losses import _EVENT_OF, Loss, LossCounter
from arenatrace.schema import Kind
from tests.unit.capture.probes.probe_source import probes as probes_of_the_source

ALLOC, FREE = int(Kind.PAGE_ALLOC), int(Kind.PAGE_FREE)


class _Counters:
    """Stand-in for Probes with settable counters."""

    def __init__(self) -> None:
        self.events: dict[int, list[tuple[int, int, int]]] = {}
        self.missed: dict[str, int] = {}
        self.notes: dict[str, int] = {}

    def lost_events(self) -> dict[int, list[tuple[int, int, int]]]:
        """Return losses by kind and CPU."""
        return self.events

    def recursion_misses(self) -> dict[str, int]:
        """Return skipped runs by probe."""
        return dict(self.missed)

    def lost_notes(self) -> dict[str, int]:
        """Return lost notes by label."""
        return self.notes


@pytest.fixture
def counters() -> _Counters:
    return _Counters()


def _counter(counters: _Counters) -> LossCounter:
    return LossCounter(cast(Probes, counters), 1000)


def test_nothing_lost(counters: _Counters) -> None:
    counter = _counter(counters)
    assert counter.poll(2000) == []
    assert (counter.totals, counter.skipped) == ({}, {})


def test_losses_of_all_cpus_are_joined(counters: _Counters) -> None:
    counter = _counter(counters)
    counters.events = {ALLOC: [(3, 1100, 1500), (0, 0, 0), (4, 1050, 1400)]}
    assert counter.poll(2000) == [Loss(ALLOC, 7, 1050, 1500)]
    assert counter.poll(3000) == []
    counters.events = {ALLOC: [(5, 3100, 3200), (0, 0, 0), (4, 1050, 1400)], FREE: [(1, 9, 9)]}
    assert counter.poll(4000) == [Loss(ALLOC, 2, 3100, 3200), Loss(FREE, 1, 9, 9)]
    assert counter.totals == {"page_alloc": 9, "page_free": 1}


def test_loss_during_a_poll_is_not_dated_before_it(counters: _Counters) -> None:
    """The probe dates it into the previous stretch and keeps the first time of that stretch."""
    counter = _counter(counters)
    counters.events = {ALLOC: [(3, 1100, 1500)]}
    counter.poll(2000)
    counters.events = {ALLOC: [(4, 1100, 1999)]}
    assert counter.poll(3000) == [Loss(ALLOC, 1, 1500, 1999)]


def test_skipped_probe_run_is_a_loss_since_the_last_poll(counters: _Counters) -> None:
    name = "kretfunc__vmlinux__arena_alloc_pages"
    counters.missed = {name: 5}
    counter = _counter(counters)
    counters.missed = {name: 7, "kfunc__vmlinux__page_fault_oops": 1}
    assert counter.poll(2000) == [Loss(ALLOC, 2, 1000, 2000)]
    counters.missed = {name: 8, "kfunc__vmlinux__page_fault_oops": 1}
    assert counter.poll(3000) == [Loss(ALLOC, 1, 2000, 3000)]
    assert counter.totals == {"page_alloc": 3, "missed by kfunc__vmlinux__page_fault_oops": 1}
    assert counter.skipped == {name: 3, "kfunc__vmlinux__page_fault_oops": 1}


def test_overflows_and_skipped_runs_add_up(counters: _Counters) -> None:
    counter = _counter(counters)
    counters.missed = {"kfunc__vmlinux__arena_free_pages": 1}
    counters.events = {FREE: [(2, 1100, 1200)]}
    assert counter.poll(2000) == [Loss(FREE, 2, 1100, 1200), Loss(FREE, 1, 1000, 2000)]
    assert counter.totals == {"page_free": 3}


def test_unknown_kind_is_named_by_its_number(counters: _Counters) -> None:
    counter = _counter(counters)
    counters.events = {31: [(2, 1100, 1200)]}
    counters.notes = {"notes": 3}
    assert counter.poll(2000) == [Loss(31, 2, 1100, 1200)]
    assert counter.totals == {"31": 2, "notes": 3}


def test_every_probe_that_sends_events_has_its_kind() -> None:
    names = {f"{probe.type.lower()}__vmlinux__{probe.function}" for probe in probes_of_the_source()}
    assert set(_EVENT_OF) <= names
