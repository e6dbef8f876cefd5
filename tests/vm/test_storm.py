"""Storms of allocations on both CPUs: no loss with room in the ring, exact counts of loss."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from arenatrace.schema import Kind
from arenatrace.trace.reader import open_trace
from tests.vm.lab.lab import Lab
from tests.vm.recordings import arenatrace, status_of

STORM = Path(__file__).parent / "workloads" / "storm"
#: Pairs at default settings; docs/recording.md has the run with ARENATRACE_VM_PAIRS=1000000.
PAIRS = int(os.environ.get("ARENATRACE_VM_PAIRS") or "100000")

_JOB = Path(__file__).parent / "guest_jobs" / "storm.sh"
BUILD = "make BUILD=/job/build KVER=$LAB_KERNEL"


@dataclass(frozen=True)
class Storm:
    """A recording of a storm, with the storm's own account."""

    trace: Path
    truth: dict[str, Any]
    status: int
    log: str

    def produced(self) -> Counter[Kind]:
        """Return the operations of the storm, by kind of event."""
        total: Counter[str] = Counter(self.truth["ticks"])
        for cpu in self.truth["cpus"]:
            total += Counter({name: cpu[name] for name in ("allocs", "frees", "reserves")})
            total["touches"] += cpu["touches"]
        return Counter(
            {
                Kind.PAGE_ALLOC: total["allocs"],
                Kind.PAGE_FREE: total["frees"],
                Kind.PAGE_RESERVE: total["reserves"],
                Kind.PROG_FAULT: total["touches"],
            }
        )

    def captured(self) -> Counter[Kind]:
        """Return the recorded events by kind."""
        rows = self.events().group_by("kind").len().iter_rows()
        return Counter({Kind(kind): count for kind, count in rows})

    def lost(self) -> Counter[Kind]:
        """Return the lost events by kind, from the trace's loss rows."""
        rows = self.losses().group_by("ret").agg(pl.col("pages").sum()).iter_rows()
        return Counter({Kind(kind): count for kind, count in rows})

    def losses(self) -> pl.DataFrame:
        """Return the loss rows."""
        return self.events().filter(pl.col("kind") == int(Kind.LOST))

    def events(self) -> pl.DataFrame:
        """Return all events."""
        return open_trace(self.trace).scan("events").collect()


@pytest.fixture(scope="module")
def storms(lab: Lab) -> dict[str, Storm]:
    """All storms of one boot."""
    built = lab.prepare(STORM, BUILD)
    result = lab.run(
        f"sh files/{_JOB.name} files/{built.name}/build/storm {PAIRS}",
        files=[built, _JOB],
        timeout=260 + PAIRS / 2000,
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}\n{result.console[-3000:]}"
    left = result.out_dir
    return {
        name: Storm(
            left / f"{name}.atrace",
            json.loads((left / f"{name}.json").read_text()),
            int((left / f"{name}.rc").read_text()),
            (left / f"{name}.log").read_text(),
        )
        for name in ("default", "tiny", "stacks", "unmapped")
    }


def test_default_settings_lose_nothing(
    storms: dict[str, Storm], figures: Callable[[str], None]
) -> None:
    storm = storms["default"]
    captured, produced = storm.captured(), storm.produced()
    size = (storm.trace / "events.parquet").stat().st_size / len(storm.events())
    pace = sum(cpu["allocs"] * 1e9 / cpu["wall_ns"] for cpu in storm.truth["cpus"])
    figures(f"{PAIRS:,} pairs on {len(storm.truth['cpus'])} CPUs, {pace:,.0f} a second:")
    for kind in (Kind.PAGE_ALLOC, Kind.PAGE_FREE):
        figures(f"  {kind.label}: {produced[kind]:,} done, {captured[kind]:,} recorded")
    figures(f"  {size:.1f} bytes of events.parquet per event")
    assert storm.status == 0, storm.log
    assert "nothing lost" in storm.log
    assert produced[Kind.PAGE_ALLOC] >= PAIRS
    assert {kind: captured[kind] for kind in produced} == dict(produced)
    assert captured[Kind.LOST] == 0
    assert size < 12


def test_stacks_of_two_cpus_are_not_mixed_up(
    storms: dict[str, Storm], figures: Callable[[str], None]
) -> None:
    """Each CPU runs its own copy of the program, with one call site for each kind of operation."""
    storm = storms["stacks"]
    assert "nothing lost" in storm.log
    line = re.search(r"stacks: ([\d,]+) recognised .*, ([\d,]+) walked", storm.log)
    assert line is not None, storm.log
    recognised, walked = (int(number.replace(",", "")) for number in line.groups())
    figures(f"stacks on two CPUs: {recognised:,} recognised, {walked:,} walked")
    assert recognised > 10 * walked
    kinds = (Kind.PAGE_ALLOC, Kind.PAGE_FREE, Kind.PAGE_RESERVE)
    rows = storm.events().filter(pl.col("kind").is_in([int(kind) for kind in kinds]))
    assert rows["stack"].null_count() == 0
    call_sites = rows.select("tid", "kind", "stack").unique()
    assert len(call_sites) == len(kinds) * len(storm.truth["cpus"])
    assert call_sites["stack"].n_unique() == len(call_sites)
    # the functions of a kind of operation are the same on both CPUs; the addresses differ
    trace = open_trace(storm.trace)
    names = dict(trace.scan("symbols").select("addr", "name").collect().iter_rows())
    stacks = dict(trace.scan("stacks").select("stack", "frames").collect().iter_rows())
    named_stacks = {
        (kind, tuple(names[frame] for frame in stacks[stack]))
        for _, kind, stack in call_sites.iter_rows()
    }
    assert {kind for kind, _ in named_stacks} == {int(kind) for kind in kinds}
    assert len(named_stacks) == len(kinds)
    for _, frames in named_stacks:
        assert any(name.endswith("_storm") for name in frames[:2])
        assert "__sys_bpf" in frames


