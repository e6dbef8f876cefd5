"""Apply the lifetime of an arena and losses of events.

The events record arena_map_alloc(), arena_map_mmap() and arena_map_free().
"""

from __future__ import annotations

from arenatrace.model.kernel.arena import Arena
from arenatrace.model.ops import OK
from arenatrace.model.replay.contradiction import Contradiction
from arenatrace.model.replay.state import State


def arena_create(state: State, _op: int, _page: int, _count: int, _at: int) -> Contradiction | None:
    """Create the arena: all of its state is known."""
    old = state.arena
    state.arena = Arena(old.profile, old.max_entries, old.map_flags, user_range=False)
    state.arena.stray_frees = old.stray_frees
    state.alive = True
    state.order_doubted = state.scratch_seen = False
    return None


def arena_mmap(state: State, op: int, _page: int, _count: int, _at: int) -> Contradiction | None:
    """Fix the user range: user space mapped the arena."""
    if op & OK:
        state.arena.limit = state.arena.max_entries
    return None


def arena_destroy(
    state: State, _op: int, _page: int, _count: int, _at: int
) -> Contradiction | None:
    """Destroy the arena. Only the worker may still run."""
    state.alive = False
    return None


def lost(state: State, _op: int, _page: int, _count: int, _at: int) -> Contradiction | None:
    """Make all state unknown after a loss of events."""
    state.arena.forget()
    return None
