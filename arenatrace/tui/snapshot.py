"""Immutable state that the views draw. A source makes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from arenatrace.trace.meta import Meta

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """Result of the replay. ``state`` is "", "running", "done" or "failed".

    ``found`` is the object of ``replay --json``; ``reason`` says why there is none.
    """

    state: str = ""
    found: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Recording:
    """Progress of a live recording. ``state`` is a short text."""

    state: str
    running: bool = True
    elapsed_s: float = 0.0
    events_per_s: float = 0.0
    disk_bytes: int = 0
    is_kept: bool = False


@dataclass(frozen=True)
class Snapshot:
    """Everything except what a view queries itself (one fault, one page, one arena's picture).

    Attributes:
        faults: rows of ``analysis.faults``; causes and signatures are provisional until
            ``explained``.
        unlisted: number of older faults that were evicted from a live recording.
        stage: the running computation; empty if there is none.
        progress: of the stage, 0 to 1; None if unknown.
        over: the recorder failed to start, so there is nothing to show.
        since_ns: states of pages are known from this time on; None: at any time.
        totals: those of ``summary``, as far as known.

    Times are CLOCK_MONOTONIC ns.
    """

    path: Path
    meta: Meta
    warnings: Sequence[str] = ()
    events: int | None = None
    totals: Mapping[str, int] = field(default_factory=dict)
    duration_ns: int | None = None
    since_ns: int | None = None
    stage: str = ""
    progress: float | None = None
    faults: pl.DataFrame | None = None
    explained: bool = False
    unlisted: int = 0
    signatures: Sequence[Row] = ()
    programs: Sequence[Row] = ()
    arenas: Sequence[Row] = ()
    causes: Mapping[str, int] = field(default_factory=dict)
    verdict: Verdict = Verdict()
    recording: Recording | None = None
    error: str = ""
    over: bool = False

    @property
    def lost(self) -> int:
        """Number of events known to be lost, at least."""
        return self.totals.get("lost", 0)

    @property
    def fault_count(self) -> int:
        """Number of faults so far, listed or not."""
        return self.totals.get("kernel_faults", 0) + self.totals.get("prog_faults", 0)
