"""Settings, progress and result of a recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from arenatrace.capture.flight.plan import FlightPlan
from arenatrace.capture.probes.filters import NO_FILTERS, Filters
from arenatrace.capture.ring.ring_size import DEFAULT_RINGS, RingSizes
from arenatrace.schema import Kind, Level


@dataclass(frozen=True)
class Progress:
    """Counts of a running recording."""

    elapsed_s: float
    counts: dict[Kind, int]
    lost: int


@dataclass(frozen=True)
class Plan:
    """Settings of a recording. ``duration_s`` None: until interrupted or the command ends.

    ``level`` is a ``schema.Level``. Under sudo the command runs as the invoking user unless
    ``command_as_root``. ``without_recovery``: also record on a kernel without arena fault recovery.
    """

    path: Path
    duration_s: float | None = None
    command: tuple[str, ...] = ()
    level: str = Level.PAGES
    command_as_root: bool = False
    without_recovery: bool = False
    walk_every_stack: bool = False
    filters: Filters = NO_FILTERS
    rings: RingSizes = DEFAULT_RINGS
    flight: FlightPlan | None = None
    on_progress: Callable[[Progress], None] = lambda _progress: None
    on_status: Callable[[str], None] = lambda _text: None


@dataclass
class Result:
    """Result of a recording. ``lost`` counts by kind or label.

    ``windows`` are the sealed windows of a flight recorder; None if it was none.
    """

    path: Path
    counts: dict[Kind, int]
    lost: dict[str, int]
    notices: list[str] = field(default_factory=list)
    command_status: int | None = None
    windows: list[Path] | None = None