def test_events_name_the_cpu_of_the_operation(storms: dict[str, Storm]) -> None:
    storm = storms["default"]
    allocs = storm.events().filter(pl.col("kind") == int(Kind.PAGE_ALLOC))
    per_cpu = dict(allocs.group_by("cpu").len().iter_rows())
    assert per_cpu == {cpu["cpu"]: cpu["allocs"] for cpu in storm.truth["cpus"]}
    refused = allocs.filter(pl.col("ret") == 0).height
    assert refused == sum(cpu["refused"] for cpu in storm.truth["cpus"])


def test_events_are_in_order_and_name_the_task(storms: dict[str, Storm]) -> None:
    events = storms["default"].events()
    assert events["ts_ns"].is_sorted()
    assert sorted(events["seq"]) == list(range(len(events)))
    work = events.filter(pl.col("kind").is_in([int(Kind.PAGE_ALLOC), int(Kind.PAGE_FREE)]))
    assert set(work["comm"].cast(pl.String)) == {"storm"}


def test_recorded_and_lost_events_add_up(
    storms: dict[str, Storm], figures: Callable[[str], None]
) -> None:
    storm = storms["tiny"]
    produced, captured, lost = storm.produced(), storm.captured(), storm.lost()
    figures("a ring of 64 KiB: kind, done, recorded, lost")
    for kind, count in produced.items():
        figures(f"  {kind.label}: {count:,}, {captured[kind]:,}, {lost[kind]:,}")
    for kind, count in produced.items():
        assert lost[kind] > 0
        assert captured[kind] + lost[kind] == count
    assert storm.status == 4
    meta = open_trace(storm.trace).meta
    assert {kind.label: count for kind, count in lost.items()}.items() <= meta.lost.items()
    assert f"{lost[Kind.PAGE_ALLOC]:,} page_alloc" in storm.log


def test_probes_skipped_by_the_kernel_are_reported(storms: dict[str, Storm]) -> None:
    meta = open_trace(storms["tiny"].trace).meta
    assert any("skipped by the kernel" in notice for notice in meta.notices), meta.notices


def test_losses_have_the_time_when_they_happened(storms: dict[str, Storm]) -> None:
    storm = storms["tiny"]
    events, meta = storm.events(), open_trace(storm.trace).meta
    for since, until in storm.losses().select("since_ts_ns", "ts_ns").iter_rows():
        assert meta.start_ts_ns <= since <= until <= meta.end_ts_ns
    # the recorder reads the loss counters every second; the guest may delay it
    spans = (storm.losses()["ts_ns"] - storm.losses()["since_ts_ns"]).to_list()
    assert max(spans) < 5_000_000_000
    for kind in (Kind.PAGE_ALLOC, Kind.PAGE_FREE):
        # the largest row is the one of the full ring: skipped probes have their own rows
        since, *_ = (
            storm.losses().filter(pl.col("ret") == int(kind)).sort("pages")["since_ts_ns"][-1:]
        )
        early = events.filter((pl.col("kind") == int(kind)) & (pl.col("ts_ns") < since))
        # no loss before the ring is full
        assert early.height > 100


def _gaps(storm: Storm) -> list[dict[str, Any]]:
    """Return faults with a loss between the last recorded operation on the page and the fault."""
    stretches = list(storm.losses().select("since_ts_ns", "ts_ns").iter_rows())
    pages = storm.events().filter(pl.col("kind").is_in([int(Kind.PAGE_ALLOC), int(Kind.PAGE_FREE)]))
    known = {
        (arena, page): sorted(group["ts_ns"])
        for (arena, page), group in pages.group_by(["arena", "pgoff"])
    }
    uaddr = storm.events().filter(pl.col("kind") == int(Kind.PROG_FAULT))
    arena_at = dict(uaddr.select("ts_ns", "arena").iter_rows())
    found = []
    for line in arenatrace("faults", storm.trace, "--json").splitlines():
        fault = json.loads(line)
        before = known.get((arena_at[fault["ts_ns"]], fault["page"]), [])
        last = max((ts for ts in before if ts <= fault["ts_ns"]), default=0)
        if any(since < fault["ts_ns"] and last < until for since, until in stretches):
            found.append(fault)
    return found


def test_causes_that_rest_on_a_lossy_stretch_are_not_certain(storms: dict[str, Storm]) -> None:
    storm = storms["tiny"]
    status, output = status_of("replay", storm.trace, "--json")
    assert (status, json.loads(output)["verdict"]) == (4, "inconclusive")
    summary = json.loads(arenatrace("summary", storm.trace, "--json"))
    assert summary["totals"]["lost"] >= sum(storm.lost().values())
    faults = _gaps(storm)
    assert faults
    for fault in faults:
        assert fault["confidence"] != "certain", fault
        assert any("lost" in text for text in fault["evidence"]), fault
    assert "lost" in arenatrace("explain", storm.trace, str(faults[0]["fault"]))


def test_unmapped_rings_record_the_same(storms: dict[str, Storm]) -> None:
    storm = storms["unmapped"]
    captured, produced = storm.captured(), storm.produced()
    assert {kind: captured[kind] for kind in produced} == dict(produced)
    assert "nothing lost" in storm.log
    assert storm.status == 0, storm.log
    (notice,) = [each for each in open_trace(storm.trace).meta.notices if "mapped" in each]
    assert storm.log.count(notice) >= 1
    faults = [json.loads(line) for line in arenatrace("faults", storm.trace, "--json").splitlines()]
    assert {fault["attribution"] for fault in faults} == {"agreed"}
