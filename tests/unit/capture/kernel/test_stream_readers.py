"""Who holds programs open, by what /proc shows of it, and what ftrace lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from arenatrace.capture.kernel.ftrace_functions import traceable
from arenatrace.capture.kernel.stream_readers import StreamReader, stream_readers

_PROGRAM = "pos:\t0\nflags:\t02000002\nprog_type:\t31\nprog_jited:\t1\nprog_id:\t{}\n"
_LINK = "pos:\t0\nlink_type:\ttracing\nlink_id:\t3\nprog_tag:\tab\nprog_id:\t{}\n"


def _process(proc: Path, pid: int, comm: str, argv: list[str], fds: list[str]) -> None:
    place = proc / str(pid)
    (place / "fdinfo").mkdir(parents=True)
    (place / "comm").write_text(comm + "\n")
    (place / "cmdline").write_text("".join(word + "\0" for word in argv))
    for number, text in enumerate(fds):
        (place / "fdinfo" / str(number)).write_text(text)


def test_readers_have_programs_open_or_run_tracelog(tmp_path: Path) -> None:
    _process(tmp_path, 10, "sched", ["./sched"], [_PROGRAM.format(9), _PROGRAM.format(5)])
    _process(tmp_path, 11, "bpftool", ["/usr/sbin/bpftool", "prog", "tracelog", "id", "5"], [])
    _process(tmp_path, 12, "cat", ["cat", "tracelog"], ["pos:\t0\nflags:\t0\n"])
    _process(tmp_path, 13, "linker", ["x"], [_LINK.format(5)])
    _process(tmp_path, 14, "odd", [], ["prog_type:\tx\nprog_id:\t-1\n", "\0\xff:\t:\t\n"])
    _process(tmp_path, 15, "bpftool", ["bpftool", "prog", "list"], [])
    (tmp_path / "self").symlink_to("16")
    _process(tmp_path, 16, "ours", ["arenatrace"], [_PROGRAM.format(7)])
    (tmp_path / "meminfo").touch()
    assert stream_readers(tmp_path) == [
        StreamReader(10, "sched", (5, 9), tracelog=False),
        StreamReader(11, "bpftool", (), tracelog=True),
    ]


def test_process_that_exits_during_the_search_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "17").mkdir()
    assert stream_readers(tmp_path) == []


@pytest.mark.parametrize("which", [0, 1])
def test_traceable_functions_are_read_from_tracefs(tmp_path: Path, which: int) -> None:
    places = (tmp_path / "a", tmp_path / "b")
    places[which].write_text("arena_vm_fault\nfree_module [some]\n\narena_vm_faults\n")
    names = frozenset({"arena_vm_fault", "free_module", "arena_vm"})
    assert traceable(names, places) == frozenset({"arena_vm_fault", "free_module"})


def test_traceable_is_none_without_the_list(tmp_path: Path) -> None:
    assert traceable(frozenset({"x"}), (tmp_path / "none",)) is None
