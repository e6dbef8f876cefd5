"""Four generations of arena semantics, as data.

The same trace means different things on different kernels: each field of a profile is one
question on which the generations differ. The fields are what ``arena`` asks; nothing else in
the model knows a profile by its name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from arenatrace.errors import UsageError
from arenatrace.schema import ProfileName

#: Map flags (include/uapi/linux/bpf.h). The last was proposed and never merged.
BPF_F_SEGV_ON_FAULT = 1 << 17
BPF_F_NO_USER_CONV = 1 << 18
BPF_F_ARENA_MAP_ALWAYS = 1 << 20


class Touch(IntEnum):
    """What a kernel-side touch of an empty page comes to."""

    OOPS = 0
    SCRATCH = 1
    #: Every empty page table entry points at the garbage page, so nothing faults.
    GARBAGE = 2


@dataclass(frozen=True)
class Profile:
    """One generation of kernel/bpf/arena.c."""

    name: str
    where: str
    #: Kernel-side touch of an empty page of an arena without BPF_F_ARENA_MAP_ALWAYS.
    empty_touch: Touch
    #: BPF_F_ARENA_MAP_ALWAYS is a flag this kernel knows.
    has_map_always: bool = False
    #: An allocation over a scratch page replaces it; otherwise it is refused (-EBUSY inside).
    alloc_replaces_scratch: bool = False
    #: A free over a scratch page empties the entry; otherwise it stays scratched.
    free_clears_scratch: bool = False
    #: The free set is a maple tree: the lowest gap is taken, and a user fault needs a free page.
    maple: bool = False

    def touch(self, map_flags: int) -> Touch:
        """What a kernel-side touch of an empty page comes to in an arena with ``map_flags``."""
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
    """The profile called ``name``; UsageError, listing them all, if there is none."""
    try:
        return PROFILES[name]
    except KeyError:
        raise UsageError(
            f"unknown profile {name!r}", f"the profiles are {', '.join(PROFILES)} (or {AUTO})"
        ) from None


def with_maple(profile: Profile) -> Profile:
    """``profile`` on a kernel whose free set is still a maple tree (before 6.13)."""
    return replace(profile, maple=True)
