"""A recording from rings in files: what is drained, in which order, and what is said at the end."""

from __future__ import annotations

import signal
import struct
from pathlib import Path
from typing import Any, cast

import pytest

from arenatrace.capture.loader import Probes
from arenatrace.capture.notes import NoteType
from arenatrace.capture.points import POINTS, PointState
from arenatrace.capture.ring import HEADER_BYTES
from arenatrace.capture.session import (
    Plan,
    Result,
    _check_command,
    _check_output,
    _Session,
    _signals,
)
from arenatrace.errors import UsageError
from arenatrace.schema import GUARD_SZ, Kind, Outcome, WireFlag
from arenatrace.trace.reader import open_trace
from tests.unit.capture.c_header import structs
from tests.unit.capture.kernel_blob import kernel
from tests.unit.capture.make_notes import KERN_VM, PTR
from tests.unit.capture.make_records import event, records
from tests.unit.capture.ring_file import RingFile

USER = 0x7F00_1000_0000


def test_an_output_that_exists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists already") as caught:
        _check_output(tmp_path)
    assert "-o" in caught.value.hint


def test_a_dangling_link_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link.atrace"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="exists already"):
        _check_output(link)


@pytest.mark.parametrize("parent", ["none", "file"])
def test_an_output_without_a_directory_is_refused(tmp_path: Path, parent: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="does not exist") as caught:
        _check_output(tmp_path / parent / "run.atrace")
    assert caught.value.hint == f"mkdir -p {tmp_path / parent}"


def test_a_directory_that_is_not_ours_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, _mode: path != tmp_path)
    with pytest.raises(UsageError, match="cannot be written to"):
        _check_output(tmp_path / "run.atrace")


def test_a_command_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot start no-such-command: no such program"):
        _check_command(("no-such-command", "-x"))


@pytest.mark.parametrize("command", [(), ("sh",), ("/bin/sh", "-c", "x")])
def test_a_command_that_is_there_is_fine(command: tuple[str, ...]) -> None:
    _check_command(command)


def test_a_new_name_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _check_output(tmp_path / "run.atrace")
    monkeypatch.chdir(tmp_path)
    _check_output(Path("run.atrace"))


def test_signal_handlers_are_put_back() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    heard: list[int] = []
    with _signals(lambda number, _frame: heard.append(number)):
        for number in numbers:
            signal.raise_signal(number)
    assert heard == list(numbers)
    assert [signal.getsignal(number) for number in numbers] == before


def _head(kind: NoteType, ts_ns: int, key: int, size: int, flags: int = 0) -> bytearray:
    raw = bytearray(size)
    struct.pack_into("<IIQQ", raw, 0, kind, flags, ts_ns, key)
    return raw


def _arena_note(ts_ns: int) -> bytes:
    raw = _head(NoteType.ARENA, ts_ns, PTR, structs()["at_note_arena"].size)
    struct.pack_into("<QQ", raw, 24, KERN_VM, USER)
    return bytes(raw)


class _FakeProbes:
    """Probes whose rings are files; ``late`` happens when they are stopped."""

    def __init__(self) -> None:
        self.event_bytes = self.note_bytes = 4096
        self.rings = {"events": RingFile(4096), "notes": RingFile(4096)}
        self.attached = [point.function for point in POINTS if point.function != "free_module"]
        self.refused = {"free_module": "not today"}
        self.lost: dict[str, int] = {}
        self.late: list[dict[str, Any]] = []
        self.closed = 0

    def send(self, *values: dict[str, Any]) -> None:
        """Put events into their ring."""
        for record in records(*values):
            assert self.rings["events"].produce(record.tobytes()[HEADER_BYTES:])

    def attach(self) -> None:
        """Attach nothing."""

    def run_iterators(self) -> None:
        """Enumerate nothing."""

    def map_fd(self, name: str) -> int:
        """The ring's file."""
        return self.rings[name].fd

    def own_program_ids(self) -> set[int]:
        """No programs."""
        return set()

    def recursion_misses(self) -> dict[str, int]:
        """One probe was skipped twice."""
        return {"kfunc__x": 2}

    def lost_events(self) -> dict[str, int]:
        """Running totals, as the per-CPU counters give them."""
        return dict(self.lost)

    def lost_notes(self) -> int:
        """One note was lost."""
        return 1

    def close(self) -> None:
        """Stop; what was on its way arrives."""
        if not self.closed:
            self.send(*self.late)
        self.closed += 1


@pytest.fixture
def probes() -> _FakeProbes:
    return _FakeProbes()


