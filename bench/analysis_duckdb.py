"""The answer of ``analysis_bench.py`` by DuckDB, with the two fastest plans that were tried."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import duckdb

Answer = list[dict[str, Any]]

# Kinds: 4 page_alloc, 5 page_free, 9 kernel_fault, 10 prog_fault. Arenas have 65536 pages.
_QUERIES = """
    WITH faults AS MATERIALIZED (
        SELECT row_number() OVER (ORDER BY ts_ns, seq) AS fault, ts_ns, arena,
               CAST(pgoff AS INTEGER) AS page
        FROM read_parquet($file) WHERE kind BETWEEN 9 AND 10),
    queries AS MATERIALIZED (
        SELECT fault, ts_ns, arena, page + step AS page, CAST(step AS INTEGER) AS step
        FROM faults, (SELECT unnest(range(-8, 8 + 1)) AS step)
        WHERE page + step BETWEEN 0 AND 65535),
    done AS (
        SELECT ts_ns, kind, arena, pgoff, pages FROM read_parquet($file)
        WHERE (kind = 4 AND ret <> 0) OR (kind = 5 AND sleepable)),
    operations AS (
        SELECT ts_ns, kind, arena, pgoff AS page FROM done WHERE pages = 1
        UNION ALL
        SELECT ts_ns, kind, arena,
               CAST(unnest(range(CAST(pgoff AS BIGINT), CAST(pgoff AS BIGINT) + pages))
                    AS UINTEGER) AS page
        FROM done WHERE pages > 1),
"""
_LATEST_BY_AGGREGATION = """
    keys AS MATERIALIZED (SELECT DISTINCT arena, CAST(page AS UINTEGER) AS page FROM queries),
    touching AS NOT MATERIALIZED (
        SELECT o.* FROM operations o SEMI JOIN keys k ON o.arena = k.arena AND o.page = k.page),
    latest AS MATERIALIZED (
        SELECT q.fault, q.step, any_value(q.page) AS page,
               max(o.ts_ns) FILTER (o.kind = 4) AS alloc,
               max(o.ts_ns) FILTER (o.kind = 5) AS freed
        FROM touching o
        JOIN queries q ON q.arena = o.arena AND q.page = o.page AND q.ts_ns >= o.ts_ns
        GROUP BY q.fault, q.step),
"""
_LATEST_BY_ASOF = """
    keys AS MATERIALIZED (SELECT DISTINCT arena, CAST(page AS UINTEGER) AS page FROM queries),
    touching AS MATERIALIZED (
        SELECT o.* FROM operations o SEMI JOIN keys k ON o.arena = k.arena AND o.page = k.page),
    latest AS MATERIALIZED (
        SELECT q.fault, q.step, q.page, a.ts_ns AS alloc, r.ts_ns AS freed
        FROM queries q
        ASOF LEFT JOIN (SELECT * FROM touching WHERE kind = 4) a
            ON q.arena = a.arena AND q.page = a.page AND q.ts_ns >= a.ts_ns
        ASOF LEFT JOIN (SELECT * FROM touching WHERE kind = 5) r
            ON q.arena = r.arena AND q.page = r.page AND q.ts_ns >= r.ts_ns),
"""
_ANSWER = """
    lives AS (SELECT *, coalesce(alloc > coalesce(freed, 0), false) AS live FROM latest),
    verdicts AS MATERIALIZED (
        SELECT f.fault, f.arena,
            CASE WHEN f.page >= 65536 THEN 'outside-user-range'
                 WHEN bool_or(freed > alloc) FILTER (step = 0) THEN 'use-after-free'
                 WHEN bool_or(live) FILTER (abs(step) = 1) THEN 'out-of-bounds'
                 ELSE 'never-allocated' END AS cause,
            any_value(alloc) FILTER (step = 0) AS a,
            any_value(freed) FILTER (step = 0) AS f,
            max(l.page) FILTER (step < 0 AND live) AS below,
            min(l.page) FILTER (step > 0 AND live) AS above,
            arg_max(alloc, step) FILTER (step < 0 AND live) AS b,
            arg_min(alloc, step) FILTER (step > 0 AND live) AS c
        FROM faults f LEFT JOIN lives l ON f.fault = l.fault GROUP BY f.fault, f.arena, f.page),
    wanted AS MATERIALIZED (
        SELECT DISTINCT arena, unnest([a, f, b, c]) AS ts_ns FROM verdicts),
    facts AS MATERIALIZED (
        SELECT arena, ts_ns, kind,
               struct_pack(ts_ns, pgoff, pages, pid, tid, comm, prog, stack) AS who
        FROM read_parquet($file) SEMI JOIN wanted USING (arena, ts_ns) WHERE kind IN (4, 5))
    SELECT t.cause, t.below, t.above, a.who, f.who, b.who, c.who
    FROM verdicts t
    LEFT JOIN facts a ON a.arena = t.arena AND a.ts_ns = t.a AND a.kind = 4
    LEFT JOIN facts f ON f.arena = t.arena AND f.ts_ns = t.f AND f.kind = 5
    LEFT JOIN facts b ON b.arena = t.arena AND b.ts_ns = t.b AND b.kind = 4
    LEFT JOIN facts c ON c.arena = t.arena AND c.ts_ns = t.c AND c.kind = 4
    ORDER BY t.fault
"""


def _ask(trace: Path, query: str) -> Answer:
    connection = duckdb.connect()
    connection.execute("SET memory_limit = '8GB'")
    connection.execute("SET preserve_insertion_order = false")
    connection.execute(f"SET threads = {os.environ['POLARS_MAX_THREADS']}")
    rows = connection.execute(query, {"file": str(trace / "events.parquet")}).fetchall()
    answer = []
    for cause, below, above, allocated, freed, *_near in rows:
        was = cause == "use-after-free"
        times = {
            "allocated": allocated["ts_ns"] if was else None,
            "freed": freed["ts_ns"] if was else None,
        }
        answer.append({"cause": cause, "below": below, "above": above, **times})
    return answer


def by_aggregation(trace: Path) -> Answer:
    """The latest allocation and free of each page by aggregation."""
    return _ask(trace, _QUERIES + _LATEST_BY_AGGREGATION + _ANSWER)


def by_asof(trace: Path) -> Answer:
    """The latest allocation and free of each page by ASOF joins."""
    return _ask(trace, _QUERIES + _LATEST_BY_ASOF + _ANSWER)
