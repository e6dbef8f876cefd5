"""While a recording runs the map replays the states of the newest operations, and says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from arenatrace.analysis.live import retained
from arenatrace.analysis.pages.address_space import address_space
from arenatrace.schema import Kind
from arenatrace.trace.reader import open_trace
from arenatrace.tui.app import ArenatraceApp
from arenatrace.tui.sources.following import FollowSource
from arenatrace.tui.views.map import MapView
from arenatrace.tui.widgets.histogram import Histogram
from tests.data.feeding import feed
from tests.data.trace_builder import USER
from tests.tui.drive import SAMPLES, Driver, drive
from tests.tui.growing import Growing

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("name", "fresh"), [("one-program", 30), ("two-programs", 4)])
def test_states_within_the_window_equal_those_of_the_complete_trace(
    name: str, fresh: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the scratch pages of faults that are not listed any more."""
    monkeypatch.setattr(retained, "MAX_FAULTS", 5)
    monkeypatch.setattr(retained, "MAX_NEW_OPERATIONS", fresh)
    trace = open_trace(SAMPLES / f"{name}.atrace")
    recent = feed(trace, 4)
    now = recent.snapshot()
    since_ns = now.retained.complete_since_ns
    assert since_ns is not None
    assert now.retained.evicted_faults
    times = trace.scan("events").collect()["ts_ns"].to_numpy()
    later = np.unique(times[times >= since_ns])
    assert len(later) >= 3
    looked_at = 0
    for arena in trace.scan("arenas").collect()["arena"]:
        for ts_ns in [*later[:: max(1, len(later) // 10)], int(times[-1]) + 1]:
            position = (int(ts_ns), 0)
            complete = address_space(trace, arena, position)
            assert address_space(now.state_trace(), arena, position).equals(complete)
            looked_at += len(complete)
    assert looked_at > 8


def test_slider_covers_the_window_and_names_the_evicted_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retained, "MAX_NEW_OPERATIONS", 4)
    path = tmp_path / "run.atrace"
    growing = Growing(path)

    async def script(driver: Driver) -> None:
        view = driver.app.query_one(MapView)
        await driver.see("growing_arena")
        for number in range(3):
            for page in range(5):
                growing.use_after_free(page + 1)
            growing.flush()
            await driver.see(f"{5 * (number + 1)} arena faults")
            await driver.until(lambda: driver.app.drawn is not None)
            await driver.pilot.pause(1.5)
        last = 9
        builder = growing.builder
        builder.event(
            Kind.PAGE_ALLOC, arena=growing.arena, pages=1, ret=USER + last * 4096, pgoff=last
        )
        growing.flush()
        await driver.press("3")
        screen = await driver.see("growing_arena · 16 pages", "· now ·", "◂ before", "on the disk")
        assert "at the end" not in screen
        await driver.until(lambda: view.picture is not None and view.picture.state(last) != "free")
        await driver.press("comma")
        await driver.until(lambda: view.picture is not None and view.picture.state(last) == "free")
        await driver.press("b", "left_square_bracket")
        await driver.see("earlier states are on the disk")
        assert driver.app.drawn is not None
        assert view.position[0] >= (driver.app.drawn.since_ns or 0) > 0

    drive(ArenatraceApp(FollowSource(path)), script)


@pytest.mark.parametrize(
    ("unlisted", "label"),
    [(0, "faults over time, from 0 s"), (9, "the newest faults, from 2.000 s")],
)
def test_histogram_starts_at_the_first_listed_fault(unlisted: int, label: str) -> None:
    faults = pl.DataFrame({"ts_ns": [3_000_000_000, 4_000_000_000]})
    histogram = Histogram(id="histogram")
    histogram.show(faults, 1_000_000_000, 3_000_000_000, unlisted)
    first, last = histogram.render().plain.splitlines()
    assert last.endswith("3.000 s")
    assert label in last
    assert "█" in first
