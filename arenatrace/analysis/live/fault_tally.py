"""Faults counted by what they are, so that the faults themselves can be let go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from arenatrace.analysis import fault_counts

#: Kinds of faults that are told apart; beyond it the rarest are counted together.
KINDS = 2_000
_OTHERS = "other faults"

_KEY = ["signature", "title", "cause", "prog_index", "arena"]
_NUMBERS = ("count", *fault_counts.COUNTS)


class Tally:
    """Counts by signature, cause, program and arena, in bounded memory."""

    def __init__(self, groups: pl.DataFrame | None = None) -> None:
        self._groups = groups

    def plus(self, faults: pl.DataFrame) -> Tally:
        """This tally and rows of ``faults``."""
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
            return Tally(new)
        return Tally(_bounded(_summed(pl.concat([self._groups, new]), _KEY)))

    @property
    def groups(self) -> pl.DataFrame | None:
        """One row per kind of fault."""
        return self._groups

    def signatures(self) -> list[dict[str, Any]]:
        """As ``fault_counts.signatures``, most frequent first."""
        if self._groups is None:
            return []
        rows = _summed(self._groups.sort("first_fault"), ["signature"], ["title", "cause"])
        return rows.sort(
            "count", "first_ts_ns", descending=[True, False], maintain_order=True
        ).to_dicts()

    def by(self, key: str) -> dict[Any, dict[str, int]]:
        """``faults`` and the members of ``fault_counts.COUNTS`` by the column ``key``."""
        if self._groups is None:
            return {}
        rows = _summed(self._groups, [key]).rename({"count": "faults"})
        names = ("faults", *fault_counts.COUNTS)
        return {row[key]: {name: row[name] for name in names} for row in rows.to_dicts()}

    def causes(self) -> dict[str, int]:
        """How often each cause, most frequent first."""
        if self._groups is None:
            return {}
        counted = self._groups.group_by("cause").agg(pl.col("count").sum())
        counted = counted.sort("count", "cause", descending=[True, False])
        return {cause or "unknown": count for cause, count in counted.iter_rows()}

    def causes_by_program(self) -> dict[int | None, dict[str, int]]:
        """``causes`` of each program."""
        if self._groups is None:
            return {}
        counted = self._groups.group_by("prog_index", "cause").agg(pl.col("count").sum())
        counted = counted.sort("count", "cause", descending=[True, False])
        found: dict[int | None, dict[str, int]] = {}
        for program, cause, count in counted.iter_rows():
            found.setdefault(program, {})[cause or "unknown"] = count
        return found


def _summed(groups: pl.DataFrame, key: Sequence[str], first: Sequence[str] = ()) -> pl.DataFrame:
    return groups.group_by(key, maintain_order=True).agg(
        *(pl.col(name).first() for name in first),
        *(pl.col(name).sum() for name in _NUMBERS),
        pl.col("first_fault", "first_ts_ns").min(),
        pl.col("last_ts_ns").max(),
    )


def _bounded(groups: pl.DataFrame) -> pl.DataFrame:
    if len(groups) <= KINDS:
        return groups
    groups = groups.sort("count", descending=True)
    rest = groups.slice(KINDS // 2).with_columns(
        signature=pl.lit(""), title=pl.lit(_OTHERS), prog_index=None, arena=None
    )
    return pl.concat([groups.head(KINDS // 2), _summed(rest, _KEY)], how="vertical_relaxed")
