"""Rate and memory of replaying a trace.

    python -m bench.replay_bench [EVENTS ...]

Measured against: a bare Python loop over the same columns.

The model makes two workloads: ``heap`` resembles a program with an arena allocator, nearly all
single pages; ``mixed`` is ``arenatrace synth``, with runs of up to 64 pages, partial and
overlapping frees, reservations and faults. Long traces repeat a block of 250,000 events that
restores the state of its arenas.

``replay`` and ``bare`` are events per second of CPU time in one process, best of three, in turns.
``bare`` reads the same columns into Python lists and loops over the rows; ``ratio`` is the time of
replay over the time of bare. ``peak`` is the resident memory of a process that only replays.
``2 jobs`` is the speed-up of two processes over one in wall time.
"""

from __future__ import annotations

import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from arenatrace.model.synth.event_log import EventLog, Plan, SynthEvent
from arenatrace.model.synth.synthesize import workloads
from arenatrace.model.synth.workload import Workload
from arenatrace.replay.encode import COLUMNS
from arenatrace.replay.run import replay_trace
from arenatrace.replay.synthetic_trace import write_trace
from arenatrace.replay.trace_events import BATCH_ROWS
from arenatrace.schema import Kind
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.reader import Trace, open_trace
from arenatrace.trace.writer import TraceWriter

_PROFILE = "scratch-replace"
_ROUNDS = 3
_LIVE_PAGES = 2000
_BLOCK = 250_000
_FAULTS = (Kind.KERNEL_FAULT, Kind.PROG_FAULT)


def heap_step(work: Workload) -> None:
    """Single pages that come and go, few of them deferred, and a fault now and then."""
    roll = work.rng.random()
    if roll < 0.02:
        work.try_prog_touch()
    elif roll < 0.03:
        work.try_drain()
    elif len(work.live) < min(_LIVE_PAGES, work.arena.max_entries // 2) and roll < 0.6:
        work.alloc(1)
    elif (found := work.take_live()) is not None:
        work.free(*found, sleepable=roll < 0.97)


#: Workload -> pages of its largest arena, and one step of it.
_WORKLOADS: dict[str, tuple[int, Callable[[Workload], None]]] = {
    "heap": (1 << 16, heap_step),
    "mixed": (4096, Workload.step),
}


def write(path: Path, name: str, events: int) -> None:
    """Make a trace of about ``events`` events."""
    pages, step = _WORKLOADS[name]
    plan = Plan(seed=1, events=min(events, _BLOCK), arenas=2, profile=_PROFILE, max_entries=pages)
    rng = random.Random(plan.seed)  # noqa: S311 -- the same workload in every run
    log = EventLog(plan, rng)
    arenas = workloads(plan, rng, log.record)
    for work in arenas:
        work.begin()
    begun = log.take_events()
    block: list[SynthEvent] = []
    while len(block) < plan.events:
        step(rng.choice(arenas))
        # drop faults outside the user range: no free clears them, so a repeated block would differ
        block += [
            one for one in log.take_events() if one.kind not in _FAULTS or _inside(one, arenas)
        ]
    for work in arenas:
        work.drain()
        work.free(0, work.arena.max_entries)
    block += log.take_events()
    numbered = [SynthEvent(**{**vars(one), "seq": seq}) for seq, one in enumerate([*begun, *block])]
    infos = [work.info for work in arenas]
    if events <= _BLOCK:
        write_trace(path, infos, numbered, profile=_PROFILE, note="benchmark")
        return
    once = path.with_suffix(".once")
    write_trace(once, infos, numbered, profile=_PROFILE, note="benchmark")
    _repeat(open_trace(once), path, len(begun), events)


def _inside(event: SynthEvent, arenas: list[Workload]) -> bool:
    return event.pgoff is not None and event.pgoff < arenas[event.arena].arena.max_entries


def _repeat(once: Trace, path: Path, begun: int, events: int) -> None:
    rows = once.scan("events").collect()
    schema = arrow_schema("events")
    length = int(rows["ts_ns"][-1]) - int(rows["ts_ns"][0]) + 1_000_000
    with TraceWriter(path, once.meta) as writer:
        for table in ("programs", "arenas"):
            whole = once.scan(table).collect().to_arrow().cast(arrow_schema(table))
            for batch in whole.to_batches():
                writer.append(table, batch)
        for turn in range(max(1, round(events / (rows.height - begun)))):
            shifted = rows[begun if turn else 0 :].with_columns(
                ts_ns=pl.col("ts_ns") + turn * length,
                seq=pl.col("seq") + turn * rows.height,
            )
            for batch in shifted.to_arrow().cast(schema).combine_chunks().to_batches():
                writer.append("events", batch)


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


def replayed(trace: Trace, jobs: int = 1) -> int:
    """Replay; how many events there were. Exits if they are not consistent."""
    result = replay_trace(trace, jobs=jobs)
    if result.verdict != "consistent":
        sys.exit(f"the replay is {result.verdict}")
    return result.tally.events


def side_by_side(path: Path, rounds: int) -> tuple[int, float, float]:
    """Events, and the best CPU seconds of replay and of the bare loop, turn by turn."""
    count, best = 0, [float("inf")] * 2
    for _ in range(rounds):
        for which, work in enumerate((replayed, bare)):
            trace = open_trace(path)
            start = time.process_time()
            count = work(trace)
            best[which] = min(best[which], time.process_time() - start)
    return count, best[0], best[1]


def _peak_kib(path: Path) -> int:
    replayed(open_trace(path))
    # unlike ru_maxrss not inherited from the process that started this one
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def _wall_s(path: Path, jobs: int, rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        replayed(open_trace(path), jobs)
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    """Print one line for each workload and length."""
    lengths = [int(text.replace(",", "").replace("_", "")) for text in sys.argv[1:]] or [1_000_000]
    print(
        f"{'workload':8} {'events':>11} {'replay':>12} {'bare':>12} {'ratio':>6} {'peak':>9}"
        f" {'2 jobs':>7}"
    )
    context = multiprocessing.get_context("spawn")
    for name in _WORKLOADS:
        for length in lengths:
            rounds = _ROUNDS if length <= 2_000_000 else 1
            with tempfile.TemporaryDirectory() as directory:
                path = Path(directory) / "bench.atrace"
                write(path, name, length)
                count, took, plain = side_by_side(path, rounds)
                with context.Pool(1) as pool:
                    peak = pool.apply(_peak_kib, (path,)) / 1024
                gain = _wall_s(path, 1, rounds) / _wall_s(path, 2, rounds)
            print(
                f"{name:8} {count:11,} {count / took:10,.0f}/s {count / plain:10,.0f}/s "
                f"{took / plain:6.2f} {peak:5.0f} MiB {gain:6.2f}x",
                flush=True,
            )


if __name__ == "__main__":
    main()
