"""Record a storm with one set of probes, and end the recorder or the kernel at some moment.

usage: crash_recorder.py STORM SEED ROUNDS
       crash_recorder.py STORM SEED panic

Runs in the guest. Each round forks a recorder, which leaves NAME.atrace in $LAB_OUT, and kills
it: three of four while it records, the fourth while it seals. At last one is killed in the
middle of a write, which is tried until its file ends in a torn message. A JSON line in
cuts.jsonl, on the disk before anything else happens, says what had been produced by then, what
the recorder had given to the kernel (it says so itself, after each flush, in a file), and when.
The oracle for the trace is what went through the ring.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from arenatrace.capture.plan import Plan
from arenatrace.capture.preflight import Kernel
from arenatrace.capture.probes.loader import Probes
from arenatrace.capture.ring.ring_buffer import RECORD, MappedRing
from arenatrace.capture.session import Session
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.recover import Tail, batches

OUT = Path(os.environ["LAB_OUT"])
SEAL_AFTER_S = 1.0
#: Events that make a large write, seconds they may take to gather, and how often it is tried.
LARGE = 20_000
STILL_S = 8.0
TRIES = 12


class Attached(Probes):
    """Probes that were attached once and for all."""

    def attach(self) -> None:
        """Only the first time."""
        if not self.attached:
            super().attach()


class Told(Session):
    """A recording that says how many events it has given to the kernel, after each flush."""

    said: Path

    def _flush(self, writer: Any) -> None:
        super()._flush(writer)
        _say(self.said, f"flushed {sum(self._decoder.counts.values())} {time.monotonic_ns()}")


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _say(file: Path, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{text}\n".encode())
    os.fsync(descriptor)
    os.close(descriptor)


class Rounds:
    """The probes, and the recorders that use them one after another."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)  # noqa: S311 - not for secrets
        self._where = OUT
        self._kernel = Kernel.detect("pages")
        self._probes = Attached(self._kernel.states, self._kernel.offsets)
        self._probes.attach()
        self._rings = [
            MappedRing(self._probes.map_fd(name), size)
            for name, size in (
                ("events", self._probes.ring_sizes.events),
                ("notes", self._probes.ring_sizes.notes),
            )
        ]

    def one(
        self, name: str, *, sealing: bool = False, panic: bool = False, writing: bool = False
    ) -> None:
        """Record, end it, and print what the trace must hold."""
        for ring in self._rings:
            ring.advance(ring.produced)
        said = Path("/tmp") / name  # noqa: S108 - the guest's own
        before = self._rings[0].produced
        child = os.fork()
        if not child:
            self._record(name, said, SEAL_AFTER_S if sealing else None)
        self._wait_for(said, "sealing" if sealing else "recording")
        if writing:
            self._wait_for_a_write(child, self._where / f"{name}.atrace" / "events.arrows")
        else:
            time.sleep(self._dice.uniform(3, 5) if panic else self._moment(sealing=sealing))
        ended_ns = time.monotonic_ns()
        # before a panic the recorder only stands still: what it had not written stays unwritten
        os.kill(child, signal.SIGSTOP if panic else signal.SIGKILL)
        if not panic:
            os.waitpid(child, 0)
        produced = (self._rings[0].produced - before) // RECORD.itemsize
        told = [line.split() for line in said.read_text().splitlines()]
        flushes = [(int(words[1]), int(words[2])) for words in told if words[0] == "flushed"]
        flushed, flushed_ns = flushes[-1] if flushes else (0, 0)
        row = {
            "name": name,
            "sealing": sealing,
            "ended_ns": ended_ns,
            "produced": produced,
            "flushed": flushed,
            "flushed_ns": flushed_ns,
        }
        _say(OUT / "cuts.jsonl", json.dumps(row))
        if panic:
            Path("/proc/sysrq-trigger").write_text("c")
        self._probes.set_recording(False)
        time.sleep(0.05)

    def _wait_for_a_write(self, child: int, file: Path) -> None:
        """Return in the middle of a large one: the recorder stood still for a while before."""
        os.kill(child, signal.SIGSTOP)
        enough = self._rings[0].produced + LARGE * RECORD.itemsize
        until = time.monotonic() + STILL_S
        while self._rings[0].produced < enough and time.monotonic() < until:
            time.sleep(0.05)
        size = _size(file)
        os.kill(child, signal.SIGCONT)
        until = time.monotonic() + 20
        # the first page of it is there
        while _size(file) == size:
            if time.monotonic() > until:
                raise SystemExit("the recorder never wrote")

    def torn(self) -> None:
        """Kill recorders in the middle of a write until one leaves a torn file.

        Onto a tmpfs, which takes one page after another; ext4 may take as much as 2 MiB at once.
        """
        self._where = Path("/tmp/torn")  # noqa: S108 - the guest's own
        self._where.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "none", self._where], check=True)
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(2))
        for number in range(TRIES):
            name = f"write-{number}"
            self.one(name, writing=True)
            tail = Tail()
            shutil.copytree(self._where / f"{name}.atrace", OUT / f"{name}.atrace")
            events = OUT / f"{name}.atrace" / "events.arrows"
            for _ in batches(events, arrow_schema("events"), tail):
                pass
            print(f"{name}: {tail.dropped_bytes} of {events.stat().st_size} bytes torn", flush=True)
            if tail.dropped_bytes:
                return

    def _moment(self, *, sealing: bool) -> float:
        return self._dice.uniform(0, 0.7) if sealing else self._dice.uniform(0.2, 3.2)

    def _record(self, name: str, said: Path, duration_s: float | None) -> None:
        try:
            plan = Plan(
                self._where / f"{name}.atrace",
                duration_s=duration_s,
                on_status=lambda text: _say(said, text),
            )
            session = Told(plan, self._probes, self._kernel)
            session.said = said
            session.run()
            os.kill(os.getpid(), signal.SIGSTOP)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
        finally:
            os._exit(1)

    @staticmethod
    def _wait_for(said: Path, text: str) -> None:
        until = time.monotonic() + 60
        while not said.exists() or text not in said.read_text():
            if time.monotonic() > until:
                raise SystemExit(f"the recorder never said {text}")
            time.sleep(0.002)


def main() -> None:
    """See the top of this file."""
    storm, seed, what = sys.argv[1:]
    words = [storm, "--cpus", "2", "--pairs", "1000000000", "--pause", "50000"]
    # attached before the storm begins: an emulated CPU may not survive code patched under it
    rounds = Rounds(int(seed))
    busy = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        if what == "panic":
            rounds.one("panic", sealing=False, panic=True)
        for number in range(0 if what == "panic" else int(what)):
            rounds.one(f"kill-{number:02}", sealing=number % 4 == 3)
        if what != "panic":
            rounds.torn()
    finally:
        busy.kill()
        busy.wait()


main()
