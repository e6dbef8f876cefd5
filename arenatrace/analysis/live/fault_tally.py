"""Bounded fault counts, so that the faults themselves can be evicted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from arenatrace.analysis import fault_counts

#: Groups above which the rarest are merged into one.
MAX_GROUPS = 2_000
_OTHERS = "other faults"

_KEY = ["signature", "title", "cause", "prog_index", "arena"]
_NUMBERS = ("count", *fault_counts.COUNTS)


class FaultTally:
    """Fault counts by signature, cause, program and arena, in bounded memory."""

    def __init__(self, groups: pl.DataFrame | None = None) -> None:
        self._groups = groups

    def plus(self, faults: pl.DataFrame) -> FaultTally:
        """Return a tally of this one's faults and ``faults``, rows of ``faults.faults``."""
        sums = {
            name: condition.fill_null(value=False).sum().cast(pl.Int64)
            for name, condition in fault_counts.COUNTS.items()
        }
        new = faults.group_by(_KEY).agg(
            count=pl.len().cast(pl.Int64),
            **sums,
            first_fault=pl.col("fault").min().cast(pl.Int64),
            first_ts_ns=pl.col("ts_ns").min(),
            last_ts_ns=pl.col("ts_ns").max(),
        )
        if self._groups is None:
            return FaultTally(new)
        return FaultTally(_bounded(_summed(pl.concat([self._groups, new]), _KEY)))

    @property
    def groups(self) -> pl.DataFrame | None:
        """One row per group; None before the first fault."""
        return self._groups

    def signatures(self) -> list[dict[str, Any]]:
        """Return the rows of ``fault_counts.signatures``."""
        if self._groups is None:
            return []
        rows = _summed(self._groups.sort("first_fault"), ["signature"], ["title", "cause"])
        return fault_counts.by_frequency(rows.lazy()).collect().to_dicts()

    def counts(self, key: str) -> pl.LazyFrame:
        """Return the rows of ``fault_counts.fault_counts`` by the column ``key``."""
        groups, numbers = self._groups, ("faults", *fault_counts.COUNTS)
        if groups is None:
            return pl.LazyFrame(schema={key: pl.UInt32, **dict.fromkeys(numbers, pl.Int64)})
        named = groups.lazy().rename({"count": "faults"})
        return named.filter(pl.col(key).is_not_null()).group_by(key).agg(pl.col(*numbers).sum())

    def causes(self) -> pl.DataFrame:
        """Return the rows of ``fault_counts.causes``."""
        groups = self._groups
        if groups is None:
            schema = {"prog_index": pl.UInt32, "cause": pl.String, "count": pl.Int64}
            return pl.DataFrame(schema=schema)
        counted = groups.group_by("prog_index", "cause").agg(pl.col("count").sum())
        return counted.sort("count", "cause", descending=[True, False])


def _summed(groups: pl.DataFrame, key: Sequence[str], first: Sequence[str] = ()) -> pl.DataFrame:
    return groups.group_by(key, maintain_order=True).agg(
        *(pl.col(name).first() for name in first),
        *(pl.col(name).sum() for name in _NUMBERS),
        pl.col("first_fault", "first_ts_ns").min(),
        pl.col("last_ts_ns").max(),
    )


def _bounded(groups: pl.DataFrame) -> pl.DataFrame:
    if len(groups) <= MAX_GROUPS:
        return groups
    groups = groups.sort("count", descending=True)
    rest = groups.slice(MAX_GROUPS // 2).with_columns(
        signature=pl.lit(""), title=pl.lit(_OTHERS), prog_index=None, arena=None
    )
    return pl.concat([groups.head(MAX_GROUPS // 2), _summed(rest, _KEY)], how="vertical_relaxed")
