"""The profile of arena behaviour of the running kernel, detected from its types.

No version is compared: each profile has a structure member or function that the others lack.
"""

from __future__ import annotations

from arenatrace.capture.kernel.btf import Btf
from arenatrace.schema import ProfileName

#: Feature to its evidence: a function, or a structure and its member.
_HANDLER = "bpf_arena_handle_page_fault"
_EVIDENCE: dict[str, tuple[str, ...]] = {
    _HANDLER: (_HANDLER,),
    "bpf_arena.map": ("bpf_arena", "map"),
    # the page that every empty entry points at under BPF_F_ARENA_MAP_ALWAYS
    "bpf_arena.garbage_page": ("bpf_arena", "garbage_page"),
    "bpf_arena.scratch_page": ("bpf_arena", "scratch_page"),
    # an allocation's callback gets this structure only: with the page or the arena in it, it can
    # recognise and replace a scratch page
    "apply_range_data.pages": ("apply_range_data", "pages"),
    "apply_range_data.scratch_page": ("apply_range_data", "scratch_page"),
    "apply_range_data.arena": ("apply_range_data", "arena"),
}


def features(btf: Btf) -> dict[str, bool]:
    """Return which profile features this kernel has."""
    return {
        name: btf.function(path[0]) is not None
        if len(path) == 1
        else btf.offset_of(path[0], *path[1:]) is not None
        for name, path in _EVIDENCE.items()
    }


def detect(found: dict[str, bool]) -> str | None:
    """Return the profile that ``features`` prove; None without an arena or without proof."""
    if not found["bpf_arena.map"]:
        return None
    if found["bpf_arena.garbage_page"]:
        return ProfileName.MAP_ALWAYS.value
    if not found[_HANDLER]:
        return ProfileName.PRE_SCRATCH.value
    if found["apply_range_data.scratch_page"] or found["apply_range_data.arena"]:
        return ProfileName.SCRATCH_REPLACE.value
    return ProfileName.SCRATCH_STICKY.value if found["apply_range_data.pages"] else None
