"""Time and memory of explaining every fault of a large trace.

    pip install -r bench/requirements.txt
    python -m bench.analysis_bench [--sizes 1e6 1e7] [--data DIRECTORY]

Measured against: DuckDB and pandas on the same data, and a plain scan of it by polars.

Sizes are events; 1e8 needs about 1 GB of disk. ``tests/data/generate_trace.py`` makes the traces;
they stay in DIRECTORY. Every contender must give this answer, the generator's ground truth:

    for each fault, in order of time: its cause (use-after-free, out-of-bounds, never-allocated or
    outside-user-range); the last allocation and the last free of its page before it; the nearest
    live page on either side within 8 pages, with its allocation: each with time, first page,
    number of pages, pid, tid, comm, program and stack id.

- ``scan``: no answer: polars reads and sums every column of the events. The lower bound.
- ``arenatrace``: all of ``faults``: the answer, attribution by stacks, source lines, evidence as
  sentences, confidence, consequences and signatures. It verifies checksums and handles deferred
  frees, reservations, user space, refused allocations, losses and races.
- ``duckdb``: the fastest plan that was tried: the pages of all operations, unnested and filtered
  by a semi join, joined with the queries (each page within 8 of a fault, at its time), the latest
  of each kind by aggregation, and the callers fetched for those alone.
- ``duckdb-asof``: ASOF joins of the queries with the operations. Plans without the semi join, or
  that carry the callers along, were slower.
- ``pandas``: ``merge_asof``; up to 1e7 events.
- ``pandas-loop``: a filter of the events for each fault, without callers; up to 1e7 events.

Each contender runs in its own processes, in turns; the best of ``--rounds`` counts; all use two
threads unless ``--threads`` says otherwise. Seconds are wall time and CPU time without imports: on
a busy machine compare CPU time. Memory is the peak of the process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

_PANDAS_LIMIT = 10_000_000


def scan(trace: Path) -> None:
    """Sum every column; of the text column, its codes."""
    import polars as pl

    events = pl.scan_parquet(trace / "events.parquet")
    sums = [
        pl.col(name).to_physical().sum() if dtype == pl.Categorical else pl.col(name).sum()
        for name, dtype in events.collect_schema().items()
    ]
    events.select(sums).collect(engine="streaming")


def arenatrace(trace: Path) -> None:
    """The whole answer, and more."""
    import polars as pl

    from arenatrace.analysis.faults import diagnosed_faults, fault_contract
    from arenatrace.schema import PAGE_SIZE
    from arenatrace.trace.reader import open_trace

    opened = open_trace(trace)
    with opened.reading():
        rows = diagnosed_faults(opened)
        fault_contract(rows.lazy()).collect()
    page, offset = pl.col("page").cast(pl.Int64), pl.col("offset")
    below, above = (pl.col(side).struct.field("distance") for side in ("below", "above"))
    freed = pl.col("cause") == "use-after-free"
    _check(
        rows.select(
            "cause",
            below=page - 1 - below // PAGE_SIZE,
            above=page + (above + offset) // PAGE_SIZE,
            allocated=pl.when(freed).then(pl.col("birth").struct.field("ts_ns")),
            freed=pl.when(freed).then(pl.col("death").struct.field("ts_ns")),
        ).to_dicts(),
        trace,
    )


def _check(answer: list[dict[str, object]], trace: Path) -> None:
    import pyarrow.parquet as pq

    if answer != pq.read_table(trace / "truth.parquet").to_pylist():
        raise SystemExit("not the generator's truth")


def duckdb(trace: Path) -> None:
    """The latest allocation and free of each page by aggregation."""
    from bench.analysis_duckdb import by_aggregation

    _check(by_aggregation(trace), trace)


def duckdb_asof(trace: Path) -> None:
    """The latest allocation and free of each page by ASOF joins."""
    from bench.analysis_duckdb import by_asof

    _check(by_asof(trace), trace)


def pandas(trace: Path) -> None:
    """The latest allocation and free of each page by merge_asof."""
    from bench.analysis_pandas import answer

    _check(answer(trace), trace)


def pandas_loop(trace: Path) -> None:
    """A filter for each fault."""
    from bench.analysis_pandas import answer_in_a_loop

    _check(answer_in_a_loop(trace), trace)


CONTENDERS: dict[str, Callable[[Path], None]] = {
    "scan": scan,
    "arenatrace": arenatrace,
    "duckdb": duckdb,
    "duckdb-asof": duckdb_asof,
    "pandas": pandas,
    "pandas-loop": pandas_loop,
}
_IMPORTS = {
    "scan": "polars",
    "arenatrace": "arenatrace.analysis.faults",
    "duckdb-asof": "duckdb",
    "pandas-loop": "pandas",
}


def _one(name: str, trace: Path) -> None:
    """Run one contender in this process and print what it took."""
    __import__(_IMPORTS.get(name, name))
    start, cpu = time.perf_counter(), time.process_time()
    CONTENDERS[name](trace)
    took, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": took, "cpu": cpu, "peak": peak}))


def _run(name: str, trace: Path, threads: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.analysis_bench", "--one", name, str(trace)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "POLARS_MAX_THREADS": str(threads)},
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _compare(trace: Path, names: list[str], rounds: int, threads: int) -> None:
    """Print a line for each contender, and what the others are to arenatrace."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    # In turns, so that what else the machine does falls on all alike.
    for _ in range(rounds):
        for name in names:
            runs[name].append(_run(name, trace, threads))
    best = {
        name: {key: (max if key == "peak" else min)(run[key] for run in done) for key in done[0]}
        for name, done in runs.items()
    }
    ours = best.get("arenatrace")
    for name, took in best.items():
        line = f"  {name:<12} {took['seconds']:7.2f} s {took['cpu']:7.2f} s CPU"
        line += f" {took['peak']:6.0f} MiB"
        if ours:
            wall, cpu = took["seconds"] / ours["seconds"], took["cpu"] / ours["cpu"]
            line += f"  {wall:5.2f} x {cpu:5.2f} x arenatrace"
        print(line, flush=True)


def main() -> None:
    """Compare all contenders on all sizes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", type=float, default=[1e6, 1e7])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--data", type=Path, default=Path(tempfile.gettempdir()) / "arenatrace-bench"
    )
    parser.add_argument("--only", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        _one(options.one[0], Path(options.one[1]))
        return
    from tests.data.generate_trace import generate

    for size in map(int, options.sizes):
        trace = options.data / f"{size}.atrace"
        if not trace.exists():
            generate(size, trace)
        events = trace / "events.parquet"
        print(f"{size:,} events, {events.stat().st_size >> 20:,} MiB", flush=True)
        names = [n for n in options.only if "pandas" not in n or size <= _PANDAS_LIMIT]
        _compare(trace, names, options.rounds, options.threads)


if __name__ == "__main__":
    main()
