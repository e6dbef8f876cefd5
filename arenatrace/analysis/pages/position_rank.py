"""Ranks of events among a sorted set of positions."""

from __future__ import annotations

import numpy as np
import polars as pl

from arenatrace.analysis.pages.arrays import Ints


class PositionRanks:
    """The distinct (ts_ns, seq) of some events, ascending."""

    def __init__(self, events: pl.DataFrame) -> None:
        rows = events.select("ts_ns", "seq").unique().sort("ts_ns", "seq")
        self._ts = rows["ts_ns"].to_numpy()
        seq = rows["seq"].to_numpy()
        self._seqs = rows["seq"].unique().sort().to_numpy()
        # One integer per position: index of the first position of its time, and index of its seq.
        first = np.searchsorted(self._ts, self._ts)
        self._pairs = first * (len(self) + 1) + np.searchsorted(self._seqs, seq)

    def __len__(self) -> int:
        return len(self._ts)

    def rank(self, events: pl.DataFrame) -> Ints:
        """Return for each event the number of positions before it; an equal one does not count."""
        ts = events["ts_ns"].to_numpy()
        rank = np.searchsorted(self._ts, ts)
        inside = np.minimum(rank, len(self) - 1) if len(self) else rank
        tied = np.flatnonzero((rank < len(self)) & (self._ts[inside] == ts)) if len(self) else rank
        if len(tied):
            seq = np.searchsorted(self._seqs, events["seq"].to_numpy()[tied])
            rank[tied] = np.searchsorted(self._pairs, rank[tied] * (len(self) + 1) + seq)
        return rank
