"""Killed recorders, a kernel panic, a full disk: the remaining trace opens and is correct."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from arenatrace.schema import Kind
from arenatrace.trace.reader import Trace, open_trace
from tests.vm.lab.errors import VmLost
from tests.vm.lab.lab import Lab
from tests.vm.recordings import status_of
from tests.vm.test_storm import BUILD, STORM

SEED = int(os.environ.get("ARENATRACE_VM_SEED") or "1")
ROUNDS = 20
#: Seconds of events lost by a kill and by a kernel crash, as in docs/recording.md, with slack
#: for the slow emulated guest.
KILL_LOSES_S = 1.0
CRASH_LOSES_S = 2.0
SLACK_S = 1.5

_TORN = r"(\w+): the last ([\d,]+) bytes were torn and are dropped"

_JOBS = Path(__file__).parent / "guest_jobs"
_DRIVER, _FULL = _JOBS / "crash_recorder.py", _JOBS / "full-disk.sh"


@dataclass(frozen=True)
class Interrupted:
    """An interrupted recording.

    Attributes:
        name: of the trace.
        path: the trace.
        sealing: the recorder was sealing.
        ended_ns: time of the interruption.
        produced: events in the ring by then.
        flushed: events that the recorder had written by its last flush.
        flushed_ns: time of that flush.
    """

    name: str
    path: Path
    sealing: bool
    ended_ns: int
    produced: int
    flushed: int
    flushed_ns: int

    def trace(self) -> Trace:
        """Open the trace."""
        return open_trace(self.path)

    def events(self, trace: Trace) -> pl.DataFrame:
        """Return the events of the trace."""
        return trace.scan("events").collect()


def _cuts(directory: Path) -> list[Interrupted]:
    lines = (directory / "cuts.jsonl").read_text().splitlines()
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return [
        Interrupted(path=directory / f"{row['name']}.atrace", **row)
        for row in rows
        # the recorder is killed in a write until one kill tears a message: the last one
        if not row["name"].startswith("write-") or row is rows[-1]
    ]


@pytest.fixture(scope="module")
def crashes(lab: Lab) -> tuple[list[Interrupted], Path]:
    """The interrupted recordings of one boot, and the directory of all results."""
    built = lab.prepare(STORM, BUILD)
    storm = f"files/{built.name}/build/storm"
    result = lab.run(
        f"sh files/{_FULL.name} {storm}; python files/{_DRIVER.name} {storm} {SEED} {ROUNDS}",
        files=[built, _DRIVER, _FULL],
        timeout=500,
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}\n{result.console[-3000:]}"
    return _cuts(result.out_dir), result.out_dir


def _check(cut: Interrupted) -> tuple[int, float]:
    """Check that only the end is missing; return the events and seconds that were lost."""
    trace = cut.trace()
    rows = cut.events(trace)
    # sequence numbers without a gap from the ring's first event on
    assert sorted(rows["seq"]) == list(range(len(rows)))
    assert len(rows) >= cut.flushed
    if not trace.meta.sealed:
        assert any("not sealed" in notice for notice in trace.warnings), trace.warnings
    assert Kind.LOST not in set(rows["kind"])
    status, _ = status_of("summary", cut.path, "--json")
    assert status in (0, 1, 4)
    last = max(rows["ts_ns"].to_list(), default=trace.meta.start_ts_ns)
    return cut.produced - len(rows), (cut.ended_ns - last) / 1e9


def test_killed_recorder_leaves_every_flushed_event(
    crashes: tuple[list[Interrupted], Path], figures: Callable[[str], None]
) -> None:
    cuts = [cut for cut in crashes[0] if cut.name.startswith("kill-")]
    assert len(cuts) == ROUNDS
    lost = [(cut, *_check(cut)) for cut in cuts]
    recording = [(events, seconds) for cut, events, seconds in lost if not cut.sealing]
    sealing = [cut for cut in cuts if cut.sealing]
    figures(f"killed {len(recording)} times while recording, seed {SEED}: lost at most")
    figures(f"  {max(s for _, s in recording):.2f} s, {max(e for e, _ in recording):,} events;")
    figures(f"  {sum(s for _, s in recording) / len(recording):.2f} s on average")
    done = sum(cut.trace().meta.sealed for cut in sealing)
    figures(f"killed {len(sealing)} times while sealing: {done} traces were sealed")
    for _, seconds in recording:
        assert seconds < KILL_LOSES_S + SLACK_S


def test_recorder_killed_while_sealing_leaves_every_flushed_event(
    crashes: tuple[list[Interrupted], Path],
) -> None:
    for cut in crashes[0]:
        if cut.sealing:
            assert len(cut.events(cut.trace())) >= cut.flushed > 0


def test_recorder_killed_in_a_write_leaves_a_torn_end_that_is_dropped(
    crashes: tuple[list[Interrupted], Path], figures: Callable[[str], None]
) -> None:
    cut = crashes[0][-1]
    assert cut.name.startswith("write-")
    file = cut.path / "events.arrows"
    dropped = file.stat().st_size - _complete_bytes(file)
    assert dropped > 0, "no write was cut short"
    _check(cut)
    assert _torn(cut.trace()) == {"events": dropped}
    with pa.ipc.open_stream(file.read_bytes()[:-dropped]) as stream:
        complete = sum(batch.num_rows for batch in stream)
    assert len(cut.events(cut.trace())) == complete >= cut.flushed
    figures(f"killed in a write: {dropped:,} of {file.stat().st_size:,} bytes torn")


def _complete_bytes(file: Path) -> int:
    """Return the end of the last complete batch; dictionaries belong to the batch after them."""
    end = 0
    with pa.OSFile(str(file)) as source:
        reader = pa.ipc.MessageReader.open_stream(source)
        try:
            while (message := reader.read_next_message()) is not None:
                if message.type != "dictionary":
                    end = source.tell()
        except (StopIteration, OSError, pa.ArrowException):
            pass
    return end


def _torn(trace: Trace) -> dict[str, int]:
    """Return the torn bytes that the reader reports, by table."""
    matches = (re.fullmatch(_TORN, notice) for notice in trace.warnings)
    return {match[1]: int(match[2].replace(",", "")) for match in matches if match is not None}


def test_full_disk_ends_the_recording_but_not_the_command(
    crashes: tuple[list[Interrupted], Path], figures: Callable[[str], None]
) -> None:
    out = crashes[1]
    stderr = (out / "full.err").read_text().splitlines()
    assert int((out / "full.rc").read_text()) == 4, stderr
    why = "/tmp/small/full.atrace: no space left on the device, recording stopped"  # noqa: S108
    # the command waited for this line and then counted the tracing programs
    assert f"arenatrace: {why}; the command goes on" in stderr
    assert (out / "full.went-on").read_text().splitlines() == ["0", "the storm ran"]
    assert stderr[-3:-1] == [
        "arenatrace: the command ended with status 7",
        f"arenatrace: error: {why}",
    ]
    assert stderr[-1].startswith("hint: ")
    trace = open_trace(out / "full.atrace")
    rows = trace.scan("events").collect()
    assert sorted(rows["seq"]) == list(range(len(rows)))
    assert len(rows) > 1000
    assert any("no space left" in notice for notice in trace.warnings), trace.warnings
    assert trace.meta.command_status == 7
    assert status_of("summary", out / "full.atrace", "--json")[0] in (0, 1, 4)
    figures(f"a disk of 4 MiB: {len(rows):,} events recorded")


def test_panic_loses_the_last_seconds_only(lab: Lab, figures: Callable[[str], None]) -> None:
    built = lab.prepare(STORM, BUILD)
    with pytest.raises(VmLost) as caught:
        lab.run(
            f"python files/{_DRIVER.name} files/{built.name}/build/storm {SEED} panic",
            files=[built, _DRIVER],
            append="oops=panic",
            timeout=300,
            keep_disk=True,
        )
    lost = caught.value
    assert "sysrq triggered crash" in lost.reason, str(lost)
    assert lost.out_dir is not None
    (cut,) = _cuts(lost.out_dir)
    assert cut.flushed > 0
    trace = cut.trace()
    rows = cut.events(trace)
    assert sorted(rows["seq"]) == list(range(len(rows)))
    assert any("not sealed" in notice for notice in trace.warnings)
    # the crash may cut a file inside a message: the reader must report exactly those bytes
    torn = {}
    for file in cut.path.glob("*.arrows"):
        size = file.stat().st_size
        if size > _complete_bytes(file):
            torn[file.stem] = size - _complete_bytes(file)
    assert _torn(trace) == torn
    assert status_of("summary", cut.path, "--json")[0] in (0, 1, 4)
    seconds = (cut.ended_ns - rows["ts_ns"].to_list()[-1]) / 1e9
    figures(f"a panic: {cut.produced - len(rows):,} events, {seconds:.2f} s lost")
    figures(f"  torn ends: {torn or 'none'}")
    assert seconds < CRASH_LOSES_S + SLACK_S
