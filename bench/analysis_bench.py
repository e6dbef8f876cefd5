"""How fast every fault of a large trace is explained, against other ways on the same data.

    pip install -r bench/requirements.txt
    python bench/analysis_bench.py [--sizes 1e6 1e7] [--data DIRECTORY]

Sizes are events; 1e8 needs about 4 GB of disk. Traces are made by ``generate_trace.py`` and kept
in DIRECTORY. Each contender runs in a process of its own, best of ``--rounds``:

- ``scan``: polars reads every column of the events and sums it: the floor.
- ``arenatrace``: all of ``faults``: attribution, causes, evidence, near allocations, consequences.
- ``duckdb``: the last allocation and the last free that cover each faulting page, by ASOF joins
  over the pages of the operations, unnested and filtered by a semi join. Less than ``faults``.
- ``pandas``: the same by ``merge_asof``; up to 1e7 events.

Times are of the wall, with imports left out; memory is the peak of the whole process. Every
answer is held against the generator's truth.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

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
    """The whole answer, compared with the truth."""
    import polars as pl

    from arenatrace.analysis.faults import faults
    from arenatrace.trace.reader import open_trace

    opened = open_trace(trace)
    with opened.reading():
        rows = faults(opened).collect()
    truth = pl.read_parquet(trace / "truth.parquet")
    found = rows["cause"].replace("out-of-bounds", "never-allocated")
    if found.to_list() != truth["cause"].to_list():
        raise SystemExit("arenatrace: not the generator's causes")


def _freed_last(trace: Path, freed: list[bool]) -> None:
    import pyarrow.parquet as pq

    truth = pq.read_table(trace / "truth.parquet")["cause"].to_pylist()
    if freed != [cause == "use-after-free" for cause in truth]:
        raise SystemExit("not the generator's causes")


def duckdb(trace: Path) -> None:
    """Allocation and free before each fault, by ASOF joins."""
    import duckdb as db

    file = str(trace / "events.parquet")
    connection = db.connect()
    connection.execute("SET memory_limit = '4GB'")
    rows = connection.execute(
        """
        WITH faults AS MATERIALIZED (
            SELECT row_number() OVER (ORDER BY ts_ns, seq) AS fault, ts_ns, arena, pgoff AS page
            FROM read_parquet($file) WHERE kind IN (9, 10)),
        keys AS MATERIALIZED (SELECT DISTINCT arena, page FROM faults),
        single AS (
            SELECT ts_ns, kind, arena, pgoff AS page FROM read_parquet($file)
            WHERE kind IN (4, 5) AND pages = 1),
        several AS (
            SELECT ts_ns, kind, arena,
                   CAST(unnest(range(CAST(pgoff AS BIGINT), CAST(pgoff AS BIGINT) + pages))
                        AS UINTEGER) AS page
            FROM read_parquet($file) WHERE kind IN (4, 5) AND pages > 1),
        operations AS MATERIALIZED (
            SELECT s.* FROM single s SEMI JOIN keys k ON s.arena = k.arena AND s.page = k.page
            UNION ALL
            SELECT s.* FROM several s SEMI JOIN keys k ON s.arena = k.arena AND s.page = k.page)
        SELECT f.fault, a.ts_ns, r.ts_ns
        FROM faults f
        ASOF LEFT JOIN (SELECT * FROM operations WHERE kind = 4) a
            ON f.arena = a.arena AND f.page = a.page AND f.ts_ns >= a.ts_ns
        ASOF LEFT JOIN (SELECT * FROM operations WHERE kind = 5) r
            ON f.arena = r.arena AND f.page = r.page AND f.ts_ns >= r.ts_ns
        ORDER BY f.fault
        """,
        {"file": file},
    ).fetchall()
    _freed_last(trace, [free is not None and free > (alloc or 0) for _, alloc, free in rows])


def pandas(trace: Path) -> None:
    """Allocation and free before each fault, by merge_asof."""
    import pandas as pd

    columns = ["ts_ns", "seq", "kind", "arena", "pgoff", "pages"]
    events = pd.read_parquet(trace / "events.parquet", columns=columns)
    faults = events[events["kind"].isin([9, 10])][["ts_ns", "arena", "pgoff"]]
    faults = faults.rename(columns={"pgoff": "page"})
    done = events[events["kind"].isin([4, 5])]
    single = done[done["pages"] == 1].rename(columns={"pgoff": "page"})
    several = done[done["pages"] > 1].copy()
    several["page"] = [
        list(range(first, first + count))
        for first, count in zip(several["pgoff"], several["pages"].astype(int), strict=True)
    ]
    several = several.explode("page").astype({"page": single["page"].dtype})
    names = ["ts_ns", "kind", "arena", "page"]
    keys = faults[["arena", "page"]].drop_duplicates()
    found = pd.concat([single[names], several[names]]).merge(keys, on=["arena", "page"])
    found = found.sort_values("ts_ns")
    rows = faults.sort_values("ts_ns")
    for name, kind in (("alloc", 4), ("free", 5)):
        part = found[found["kind"] == kind][["ts_ns", "arena", "page"]]
        part = part.assign(**{name: part["ts_ns"]})
        rows = pd.merge_asof(rows, part, on="ts_ns", by=["arena", "page"])
    _freed_last(trace, (rows["free"] > rows["alloc"].fillna(0)).tolist())


CONTENDERS: dict[str, Callable[[Path], None]] = {
    "scan": scan,
    "arenatrace": arenatrace,
    "duckdb": duckdb,
    "pandas": pandas,
}
_IMPORTS = {"scan": "polars", "arenatrace": "arenatrace.analysis.faults"}


def _one(name: str, trace: Path) -> None:
    """Run one contender in this process and print what it took."""
    __import__(_IMPORTS.get(name, name))
    start = time.perf_counter()
    CONTENDERS[name](trace)
    took = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": took, "peak": peak}))


def _best(name: str, trace: Path, rounds: int) -> tuple[float, float]:
    """Least seconds and most memory in MiB of ``rounds`` runs."""
    runs = []
    for _ in range(rounds):
        done = subprocess.run(
            [sys.executable, __file__, "--one", name, str(trace)],
            check=True,
            capture_output=True,
            text=True,
        )
        runs.append(json.loads(done.stdout))
    return min(run["seconds"] for run in runs), max(run["peak"] for run in runs) / (1 << 20)


def main() -> None:
    """Compare all contenders on all sizes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", type=float, default=[1e6, 1e7])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--data", type=Path, default=Path(tempfile.gettempdir()) / "arenatrace-bench"
    )
    parser.add_argument("--only", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        _one(options.one[0], Path(options.one[1]))
        return
    from generate_trace import generate

    for size in map(int, options.sizes):
        trace = options.data / f"{size}.atrace"
        if not trace.exists():
            generate(size, trace)
        print(
            f"{size:,} events, {(trace / 'events.parquet').stat().st_size >> 20:,} MiB", flush=True
        )
        ours = None
        for name in options.only:
            if name == "pandas" and size > _PANDAS_LIMIT:
                continue
            seconds, peak = _best(name, trace, options.rounds)
            ours = seconds if name == "arenatrace" else ours
            ratio = f"{seconds / ours:6.2f} x arenatrace" if ours else ""
            print(f"  {name:<10} {seconds:8.2f} s {peak:7.0f} MiB  {ratio}", flush=True)


if __name__ == "__main__":
    main()
