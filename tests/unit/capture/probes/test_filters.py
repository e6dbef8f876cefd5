"""Filters of a recording, against the objects that exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from arenatrace.capture.kernel.cgroup import Cgroup, find_cgroup
from arenatrace.capture.probes.filters import Filters, as_id, as_tag, kernel_name
from arenatrace.capture.ring.notes import ArenaNote, ProgNote
from arenatrace.errors import UsageError
from tests.unit.capture.ring.make_notes import TAG, arena_note, prog_note

_EXISTING: list[ArenaNote | ProgNote] = [
    arena_note(0, id=7, name="qmap"),
    arena_note(0, id=8, name=""),
    prog_note(0, id=5, name="fifteen_letters"),
]


@pytest.mark.parametrize(
    "filters",
    [
        Filters(),
        Filters(arenas=("7", "qmap")),
        Filters(arenas=("8",)),
        Filters(programs=("5", "fifteen_letters", TAG)),
        # the kernel truncates names to 15 bytes
        Filters(programs=("fifteen_letters_and_more",)),
        Filters(arenas=("not_there",), later=True),
    ],
    ids=repr,
)
def test_filters_of_existing_and_later_objects_are_accepted(filters: Filters) -> None:
    filters.check(_EXISTING)


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (Filters(arenas=("qma",)), "--arena qma: no such arena"),
        (Filters(arenas=("5",)), "--arena 5: no such arena"),
        (Filters(programs=("7",)), "--program 7: no such program"),
        (Filters(programs=("f" * 16,)), "--program f{16}: no such program"),
        # an id names one object, so --later does not apply
        (Filters(arenas=("9",), later=True), "--arena 9: no such arena"),
    ],
)
def test_filter_without_object_is_refused_with_a_list(filters: Filters, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        filters.check(_EXISTING)
    hint = caught.value.hint
    if filters.arenas:
        assert hint.startswith("existing: qmap (id 7), (no name) (id 8)")
    else:
        assert hint.startswith("existing: fifteen_letters (id 5)")
    word = (filters.arenas or filters.programs)[0]
    assert ("--later" in hint) == (as_id(word) is None)


def test_list_of_no_objects_and_of_many() -> None:
    with pytest.raises(UsageError) as caught:
        Filters(arenas=("a",)).check([])
    assert "no arena exists now" in caught.value.hint
    many = [arena_note(0, id=number, name=f"a{number}") for number in range(1, 31)]
    with pytest.raises(UsageError) as caught:
        Filters(arenas=("a",)).check(many)
    assert "a20 (id 20) and 10 more" in caught.value.hint


@pytest.mark.parametrize("word", ["", "a\0b"])
def test_impossible_name_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="needs an id or a name"):
        Filters(arenas=(word,))
    with pytest.raises(UsageError, match="needs an id or a name"):
        Filters(programs=(word,))


def test_too_many_filters_are_refused() -> None:
    with pytest.raises(UsageError, match="--program given 65 times"):
        Filters(programs=("x",) * 65)


def test_macros_only_for_given_filters() -> None:
    assert not Filters()
    assert Filters().macros() == ()
    filters = Filters(("a",), ("p",), (Cgroup("/x", 77, 1), Cgroup("/x/y", 78, 2)))
    assert filters.macros() == (
        "AT_FILTER_ARENA",
        "AT_FILTER_PROG",
        "AT_FILTER_CGROUP=("
        + "||".join(f"bpf_get_current_ancestor_cgroup_id({n})=={76 + n}ULL" for n in (1, 2))
        + ")",
    )
    assert filters.as_meta() == {"arena": ("a",), "program": ("p",), "cgroup": ("/x", "/x/y")}


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("7", 7),
        ("4294967295", 4294967295),
        ("4294967296", None),
        ("0", None),
        ("٣", None),
        ("x7", None),
        ("", None),
        ("9" * 5000, None),
    ],
)
def test_as_id_accepts_ids_of_32_bits(word: str, number: int | None) -> None:
    assert as_id(word) == number


def test_tags_are_parsed_and_names_truncated() -> None:
    assert as_tag("0123456789abcdef") == 0xEFCDAB8967452301
    assert as_tag("0123456789ABCDEF") is None
    assert as_tag("1234") is None
    assert kernel_name("é" * 8) == "é".encode() * 7 + b"\xc3"


# ---- cgroups ----


@pytest.fixture
def mounted(tmp_path: Path) -> tuple[Path, Path]:
    """Return a directory in place of the cgroup hierarchy, and a mountinfo that lists it."""
    root = tmp_path / "cgroup"
    (root / "user.slice" / "one.scope").mkdir(parents=True)
    (root / "system.slice").mkdir()
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(
        "30 24 0:25 / /proc rw - proc proc rw\n"
        f"31 24 0:26 / {root} rw,nosuid - cgroup2 cgroup2 rw\n"
    )
    return root, mountinfo


@pytest.mark.parametrize("form", ["path", "absolute path", "relative", "id"])
def test_cgroup_is_found(mounted: tuple[Path, Path], form: str) -> None:
    root, mountinfo = mounted
    directory = root / "user.slice" / "one.scope"
    number = directory.stat().st_ino
    word = {
        "path": "/user.slice/one.scope",
        "absolute path": str(directory),
        "relative": "user.slice/one.scope",
        "id": str(number),
    }[form]
    assert find_cgroup(word, mountinfo) == Cgroup("/user.slice/one.scope", number, 2)


def test_root_is_a_cgroup(mounted: tuple[Path, Path]) -> None:
    root, mountinfo = mounted
    assert find_cgroup("/", mountinfo) == Cgroup("/", root.stat().st_ino, 0)


@pytest.mark.parametrize("word", ["none.slice", "/proc", "../outside", "99999999999", "a\0b"])
def test_missing_cgroup_is_refused(mounted: tuple[Path, Path], word: str) -> None:
    root, mountinfo = mounted
    (root.parent / "outside").mkdir()
    with pytest.raises(UsageError, match="no such cgroup") as caught:
        find_cgroup(word, mountinfo)
    assert "system.slice, user.slice" in caught.value.hint


def test_cgroup_namespace_hides_the_root(tmp_path: Path) -> None:
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text("31 24 0:26 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
    with pytest.raises(UsageError, match="is not visible here"):
        find_cgroup("/", mountinfo)
