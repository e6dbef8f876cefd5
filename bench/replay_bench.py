"""How fast a trace is replayed, against the bare cost of looping over its columns in Python.

    python bench/replay_bench.py [EVENTS]

Two workloads, both made by the model: ``heap`` is what a program with an arena allocator does,
nearly all single pages; ``mixed`` is ``arenatrace synth``, with runs of up to 64 pages, partial
and overlapping frees, reservations and faults. Times are CPU time of one process, best of
three. ``bare`` reads the columns that replay reads into Python lists and loops over the rows.
Memory is the peak of a process that replays, less that of one that replays a tenth.
"""

from __future__ import annotations

import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from arenatrace.cli.replay_columns import COLUMNS
from arenatrace.cli.replay_run import replay_trace
from arenatrace.cli.replay_source import BATCH_ROWS
from arenatrace.cli.synth_trace import write_trace
from arenatrace.model.ops import ArenaFacts
from arenatrace.model.synth import Plan, Recorder, SynthEvent, make, workloads
from arenatrace.trace.reader import Trace, open_trace

_PROFILE = "scratch-replace"
_ROUNDS = 3
_LIVE_PAGES = 2000


def heap(events: int) -> tuple[list[ArenaFacts], Iterator[SynthEvent]]:
    """Single pages that come and go, few of them deferred, and a fault now and then."""
    plan = Plan(seed=1, events=events, arenas=2, profile=_PROFILE, max_entries=1 << 16)
    rng = random.Random(plan.seed)  # noqa: S311 -- the same workload in every run
    recorder = Recorder(plan, rng)
    arenas = workloads(plan, rng, recorder.record)

    def run() -> Iterator[SynthEvent]:
        seq = 0
        for work in arenas:
            work.begin()
        while seq < events:
            work = rng.choice(arenas)
            roll = rng.random()
            room = min(_LIVE_PAGES, work.arena.max_entries // 2)
            if roll < 0.02:
                work.try_prog_touch()
            elif roll < 0.03:
                work.try_drain()
            elif len(work.live) < room and roll < 0.6:
                work.alloc(1)
            else:
                found = work.take_live()
                if found is not None:
                    work.free(*found, sleepable=roll < 0.97)
            for event in recorder.taken():
                yield SynthEvent(**{**vars(event), "seq": seq})
                seq += 1

    return [work.facts for work in arenas], run()


def mixed(events: int) -> tuple[list[ArenaFacts], Iterator[SynthEvent]]:
    """What ``arenatrace synth`` makes."""
    return make(Plan(seed=1, events=events, arenas=2, profile=_PROFILE))


def bare(trace: Trace) -> int:
    """Read the columns and loop over them; how many rows there were."""
    rows = 0
    events = trace.scan("events").select(*COLUMNS)
    while batch := [column.to_list() for column in events.slice(rows, BATCH_ROWS).collect()]:
        if not batch[0]:
            break
        for _ts, _seq, _tid, _kind, _arena, _pgoff, _pages, *_rest in zip(*batch, strict=True):
            rows += 1
    return rows


def replayed(trace: Trace) -> int:
    """Replay in this process; how many events there were. Exits if they are not consistent."""
    result = replay_trace(trace, jobs=1)
    if result.verdict != "consistent":
        sys.exit(f"the replay is {result.verdict}")
    return result.tally.events


def seconds(work: Callable[[Trace], int], path: Path) -> tuple[float, int]:
    """Best CPU time of ``work`` in seconds, and what it returned."""
    best, count = float("inf"), 0
    for _ in range(_ROUNDS):
        trace = open_trace(path)
        start = time.process_time()
        count = work(trace)
        best = min(best, time.process_time() - start)
    return best, count


def _peak_kib(path: Path) -> int:
    replayed(open_trace(path))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Print one line for each workload."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    print(f"{'workload':8} {'events':>9} {'replay':>12} {'bare':>12} {'ratio':>6} {'memory':>9}")
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as directory:
        for name, source in (("heap", heap), ("mixed", mixed)):
            paths = []
            for size in (events, events // 10):
                path = Path(directory) / f"{name}-{size}.atrace"
                facts, made = source(size)
                write_trace(path, facts, made, profile=_PROFILE, note="benchmark")
                paths.append(path)
            took, count = seconds(replayed, paths[0])
            plain, _ = seconds(bare, paths[0])
            peaks = []
            for path in paths:
                with context.Pool(1) as pool:
                    peaks.append(pool.apply(_peak_kib, (path,)))
            print(
                f"{name:8} {count:9,} {count / took:10,.0f}/s {count / plain:10,.0f}/s "
                f"{took / plain:6.2f} {(peaks[0] - peaks[1]) / 1024:+6.1f} MiB"
            )


if __name__ == "__main__":
    main()
