"""A diagnosis from the relevant events equals the diagnosis from all events."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from arenatrace.analysis.faults import diagnosed_faults
from arenatrace.analysis.live import retained
from arenatrace.analysis.live.relevant_events import in_order
from arenatrace.analysis.live.snapshot import WindowSnapshot
from arenatrace.trace.reader import open_trace
from tests.data.feeding import feed
from tests.data.random_histories import RandomTrace, random_trace


def _new(now: WindowSnapshot, rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("fault") > now.retained.last_diagnosed).drop("comm")


@pytest.mark.parametrize("seed", range(6))
def test_relevant_events_give_the_diagnosis_of_all_events(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retained, "MAX_NEW_OPERATIONS", 60)
    monkeypatch.setattr(retained, "MAX_FAULTS", 40)
    case = RandomTrace(random_trace(random.Random(seed), arenas=12, most=40))  # noqa: S311
    now = feed(open_trace(case.write(str(tmp_path))), 37).snapshot()
    every = diagnosed_faults(now.trace(), first=now.retained.evicted_faults + 1)
    assert now.retained.last_diagnosed
    assert len(now.new_faults)
    assert_frame_equal(_new(now, now.diagnosed()), _new(now, every))


def test_in_order_sorts_only_unsorted_rows() -> None:
    one = pl.DataFrame({"ts_ns": [1, 2, 2], "seq": [5, 6, 7]})
    two = pl.DataFrame({"ts_ns": [2, 3], "seq": [7, 1]})
    late = pl.DataFrame({"ts_ns": [2], "seq": [0]})
    assert in_order([one, two]).rows() == [*one.rows(), *two.rows()]
    assert in_order([one, two, late]).rows() == [(1, 5), (2, 0), (2, 6), (2, 7), (2, 7), (3, 1)]
    assert in_order([one.clear(), one.clear()]).is_empty()
