"""The life of an arena: arena_map_alloc(), arena_map_mmap(), arena_map_free(), and losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arenatrace.model.kernel.arena import Arena
from arenatrace.model.ops import OK
from arenatrace.model.replay.contradiction import Contradiction

if TYPE_CHECKING:
    from arenatrace.model.replay.checker import Judge


def arena_create(judge: Judge, _op: int, _page: int, _count: int, _at: int) -> Contradiction | None:
    """The arena came to be: everything is known of it."""
    old = judge.arena
    judge.arena = Arena(old.profile, old.max_entries, old.map_flags, user_range=False)
    judge.arena.stray_frees = old.stray_frees
    judge.alive = True
    judge.order_doubted = judge.scratch_seen = False
    return None


def arena_mmap(judge: Judge, op: int, _page: int, _count: int, _at: int) -> Contradiction | None:
    """User space mapped the arena: its user range is fixed from here on."""
    if op & OK:
        judge.arena.limit = judge.arena.max_entries
    return None


def arena_destroy(
    judge: Judge, _op: int, _page: int, _count: int, _at: int
) -> Contradiction | None:
    """The arena ends; only the worker may still run."""
    judge.alive = False
    return None


def lost(judge: Judge, _op: int, _page: int, _count: int, _at: int) -> Contradiction | None:
    """Events were lost: nothing is known any more."""
    judge.arena.forget()
    return None
