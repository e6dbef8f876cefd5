"""Profiles: the four variants of the kernel's arena behaviour, as data.

Each field of a profile is one rule that differs between kernels. ``Arena`` reads these fields
and never a profile's name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from arenatrace.errors import UsageError
from arenatrace.schema import ProfileName

#: Map flags (include/uapi/linux/bpf.h). The last one was proposed and never merged.
BPF_F_SEGV_ON_FAULT = 1 << 17
BPF_F_NO_USER_CONV = 1 << 18
BPF_F_ARENA_MAP_ALWAYS = 1 << 20


class Touch(IntEnum):
    """Result of a kernel-side access to an empty page."""

    OOPS = 0
    SCRATCH = 1
    #: Every empty page table entry points at the garbage page: no access faults.
    GARBAGE = 2


@dataclass(frozen=True)
class Profile:
    """One variant of kernel/bpf/arena.c."""

    name: str
    #: Kernel versions or patch series with this behaviour.
    kernels: str
    #: Kernel-side access to an empty page of an arena without BPF_F_ARENA_MAP_ALWAYS.
    empty_touch: Touch
    #: The kernel knows the flag BPF_F_ARENA_MAP_ALWAYS.
    has_map_always: bool = False
    #: An allocation replaces a scratch page. If not, it is refused (-EBUSY inside).
    alloc_replaces_scratch: bool = False
    #: A free removes a scratch page. If not, the page stays scratched.
    free_clears_scratch: bool = False
    #: The free set is a maple tree: allocations take the lowest gap, user faults need a free page.
    maple: bool = False

    def touch(self, map_flags: int) -> Touch:
        """Return the result of a kernel-side access to an empty page, given ``map_flags``."""
        if self.has_map_always and map_flags & BPF_F_ARENA_MAP_ALWAYS:
            return Touch.GARBAGE
        return self.empty_touch


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(ProfileName.PRE_SCRATCH.value, "6.9 to 7.1", Touch.OOPS),
        Profile(
            ProfileName.MAP_ALWAYS.value,
            "RFC v1, arenas with BPF_F_ARENA_MAP_ALWAYS (bit 20)",
            Touch.OOPS,
            has_map_always=True,
        ),
        Profile(ProfileName.SCRATCH_STICKY.value, "v2 to v4 as posted", Touch.SCRATCH),
        Profile(
            ProfileName.SCRATCH_REPLACE.value,
            "7.2 and later",
            Touch.SCRATCH,
            alloc_replaces_scratch=True,
            free_clears_scratch=True,
        ),
    )
}

AUTO = "auto"


def profile_named(name: str) -> Profile:
    """Return the profile called ``name``.

    Raises:
        UsageError: No profile has this name. The hint lists all names.
    """
    try:
        return PROFILES[name]
    except KeyError:
        raise UsageError(
            f"unknown profile {name!r}", f"the profiles are {', '.join(PROFILES)} (or {AUTO})"
        ) from None


def with_maple(profile: Profile) -> Profile:
    """Return ``profile`` for kernels before 6.13, whose free set is a maple tree."""
    return replace(profile, maple=True)
