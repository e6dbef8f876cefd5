"""Shared vocabulary: causes, levels, profiles and fault kinds agree across packages and docs."""

from __future__ import annotations

import re

from arenatrace.analysis.causes.reasons import Reason
from arenatrace.model.kernel.profiles import PROFILES
from arenatrace.report.explain_text import _TITLES
from arenatrace.schema import FAULT_KINDS, Cause, Kind, Level, ProfileName
from tests.paths import ROOT


def _first_column(page: str, heading: str) -> list[str]:
    """Return the code words in the first column of the table below ``heading``."""
    text = (ROOT / "docs" / page).read_text()
    section = text.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^\| `([a-z-]+)` \|", section, flags=re.MULTILINE)


def test_docs_list_the_causes_in_the_order_of_the_rules() -> None:
    assert _first_column("causes.md", "The causes") == [cause.value for cause in Cause]


def test_each_cause_follows_from_a_reason() -> None:
    assert {reason.cause for reason in Reason} == set(Cause)


def test_each_cause_has_a_title() -> None:
    assert set(_TITLES) == set(Cause)


def test_each_profile_name_has_a_profile() -> None:
    assert list(PROFILES) == [name.value for name in ProfileName]


def test_fault_kinds_are_kernel_side_and_program_side() -> None:
    faults = {kind for kind in Kind if kind.label.endswith("_fault")} - {Kind.USER_FAULT}
    assert set(FAULT_KINDS) == faults


def test_levels_are_in_ascending_order() -> None:
    assert [level.value for level in Level] == ["faults", "pages", "stacks"]
