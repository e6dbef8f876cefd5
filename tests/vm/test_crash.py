"""Recorders that are killed, a kernel that panics, a disk that is full: what is left is true."""

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
#: By docs/recording.md: about so much (s) is lost by a kill, and by a crash of the kernel. The
#: emulated guest is slow, so both are allowed to be late.
KILL_LOSES_S = 1.0
CRASH_LOSES_S = 2.0
SLACK_S = 1.5

_TORN = r"(\w+): the last ([\d,]+) bytes were torn and are dropped"

_JOBS = Path(__file__).parent / "guest_jobs"
_DRIVER, _FULL = _JOBS / "crash_recorder.py", _JOBS / "full-disk.sh"


@dataclass(frozen=True)
class Cut:
    """A recording that was cut off: its trace, and what had happened by then."""

    name: str
    path: Path
    sealing: bool
    ended_ns: int
    produced: int
    flushed: int
    flushed_ns: int

    def trace(self) -> Trace:
        """The trace; TraceError would be a failure of the test."""
        return open_trace(self.path)

    def kept(self, trace: Trace) -> pl.DataFrame:
        """The rows that are there."""
        return trace.scan("events").collect()


def _cuts(directory: Path) -> list[Cut]:
    said = (directory / "cuts.jsonl").read_text()
    rows: list[dict[str, Any]] = [json.loads(line) for line in said.splitlines()]
    return [
        Cut(path=directory / f"{row['name']}.atrace", **row)
        for row in rows
        # of those killed in a write only the last one is what it was to be
        if not row["name"].startswith("write-") or row is rows[-1]
    ]


@pytest.fixture(scope="module")
def crashes(lab: Lab) -> tuple[list[Cut], Path]:
    """The killed recorders, and where the results are, of one boot."""
    built = lab.prepare(STORM, BUILD)
    storm = f"files/{built.name}/build/storm"
    result = lab.run(
        f"sh files/{_FULL.name} {storm}; python files/{_DRIVER.name} {storm} {SEED} {ROUNDS}",
        files=[built, _DRIVER, _FULL],
        timeout=500,
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}\n{result.console[-3000:]}"
    return _cuts(result.out_dir), result.out_dir


def _check(cut: Cut) -> tuple[int, float]:
    """What is there is whole up to the cut; events and seconds that were lost."""
    trace = cut.trace()
    rows = cut.kept(trace)
    # the ring's order, from its first event on, without a hole: nothing but the end is missing
    assert sorted(rows["seq"]) == list(range(len(rows)))
    assert len(rows) >= cut.flushed
    if not trace.meta.sealed:
        assert any("not sealed" in notice for notice in trace.notices), trace.notices
    assert Kind.LOST not in set(rows["kind"])
    status, _ = status_of("summary", cut.path, "--json")
    assert status in (0, 1, 4)
    last = max(rows["ts_ns"].to_list(), default=trace.meta.start_ts_ns)
    return cut.produced - len(rows), (cut.ended_ns - last) / 1e9


def test_whatever_the_moment_the_trace_opens_and_has_all_that_was_flushed(
    crashes: tuple[list[Cut], Path], figures: Callable[[str], None]
) -> None:
    cuts = [cut for cut in crashes[0] if cut.name.startswith("kill-")]
    assert len(cuts) == ROUNDS
    lost = [(cut, *_check(cut)) for cut in cuts]
    recording = [(events, seconds) for cut, events, seconds in lost if not cut.sealing]
    sealing = [cut for cut in cuts if cut.sealing]
    figures(f"killed at {len(recording)} moments while recording, seed {SEED}: lost at most")
    figures(f"  {max(s for _, s in recording):.2f} s, {max(e for e, _ in recording):,} events;")
    figures(f"  {sum(s for _, s in recording) / len(recording):.2f} s on average")
    done = sum(cut.trace().meta.sealed for cut in sealing)
    figures(f"killed at {len(sealing)} moments while sealing: {done} were sealed all the same")
    for _, seconds in recording:
        assert seconds < KILL_LOSES_S + SLACK_S


