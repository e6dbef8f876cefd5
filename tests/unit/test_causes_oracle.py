"""Random operations: what the analysis says of every fault is what a plain replay says."""

from __future__ import annotations

import os
import random
import re
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arenatrace.analysis.faults import faults
from arenatrace.schema import Kind, Outcome
from arenatrace.trace.meta import Probes
from arenatrace.trace.reader import open_trace
from tests.unit.cause_oracle import BAND, GUARD, PAGE, RACE, Event, World, judge
from tests.unit.trace_builder import KERN, TraceBuilder, sample_meta

#: User addresses of page 0: one where NULL is page 0, one where it lies outside, one where it is
#: the page before page 0.
_USERS = (0x7F00_0000_0000, 0x7F00_1000_0000, 0x7F00_0000_1000)
_SIZE = 6
_ARENAS = 4
_ALL_PROBES = ("arena_alloc_pages", "arena_free_pages", "bpf_arena_reserve_pages")
#: Traces tried of each kind; a trace holds several arenas and up to hundreds of faults.
_EXAMPLES = int(os.environ.get("ARENATRACE_ORACLE_EXAMPLES", "60"))

_GAPS = [0, 1, 700, RACE // 2, RACE, RACE + 1, 10 * RACE, 4_999_999_999, 5_000_000_000]
_WHATS = [
    *["alloc"] * 4, *["free"] * 3, *["free-later"] * 2, *["drain"] * 2,
    *["reserve"] * 2, *["user"] * 3, *["fault"] * 8,
]  # fmt: skip
_ODD_PLACES = ["null", "past", "before", "far", "upper-guard", "lower-guard"]
_OFFSETS = [0, 8, 2048, 4095]

_gaps = st.sampled_from(_GAPS)
_ranges = st.tuples(st.integers(0, _SIZE - 1), st.integers(1, 4))
_whats = st.sampled_from(_WHATS)
_places = st.one_of(
    st.integers(0, _SIZE - 1),
    st.sampled_from(_ODD_PLACES),
)
_operations = st.fixed_dictionaries(
    {
        "arena": st.integers(0, _ARENAS - 1),
        "gap": _gaps,
        "what": _whats,
        "range": _ranges,
        "ok": st.sampled_from([True, True, True, False]),
        "tid": st.integers(1, 2),
        "side": st.sampled_from(["kernel", "kernel", "prog"]),
        "already": st.sampled_from([False, False, True]),
        "place": _places,
        "offset": st.sampled_from(_OFFSETS),
    }
)
_traces = st.fixed_dictionaries(
    {
        "operations": st.lists(_operations, min_size=5, max_size=80),
        "users": st.lists(st.sampled_from(_USERS), min_size=_ARENAS, max_size=_ARENAS),
        "old": st.lists(st.sampled_from([False, False, True]), min_size=_ARENAS, max_size=_ARENAS),
        "destroyed": st.lists(st.booleans(), min_size=_ARENAS, max_size=_ARENAS),
        "lost": st.sampled_from([None, None, None, (3, True), (10, False), (20, True)]),
        "unmarked": st.sampled_from([False] * 6 + [True]),
        "level": st.sampled_from(["pages"] * 6 + ["faults"]),
        "partial": st.sampled_from([False] * 5 + [True]),
    }
)


def _random_trace(dice: random.Random) -> dict[str, Any]:
    """A long trace of the shape of ``_traces``; what strategies draw is short."""
    chance = dice.random

    def operation() -> dict[str, Any]:
        place = dice.randrange(_SIZE) if chance() < 0.8 else dice.choice(_ODD_PLACES)
        return {
            "arena": dice.randrange(_ARENAS),
            "gap": dice.choice(_GAPS if chance() < 0.3 else _GAPS[:5]),
            "what": dice.choice(_WHATS),
            "range": (dice.randrange(_SIZE), dice.choice([1, 1, 1, 2, 3])),
            "ok": chance() < 0.75,
            "tid": dice.randint(1, 2),
            "side": dice.choice(["kernel", "kernel", "prog"]),
            "already": chance() < 0.3,
            "place": place,
            "offset": dice.choice(_OFFSETS),
        }

    return {
        "operations": [operation() for _ in range(dice.randint(50, 400))],
        "users": [dice.choice(_USERS) for _ in range(_ARENAS)],
        "old": [chance() < 0.3 for _ in range(_ARENAS)],
        "destroyed": [chance() < 0.5 for _ in range(_ARENAS)],
        "lost": (dice.randrange(200), chance() < 0.7) if chance() < 0.3 else None,
        "unmarked": chance() < 0.1,
        "level": "faults" if chance() < 0.05 else "pages",
        "partial": chance() < 0.2,
    }


_KINDS = {
    "alloc": Kind.PAGE_ALLOC,
    "free": Kind.PAGE_FREE,
    "free-later": Kind.PAGE_FREE,
    "drain": Kind.FREE_DRAIN,
    "reserve": Kind.PAGE_RESERVE,
    "user": Kind.USER_FAULT,
}


class _Case:
    """One random trace, as rows for the toolkit and as a world for the oracle."""

    def __init__(self, drawn: dict[str, Any]) -> None:
        probes = () if not drawn["partial"] else _ALL_PROBES
        self.builder = TraceBuilder(
            meta=sample_meta(
                level=drawn["level"],
                lost={"ring": 1000} if drawn["unmarked"] else {},
                probes=Probes(attached=probes),
            )
        )
        self._drawn = drawn
        self._ts = 10_000_000_000
        self._events: list[Event] = []
        for number, operation in enumerate(drawn["operations"]):
            if drawn["lost"] and number == drawn["lost"][0]:
                self._lost(matters=drawn["lost"][1])
            self._ts += operation["gap"]
            self._operation(operation)
        self._arenas()

    def world(self) -> World:
        return World(
            self._events,
            self._facts,
            level=self._drawn["level"],
            partial=self._drawn["partial"],
            unmarked=self._drawn["unmarked"],
        )

    def _arenas(self) -> None:
        self._facts = []
        for index, user in enumerate(self._drawn["users"]):
            old = self._drawn["old"][index]
            created = None if old else 9_000_000_000
            destroyed = self._ts + 5 if self._drawn["destroyed"][index] else None
            self.builder.arena(
                user_vm_start=user,
                max_entries=_SIZE,
                preexisting=old,
                create_ts_ns=created,
                destroy_ts_ns=destroyed,
            )
            self._facts.append({"preexisting": old, "created": created, "destroyed": destroyed})

    def _lost(self, *, matters: bool) -> None:
        kind = Kind.PAGE_FREE if matters else Kind.KERNEL_FAULT
        self._row(Kind.LOST, {"arena": None, "what": "lost", "matters": matters}, ret=int(kind))

    def _row(self, kind: Kind, event: Event, **columns: Any) -> None:
        seq = self.builder.event(
            kind, ts_ns=self._ts, arena=event["arena"], tid=event.get("tid"), **columns
        )
        self._events.append({**event, "ts": self._ts, "seq": seq})

    def _operation(self, drawn: dict[str, Any]) -> None:
        if drawn["what"] == "fault":
            self._fault(drawn)
            return
        user = self._drawn["users"][drawn["arena"]]
        first, count = drawn["range"]
        what, ok = drawn["what"], drawn["ok"]
        if what in ("alloc", "reserve"):
            count = min(count, _SIZE - first)
        if what == "user":
            count = 1
        addr = user + first * PAGE
        columns: dict[str, Any] = {"addr": addr, "pgoff": first, "pages": count}
        if what == "alloc":
            columns["ret"] = addr if ok else 0
        elif what == "reserve":
            columns["ret"] = 0 if ok else -16
        elif what == "user":
            columns["outcome"] = int(Outcome.MAPPED if ok else Outcome.SIGSEGV)
            columns["pages"] = None
        elif what in ("free", "free-later"):
            columns["sleepable"] = what == "free"
            # The kernel cuts a free to the user range; the record has what was asked for.
            count = min(count, _SIZE - first)
        elif what == "drain":
            columns = {}
        event = {"what": what, "arena": drawn["arena"], "first": first, "count": count}
        self._row(_KINDS[what], {**event, "ok": ok, "tid": drawn["tid"]}, **columns)

    def _fault(self, drawn: dict[str, Any]) -> None:
        arena = drawn["arena"]
        low = self._drawn["users"][arena] & (BAND - 1)
        place, offset = drawn["place"], drawn["offset"]
        starts = {
            "null": 0,
            "past": (low + _SIZE * PAGE) % BAND,
            "before": (low - PAGE) % BAND,
            "far": (low + 5000 * PAGE) % BAND,
            "upper-guard": BAND + PAGE,
            "lower-guard": -GUARD,
        }
        start = starts[place] if isinstance(place, str) else low + place * PAGE
        inside = 0 <= start < BAND
        page = (start - low) % BAND // PAGE if inside else None
        position = page if page is None or page < BAND // PAGE - 8 else page - BAND // PAGE
        outcome = self._outcome(drawn)
        event = {
            "what": "fault",
            "arena": arena,
            "tid": drawn["tid"],
            "side": drawn["side"],
            "page": page,
            "position": position,
            "offset": offset,
            "size": _SIZE,
            "null": inside and start < PAGE,
            "outcome": outcome.label,
        }
        kind = Kind.KERNEL_FAULT if drawn["side"] == "kernel" else Kind.PROG_FAULT
        addr = KERN + arena * (1 << 33) + start + offset
        self._row(kind, event, addr=addr, pgoff=page, write=False, outcome=int(outcome))

    @staticmethod
    def _outcome(drawn: dict[str, Any]) -> Outcome:
        if drawn["side"] == "prog":
            return Outcome.ZEROED
        return Outcome.ALREADY_MAPPED if drawn["already"] else Outcome.SCRATCH_INSTALLED


def _near_of(row: dict[str, Any]) -> tuple[int | None, int | None]:
    text = "\n".join(row["evidence"])
    below = re.search(r"(\d+) bytes past the end of a live", text)
    above = re.search(r"(\d+) bytes before the start of a live", text)
    return (int(below[1]) if below else None, int(above[1]) if above else None)


_COMPARED = ("cause", "confidence", "ended_by", "lifetime_ns", "user_sigsegv", "allocs_refused")


def _agrees(case: _Case) -> int:
    """Compare every fault of the case; how many there were."""
    world = case.world()
    with tempfile.TemporaryDirectory() as directory:
        trace = open_trace(case.builder.write(Path(directory) / "t", seal=False))
        rows = list(faults(trace).collect().iter_rows(named=True))
    places = [index for index, event in enumerate(world.events) if event["what"] == "fault"]
    assert len(rows) == len(places)
    for row, index in zip(rows, places, strict=True):
        expected = judge(world, index)
        assert {name: row[name] for name in _COMPARED} == {
            name: expected[name] for name in _COMPARED
        }, (index, world.events[index], row["evidence"])
        if row["cause"] in ("never-allocated", "out-of-bounds", "outside-user-range"):
            assert _near_of(row) == expected["near"], (index, row["evidence"])
    return len(rows)


_unhurried = settings(
    max_examples=_EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@_unhurried
@given(_traces)
def test_the_analysis_agrees_with_a_plain_replay(drawn: dict[str, Any]) -> None:
    _agrees(_Case(drawn))


@_unhurried
@given(st.integers(0, 2**32))
def test_the_analysis_agrees_with_a_plain_replay_of_long_traces(seed: int) -> None:
    _agrees(_Case(_random_trace(random.Random(seed))))  # noqa: S311
