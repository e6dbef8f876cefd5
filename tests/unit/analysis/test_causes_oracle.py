"""Random histories: the analysis agrees with the oracle on every fault and page state."""

from __future__ import annotations

import copy
import os
import random
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arenatrace.analysis.faults import diagnosed_faults
from arenatrace.analysis.pages.address_space import address_space
from arenatrace.trace.reader import Trace, open_trace
from tests.data.random_histories import (
    GAPS,
    ODD_PLACES,
    ODD_RANGES,
    OFFSETS,
    SIZE,
    START,
    USERS,
    WHATS,
    RandomTrace,
    random_trace,
)
from tests.runs import runs
from tests.unit.analysis.oracle.comparison import difference
from tests.unit.analysis.oracle.diagnosis import diagnose
from tests.unit.analysis.oracle.world import page_states

pytestmark = pytest.mark.slow

#: Examples per test. A trace of the second test has ``_ARENAS`` histories.
_EXAMPLES = runs(int(os.environ.get("ARENATRACE_ORACLE_EXAMPLES", "16")))
_ARENAS = 150
#: Arenas per trace, and positions per arena, whose address space is compared.
_MAPPED_ARENAS, _POSITIONS = 8, 3

_operations = st.fixed_dictionaries(
    {
        "gap": st.sampled_from(GAPS),
        "what": st.sampled_from(WHATS),
        "range": st.one_of(
            st.tuples(st.integers(0, SIZE - 1), st.integers(1, 4)), st.sampled_from(ODD_RANGES)
        ),
        "ok": st.sampled_from([True, True, True, False]),
        "tid": st.integers(1, 2),
        "side": st.sampled_from(["kernel", "kernel", "prog"]),
        "already": st.sampled_from([False, False, True]),
        "place": st.one_of(st.integers(0, SIZE - 1), st.sampled_from(ODD_PLACES)),
        "offset": st.sampled_from(OFFSETS),
    }
)
_histories = st.fixed_dictionaries(
    {
        "operations": st.lists(_operations, min_size=3, max_size=40),
        "user": st.sampled_from(USERS),
        "old": st.sampled_from([False, False, True]),
        "destroyed": st.booleans(),
    }
)
_traces = st.fixed_dictionaries(
    {
        "histories": st.lists(_histories, min_size=1, max_size=4),
        "lost": st.lists(
            st.tuples(
                st.integers(START, START + 60_000_000_000),
                st.one_of(st.none(), st.integers(START - 10_000_000_000, START)),
                st.booleans(),
            ),
            max_size=2,
        ),
        "undated_losses": st.sampled_from([False] * 6 + [True]),
        "level": st.sampled_from(["pages"] * 6 + ["faults"]),
        "lacks_user_faults": st.sampled_from([False] * 5 + [True]),
        "sticky": st.sampled_from([False] * 4 + [True]),
        "shuffled": st.booleans(),
    }
)


def _expectations(case: RandomTrace) -> dict[int, Callable[[], dict[str, Any]]]:
    """Return the oracle's answer for each fault by ``seq``, computed on demand."""
    answers: dict[int, Callable[[], dict[str, Any]]] = {}
    for arena in range(len(case.arenas)):
        world = case.world(arena)
        for index, event in enumerate(world.events):
            if event["what"] == "fault":
                answers[event["seq"]] = lambda world=world, index=index: diagnose(world, index)  # type: ignore[misc]
    return answers


def _fault_differences(trace: Trace, case: RandomTrace) -> Iterator[tuple[Any, ...]]:
    answers = _expectations(case)
    rows = list(diagnosed_faults(trace).iter_rows(named=True))
    assert sorted(row["seq"] for row in rows) == sorted(answers)
    assert [row["fault"] for row in rows] == list(range(1, len(rows) + 1))
    for row in rows:
        different = difference(row, answers[row["seq"]]())
        if different:
            yield row["arena"], row["seq"], different, row["cause_evidence"], row["doubt"]


def _state_differences(trace: Trace, case: RandomTrace) -> Iterator[tuple[Any, ...]]:
    """Yield differences between the address spaces of some arenas at some positions."""
    dice = random.Random(2)  # noqa: S311
    arenas = range(len(case.arenas))
    for arena in sorted(dice.sample(arenas, min(_MAPPED_ARENAS, len(arenas)))):
        world = case.world(arena)
        positions = [(e["ts"], e["seq"]) for e in world.events] + [(START, 0), (1 << 62, 0)]
        for before in dice.sample(positions, min(_POSITIONS, len(positions))):
            ranges = address_space(trace, arena, before).iter_rows(named=True)
            found = [
                (page, row["state"], row["sure"])
                for row in ranges
                for page in range(row["first"], row["first"] + row["pages"])
            ]
            expected = page_states(world, arena, before, SIZE)
            if found != expected:
                yield arena, before, found, expected


def _differences(drawn: dict[str, Any]) -> list[tuple[Any, ...]]:
    case = RandomTrace(drawn)
    with tempfile.TemporaryDirectory() as directory:
        trace = open_trace(case.write(directory))
        return [*_fault_differences(trace, case), *_state_differences(trace, case)]


def _shrunk(drawn: dict[str, Any], arena: int) -> dict[str, Any]:
    """Return the trace with that arena alone and only the operations that a difference needs."""
    small = copy.deepcopy(drawn)
    small["histories"] = [drawn["histories"][arena]]
    history = small["histories"][0]
    position = 0
    while position < len(history["operations"]):
        without = history["operations"].pop(position)
        if position < len(history["operations"]):
            history["operations"][position]["gap"] += without["gap"]
        if not _differences(small):
            if position < len(history["operations"]):
                history["operations"][position]["gap"] -= without["gap"]
            history["operations"].insert(position, without)
            position += 1
    return small


_settings = settings(
    max_examples=_EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@_settings
@given(_traces)
def test_analysis_agrees_with_the_oracle(drawn: dict[str, Any]) -> None:
    found = _differences(drawn)
    assert not found, found[0]


@settings(_settings, report_multiple_bugs=False)
@given(st.integers(0, 2**64))
def test_analysis_agrees_with_the_oracle_on_many_arenas(seed: int) -> None:
    drawn = random_trace(random.Random(seed), arenas=_ARENAS, most=80)  # noqa: S311
    found = _differences(drawn)
    if found:
        small = _shrunk(drawn, found[0][0])
        raise AssertionError((_differences(small) or found)[0], small)