def test_what_was_recorded_is_all_there_when_it_is_killed_while_sealing(
    crashes: tuple[list[Cut], Path],
) -> None:
    for cut in crashes[0]:
        if cut.sealing:
            assert len(cut.kept(cut.trace())) >= cut.flushed > 0


def test_a_recorder_that_was_killed_in_a_write_leaves_a_torn_end_which_is_dropped(
    crashes: tuple[list[Cut], Path], figures: Callable[[str], None]
) -> None:
    cut = crashes[0][-1]
    assert cut.name.startswith("write-")
    file = cut.path / "events.arrows"
    dropped = file.stat().st_size - _whole_bytes(file)
    assert dropped > 0, "no write was cut short"
    _check(cut)
    assert _torn(cut.trace()) == {"events": dropped}
    with pa.ipc.open_stream(file.read_bytes()[:-dropped]) as stream:
        whole = sum(batch.num_rows for batch in stream)
    assert len(cut.kept(cut.trace())) == whole >= cut.flushed
    figures(f"killed in a write: {dropped:,} of {file.stat().st_size:,} bytes torn")


def _whole_bytes(file: Path) -> int:
    """Where the last batch ends that is there to its end; names are of use only to the next one."""
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
    """The torn ends that the reader says it dropped: bytes by table."""
    said = (re.fullmatch(_TORN, notice) for notice in trace.notices)
    return {match[1]: int(match[2].replace(",", "")) for match in said if match is not None}


def test_a_full_disk_ends_the_recording_and_not_the_command(
    crashes: tuple[list[Cut], Path], figures: Callable[[str], None]
) -> None:
    left = crashes[1]
    said = (left / "full.err").read_text().splitlines()
    assert int((left / "full.rc").read_text()) == 4, said
    why = "/tmp/small/full.atrace: no space left on the device, recording stopped"  # noqa: S108
    # the command itself waited for this line, and looked around some seconds later
    assert f"arenatrace: {why}; the command goes on" in said
    assert (left / "full.went-on").read_text().splitlines() == ["0", "the storm ran"]
    assert said[-3:-1] == [
        "arenatrace: the command ended with status 7",
        f"arenatrace: error: {why}",
    ]
    assert said[-1].startswith("hint: ")
    trace = open_trace(left / "full.atrace")
    rows = trace.scan("events").collect()
    assert sorted(rows["seq"]) == list(range(len(rows)))
    assert len(rows) > 1000
    assert any("no space left" in notice for notice in trace.notices), trace.notices
    assert trace.meta.command_status == 7
    assert status_of("summary", left / "full.atrace", "--json")[0] in (0, 1, 4)
    figures(f"a disk of 4 MiB: {len(rows):,} events kept")


def test_a_panic_costs_the_last_seconds(lab: Lab, figures: Callable[[str], None]) -> None:
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
    rows = cut.kept(trace)
    assert sorted(rows["seq"]) == list(range(len(rows)))
    assert any("not sealed" in notice for notice in trace.notices)
    # what had got to the disk of a file need not end with a message: what is said of it is true
    torn = {}
    for file in cut.path.glob("*.arrows"):
        size = file.stat().st_size
        if size > _whole_bytes(file):
            torn[file.stem] = size - _whole_bytes(file)
    assert _torn(trace) == torn
    assert status_of("summary", cut.path, "--json")[0] in (0, 1, 4)
    seconds = (cut.ended_ns - rows["ts_ns"].to_list()[-1]) / 1e9
    figures(f"a panic: {cut.produced - len(rows):,} events, {seconds:.2f} s lost")
    figures(f"  torn ends: {torn or 'none'}")
    assert seconds < CRASH_LOSES_S + SLACK_S