def _run(probes: _FakeProbes, plan: Plan) -> Result:
    states = [PointState(point, True) for point in POINTS]
    with _Session(plan, cast(Probes, probes), states, kernel()) as session:
        return session.run()


def _events(path: Path) -> list[dict[str, Any]]:
    return open_trace(path).scan("events").collect().to_dicts()


def test_a_recording_from_start_to_seal(probes: _FakeProbes, tmp_path: Path) -> None:
    probes.rings["notes"].produce(_arena_note(900))
    probes.rings["notes"].produce(b"not a note")
    fault = event(
        Kind.KERNEL_FAULT,
        ts_ns=1002,
        arena=PTR,
        addr=KERN_VM + GUARD_SZ // 2 + (USER & 0xFFFF_FFFF) + 0x2000,
        flags=WireFlag.OK | WireFlag.PTE_WAS_NONE,
    )
    probes.send(event(Kind.ARENA_CREATE, arena=PTR, ts_ns=1001), fault)
    probes.late = [event(Kind.PAGE_FREE, arena=PTR, ts_ns=1003, addr=USER)]
    path = tmp_path / "run.atrace"
    result = _run(probes, Plan(path, duration_s=0.01))

    rows = _events(path)
    assert [row["kind"] for row in rows] == [Kind.ARENA_CREATE, Kind.KERNEL_FAULT, Kind.PAGE_FREE]
    assert [row["pgoff"] for row in rows] == [None, 2, 0]
    assert rows[1]["outcome"] == Outcome.SCRATCH_INSTALLED
    trace = open_trace(path)
    assert trace.meta.sealed
    (arena,) = trace.scan("arenas").collect().to_dicts()
    assert (arena["ptr"], arena["user_vm_start"], arena["create_ts_ns"]) == (PTR, USER, 1001)
    assert {kind: n for kind, n in result.counts.items() if n} == {
        Kind.ARENA_CREATE: 1,
        Kind.KERNEL_FAULT: 1,
        Kind.PAGE_FREE: 1,
    }
    assert result.lost == {"missed by kfunc__x": 2, "notes": 1}
    assert "probe refused by the kernel: free_module: not today" in result.notices
    assert "1 note(s) from the probes could not be read" in result.notices
    for ring in probes.rings.values():
        assert ring.consumed == ring.produced


def test_losses_are_rows_once(probes: _FakeProbes, tmp_path: Path) -> None:
    """Totals only grow: each look adds what is new, and the sum is the total."""
    path = tmp_path / "run.atrace"
    probes.lost = {"page_alloc": 5}

    def more(_progress: object) -> None:
        probes.lost = {"page_alloc": 9, "prog_fault": 1}

    result = _run(probes, Plan(path, duration_s=0.01, on_progress=more))
    lost = [(row["ret"], row["pages"]) for row in _events(path) if row["kind"] == Kind.LOST]
    assert lost == [(Kind.PAGE_ALLOC, 5), (Kind.PAGE_ALLOC, 4), (Kind.PROG_FAULT, 1)]
    assert (result.lost["page_alloc"], result.lost["prog_fault"]) == (9, 1)


def test_the_commands_end_is_the_recordings(probes: _FakeProbes, tmp_path: Path) -> None:
    result = _run(probes, Plan(tmp_path / "run.atrace", command=("sh", "-c", "exit 7")))
    assert result.command_status == 7
    assert open_trace(result.path).meta.command_status == 7


def test_a_command_that_goes_on_is_ended(probes: _FakeProbes, tmp_path: Path) -> None:
    plan = Plan(tmp_path / "run.atrace", duration_s=0.01, command=("sleep", "600"))
    assert _run(probes, plan).command_status == -signal.SIGTERM


def test_a_command_that_cannot_be_started(probes: _FakeProbes, tmp_path: Path) -> None:
    path = tmp_path / "run.atrace"
    with pytest.raises(UsageError, match="cannot start no-such-command"):
        _run(probes, Plan(path, command=("no-such-command",)))
    assert not open_trace(path).meta.sealed


def test_a_signal_ends_the_recording_with_a_sealed_trace(
    probes: _FakeProbes, tmp_path: Path
) -> None:
    path = tmp_path / "run.atrace"
    _run(probes, Plan(path, on_progress=lambda _progress: signal.raise_signal(signal.SIGINT)))
    assert open_trace(path).meta.sealed


def test_a_missing_point_is_in_the_trace(probes: _FakeProbes, tmp_path: Path) -> None:
    path = tmp_path / "run.atrace"
    _run(probes, Plan(path, duration_s=0.01))
    meta = open_trace(path).meta
    assert meta.probes is not None
    assert [probe.point for probe in meta.probes.missing] == ["free_module"]
