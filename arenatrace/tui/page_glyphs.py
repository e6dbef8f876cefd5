"""Pages of an arena at one position, and their glyphs at any scale."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from arenatrace.analysis.pages.positions import END, Position

#: States in the order of their codes. A page outside the arena has none.
STATES = ("free", "allocated", "reserved", "scratched", "unknown")
OUTSIDE = len(STATES)
_FREE, _ALLOCATED, _RESERVED, _SCRATCHED, _UNKNOWN = range(OUTSIDE)

#: State, or share of allocated pages, to glyph and colour. All glyphs differ without colour.
GLYPHS = {
    "free": ("·", "dim"),
    "allocated": ("█", "green"),
    "mostly": ("▓", "green"),
    "partly": ("▒", "green"),
    "hardly": ("░", "green"),
    "reserved": ("=", "bold blue"),
    "scratched": ("S", "bold yellow"),
    "unknown": ("?", "magenta"),
    "fault": ("✗", "bold red"),
    "outside": (" ", ""),
}
_MOSTLY, _PARTLY = 0.5, 0.25


@dataclass(frozen=True)
class Picture:
    """States of the pages ``0 … len(states) - 1`` of ``arena`` just before ``position``.

    ``states`` are indices into ``STATES``. ``faulted`` are the pages with a fault up to then,
    ascending and unique.
    """

    arena: int
    position: Position
    states: npt.NDArray[np.uint8]
    faulted: npt.NDArray[np.int64]

    @property
    def pages(self) -> int:
        """Size of the arena's user range in pages; 0 if unknown."""
        return len(self.states)

    def state(self, page: int) -> str:
        """Return the state of one page, ``outside`` beyond the range."""
        return STATES[self.states[page]] if 0 <= page < self.pages else "outside"

    def counts(self, first: int = 0, last: int | None = None) -> dict[str, int]:
        """Count the pages ``first`` to ``last`` in each state, and the faulted pages among them."""
        end = self.pages if last is None else last + 1
        numbers = np.bincount(self.states[first:end], minlength=OUTSIDE)
        low, high = np.searchsorted(self.faulted, [first, end])
        found = {name: int(number) for name, number in zip(STATES, numbers, strict=True)}
        return {**found, "fault": int(high - low)}

    def glyph_keys(self, first: int, scale: int, cells: int) -> list[str]:
        """Return the glyph keys of ``cells`` cells of ``scale`` pages, from page ``first`` on."""
        wanted = cells * scale
        part = self.states[first : first + wanted]
        padded = np.full(wanted, OUTSIDE, np.uint8)
        padded[: len(part)] = part
        grid = padded.reshape(cells, scale)
        shares = np.stack([(grid == code).sum(axis=1) for code in range(OUTSIDE)])
        low, high = np.searchsorted(self.faulted, [first, first + wanted])
        hit = np.zeros(cells, np.bool_)
        hit[(self.faulted[low:high] - first) // scale] = True
        return [_look(shares[:, cell].tolist(), bool(hit[cell])) for cell in range(cells)]


def _look(shares: Sequence[int], hit: bool) -> str:
    total = sum(shares)
    if not total:
        return "outside"
    if shares[_SCRATCHED]:
        return "scratched"
    if hit:
        return "fault"
    most = max(range(len(shares)), key=shares.__getitem__)
    allocated = shares[_ALLOCATED] / total
    if not allocated or allocated == 1:
        return STATES[most]
    return "mostly" if allocated > _MOSTLY else "partly" if allocated > _PARTLY else "hardly"


def make_picture(
    arena: int, position: Position, ranges: Iterable[dict[str, Any]], faulted: Iterable[int]
) -> Picture:
    """Return the picture of rows of ``address_space`` and of the pages with faults."""
    codes, lengths = [], []
    for one in ranges:
        codes.append(STATES.index(one["state"]))
        lengths.append(one["pages"])
    states = np.repeat(np.array(codes, np.uint8), np.array(lengths, np.int64))
    pages = np.unique(np.fromiter(faulted, np.int64))
    return Picture(arena, position, states, pages)


def empty_picture() -> Picture:
    """Return the picture of no arena."""
    return make_picture(0, END, (), ())
