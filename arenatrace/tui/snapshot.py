"""What the screen shows at one moment. Made by a source, never changed, drawn by the views."""

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
    """What the replayer says: ``state`` is "", "running", "done" or "failed".

    ``found`` is the object of ``replay --json``; ``reason`` why there is none.
    """

    state: str = ""
    found: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Recording:
    """How a recording that is under way goes. ``state`` is a few words."""

    state: str
    running: bool = True
    elapsed_s: float = 0.0
    events_per_s: float = 0.0
    disk_bytes: int = 0
    kept: bool = False


@dataclass(frozen=True)
class Snapshot:
    """Everything but what a view asks for by itself (one fault, one page, one arena's picture).

    ``faults`` has the rows of ``analysis.faults``; until ``explained`` their causes and
    signatures are provisional. ``unlisted`` counts faults older than the first row, which a
    source that follows a recording has let go. ``stage`` says what is being worked out, empty
    when nothing is, ``progress`` how far it is, from 0 to 1, None where nobody knows.
    ``over``: the recorder could not begin, there is nothing to look at.
    ``since_ns``: the states of pages can be told from this time on only, None: at any time.
    ``totals`` are those of ``summary``, as far as they are known. Times are CLOCK_MONOTONIC ns.
    """

    path: Path
    meta: Meta
    notices: Sequence[str] = ()
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
        """Events known to be lost, at least."""
        return self.totals.get("lost", 0)

    @property
    def fault_count(self) -> int:
        """Faults counted so far, listed or not."""
        return self.totals.get("kernel_faults", 0) + self.totals.get("prog_faults", 0)
