"""The answer of ``analysis_bench.py`` by pandas: with merge_asof, and with a loop over faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Answer = list[dict[str, Any]]

#: Columns of an allocation or a free.
_WHO = ("ts_ns", "pgoff", "pages", "pid", "tid", "comm", "prog", "stack")
#: Pages searched on either side of a fault, and pages of an arena.
_NEAR = 8
_END = 1 << 16


def _done(events: pd.DataFrame) -> pd.DataFrame:
    """Return successful allocations and frees."""
    return events[
        ((events["kind"] == 4) & (events["ret"] != 0) & events["ret"].notna())
        | ((events["kind"] == 5) & events["sleepable"].eq(other=True))
    ]


def answer_in_a_loop(trace: Path) -> Answer:
    """Filter the operations in the arena of each fault; count pages in plain Python."""
    columns = ["ts_ns", "seq", "kind", "arena", "pgoff", "pages", "ret", "sleepable"]
    events = pd.read_parquet(trace / "events.parquet", columns=columns)
    faults = events[events["kind"].isin([9, 10])].sort_values(["ts_ns", "seq"])
    columns_used = ["ts_ns", "kind", "pgoff", "pages"]
    done = _done(events).groupby("arena")
    arenas = {arena: rows[columns_used].astype("int64") for arena, rows in done}
    return [
        _verdict(arenas[fault.arena], int(fault.pgoff), fault.ts_ns)
        for fault in faults.itertuples()
    ]


def _verdict(rows: pd.DataFrame, page: int, ts_ns: int) -> dict[str, Any]:
    first, last = page - _NEAR, page + _NEAR
    near = rows[
        (rows["ts_ns"] <= ts_ns) & (rows["pgoff"] <= last) & (rows["pgoff"] + rows["pages"] > first)
    ]
    allocated: dict[int, int] = {}
    freed: dict[int, int] = {}
    for row in near.itertuples():
        times = allocated if row.kind == 4 else freed
        for number in range(max(first, row.pgoff), min(last + 1, row.pgoff + row.pages)):
            times[number] = row.ts_ns
    live = {at for at, ns in allocated.items() if ns > freed.get(at, 0) and 0 <= at < _END}
    below = max((at for at in live if at < page), default=None)
    above = min((at for at in live if at > page), default=None)
    gone = page < _END and freed.get(page, 0) > allocated.get(page, ts_ns)
    if page >= _END:
        cause = "outside-user-range"
    elif gone:
        cause = "use-after-free"
    else:
        adjacent = page - 1 == below or page + 1 == above
        cause = "out-of-bounds" if adjacent else "never-allocated"
    times = (allocated[page], freed[page]) if gone else (None, None)
    return {
        "cause": cause,
        "below": below,
        "above": above,
        "allocated": times[0],
        "freed": times[1],
    }


def answer(trace: Path) -> Answer:
    """Find the latest allocation and free of each page by merge_asof."""
    columns = [*_WHO, "seq", "kind", "arena", "ret", "sleepable"]
    events = pd.read_parquet(trace / "events.parquet", columns=columns)
    faults = events[events["kind"].isin([9, 10])].sort_values(["ts_ns", "seq"])
    faults = faults[["ts_ns", "arena", "pgoff"]].reset_index(drop=True).reset_index(names="fault")
    steps = pd.DataFrame({"step": range(-_NEAR, _NEAR + 1)})
    queries = faults.merge(steps, how="cross")
    queries["page"] = queries["pgoff"].astype("int64") + queries["step"]
    queries = queries[queries["page"].between(0, _END - 1)].sort_values("ts_ns")
    done = _done(events).drop(columns=["ret", "sleepable", "seq"])
    several = done[done["pages"] > 1]
    several = several.loc[several.index.repeat(several["pages"].astype(int))]
    nth = several.groupby(level=0).cumcount()
    several = several.assign(page=several["pgoff"].astype("int64") + nth)
    single = done[done["pages"] == 1]
    single = single.assign(page=single["pgoff"].astype("int64"))
    keys = queries[["arena", "page"]].drop_duplicates()
    found = pd.concat([single.merge(keys), several.merge(keys)]).sort_values("ts_ns")
    rows = queries
    for name, kind in (("alloc", 4), ("free", 5)):
        part = found[found["kind"] == kind].drop(columns="kind")
        renamed = {column: f"{name}_{column}" for column in _WHO if column != "ts_ns"}
        part = part.assign(**{name: part["ts_ns"]}).rename(columns=renamed)
        rows = pd.merge_asof(rows, part, on="ts_ns", by=["arena", "page"])
    rows["live"] = rows["alloc"] > rows["free"].fillna(0)
    own = rows[rows["step"] == 0].set_index("fault")
    own = own.reindex(faults["fault"])
    sides = {
        "below": rows[(rows["step"] < 0) & rows["live"]].groupby("fault")["page"].max(),
        "above": rows[(rows["step"] > 0) & rows["live"]].groupby("fault")["page"].min(),
    }
    verdicts = pd.DataFrame({"page": faults["pgoff"].astype("int64")}).assign(**sides)
    freed = (own["free"] > own["alloc"]).to_numpy()
    adjacent = (verdicts["page"] - verdicts["below"] == 1) | (
        verdicts["above"] - verdicts["page"] == 1
    )
    verdicts.insert(
        0,
        "cause",
        np.select(
            [verdicts["page"] >= _END, freed, adjacent],
            ["outside-user-range", "use-after-free", "out-of-bounds"],
            "never-allocated",
        ),
    )
    for name, column in (("allocated", "alloc"), ("freed", "free")):
        verdicts[name] = own[column].where(pd.Series(freed, own.index))
    dicts = verdicts.drop(columns="page").to_dict("records")
    # Missing numbers are floats in pandas: times in ns are below 2^53 here.
    return [
        {k: v if isinstance(v, str) else None if pd.isna(v) else int(v) for k, v in row.items()}
        for row in dicts
    ]
