"""Each profile is detected from the kernel's types."""

from __future__ import annotations

import pytest

from arenatrace.capture.kernel.btf import Btf
from arenatrace.capture.kernel.profile import detect, features

from .btf_blob import Blob

_HANDLER = "bpf_arena_handle_page_fault"


def _kernel(arena: list[str], apply_range: list[str], functions: list[str]) -> Btf:
    blob = Blob()
    number = blob.integer()
    for name, members in (("bpf_arena", arena), ("apply_range_data", apply_range)):
        if members:
            blob.struct(name, [(member, number, 32 * i) for i, member in enumerate(members)])
    for name in functions:
        blob.function(name, ["addr"])
    return Btf(blob.encode())


@pytest.mark.parametrize(
    ("arena", "apply_range", "functions", "profile"),
    [
        ([], [], [], None),
        (["map"], [], [], "pre-scratch"),
        (["map", "garbage_page"], ["arena"], [], "map-always"),
        (["map", "scratch_page"], ["pages"], [_HANDLER], "scratch-sticky"),
        (["map", "scratch_page"], ["pages", "scratch_page"], [_HANDLER], "scratch-replace"),
        (["map", "scratch_page"], ["arena", "pages", "i"], [_HANDLER], "scratch-replace"),
        # a kernel that does it in another way proves nothing
        (["map", "scratch_page"], [], [_HANDLER], None),
        # the page alone recovers nothing
        (["map", "scratch_page"], ["pages", "scratch_page"], [], "pre-scratch"),
    ],
)
def test_profile_is_detected(
    arena: list[str], apply_range: list[str], functions: list[str], profile: str | None
) -> None:
    assert detect(features(_kernel(arena, apply_range, functions))) == profile
