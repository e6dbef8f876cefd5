"""What recording costs, counted in instructions; runs in the guest, see ../capture_bench.py.

usage: capture_cost.py STORM PAIRS

Under -icount the guest's clocks advance by 4 ns an instruction, so CPU times are instruction
counts.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from arenatrace.capture.decode import Decoder
from arenatrace.capture.drain import Drain
from arenatrace.capture.kernel import Kernel
from arenatrace.capture.ledger import Ledger
from arenatrace.capture.loader import Probes
from arenatrace.capture.rings import UNMAPPED
from arenatrace.schema import WIRE
from arenatrace.trace.meta import Meta
from arenatrace.trace.writer import TraceWriter

NS_PER_INSTRUCTION = 4
SCRATCH = Path("/tmp/bench")  # noqa: S108 - the guest's own
TRUTH = SCRATCH / "truth.json"

BPFTRACE = """
fexit:vmlinux:arena_alloc_pages {
  printf("%llu A %u %u %u %s %llx %llx %llx %lld %d %d\\n", nsecs, cpu, pid, tid, comm,
         args.arena, args.uaddr, retval, args.page_cnt, args.node_id, args.sleepable);
}
fentry:vmlinux:arena_free_pages {
  printf("%llu F %u %u %u %s %llx %llx 0 %lld 0 %d\\n", nsecs, cpu, pid, tid, comm,
         args.arena, args.uaddr, args.page_cnt, args.sleepable);
}
"""
PERF_PROBES = (
    "arena_alloc_pages%return $retval",
    "arena_free_pages arena=%di:x64 uaddr=%si:x64 cnt=%dx:x64 sleepable=%cx:u8",
    "arena_alloc_pages arena=%di:x64 uaddr=%si:x64 cnt=%dx:x64 node=%cx:s32 sleepable=%r8:u8",
)


def storm(pairs: int) -> list[str]:
    """The command that makes so many pairs and writes what it used."""
    return [sys.argv[1], "--pairs", str(pairs), "--truth", str(TRUTH)]


def measure(name: str, command: list[str], output: Path | None, pairs: int) -> None:
    """Print what a tool costs for each pair, in instructions, and what it leaves on the disk."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        print(f"{command}: {done.returncode}\n{done.stdout.decode()}", file=sys.stderr)
    (told,) = json.loads(TRUTH.read_text())["cpus"]
    size = 0
    if output is not None:
        files = output.rglob("*") if output.is_dir() else [output]
        size = sum(file.stat().st_size for file in files if file.is_file())
    row = {
        "name": name,
        "task": told["cpu_ns"] / pairs / NS_PER_INSTRUCTION,
        "elapsed": told["wall_ns"] / pairs / NS_PER_INSTRUCTION,
        "bytes": size / (2 * pairs),
    }
    print(json.dumps(row), flush=True)


def tools(pairs: int) -> None:
    """All tools, with the untraced storm before and after."""
    subprocess.run(storm(pairs), check=True)  # warm
    measure("untraced", storm(pairs), None, pairs)
    for level in ("faults", "pages", "stacks"):
        out = SCRATCH / f"{level}.atrace"
        words = ["arenatrace", "record", "--level", level, "-o", str(out), "--", *storm(pairs)]
        measure(f"arenatrace {level}", words, out, pairs)
    perf(pairs)
    script, text = SCRATCH / "storm.bt", SCRATCH / "bpftrace.txt"
    script.write_text(BPFTRACE)
    words = ["bpftrace", "-o", str(text), "-c", " ".join(storm(pairs)), str(script)]
    measure("bpftrace", words, text, pairs)
    measure("untraced again", storm(pairs), None, pairs)


def perf(pairs: int) -> None:
    """The kprobes of perf: two of them, and a third for the arguments of the allocation."""
    data = SCRATCH / "perf.data"
    words = ["perf", "record", "-q", "-e", "probe:*", "-a", "-o", str(data), "--", *storm(pairs)]
    for name, probes in (("perf, 2 kprobes", PERF_PROBES[:2]), ("perf, 3 kprobes", PERF_PROBES)):
        for probe in probes:
            subprocess.run(["perf", "probe", "-q", "-a", probe], check=True)
        measure(name, words, data, pairs)
        subprocess.run(["perf", "probe", "-q", "-d", "probe:*"], check=True)


C_TYPES = {
    "<u8": ctypes.c_uint64,
    "<i8": ctypes.c_int64,
    "<u4": ctypes.c_uint32,
    "<u2": ctypes.c_uint16,
    "u1": ctypes.c_uint8,
    "S16": ctypes.c_char * 16,
}


class Event(ctypes.Structure):
    """The event record as a tool written with BCC declares it."""

    _fields_ = [(field.name, C_TYPES[field.fmt]) for field in WIRE]


class Ringful:
    """Probes, and what one storm leaves in their rings."""

    def __init__(self, pairs: int) -> None:
        kernel = Kernel.look("pages")
        self.probes = Probes(kernel.states, kernel.offsets)
        self.probes.attach()
        self._pairs = pairs

    def fill(self) -> None:
        """Record one storm into the rings; nobody reads."""
        self.probes.set_recording(True)
        subprocess.run(storm(self._pairs), check=True)
        self.probes.set_recording(False)

    def drain(self, name: str) -> None:
        """Have the recorder take it, into a trace."""
        decoder = Decoder(Ledger({}, set()))
        writer = TraceWriter(SCRATCH / f"{name}.atrace".replace(" ", "-"), Meta("x"))
        drain = Drain(self.probes, decoder.ledger, decoder, writer)
        drain.take()
        self.fill()
        began = time.process_time_ns()
        drain.take_rest()
        writer.flush()
        told(name, time.process_time_ns() - began, sum(decoder.counts.values()))


def told(name: str, used_ns: int, events: int) -> None:
    """Print what a drain used."""
    row = {"drain": name, "instructions": used_ns / NS_PER_INSTRUCTION / events}
    print(json.dumps({**row, "events": events}), flush=True)


def drains(pairs: int) -> None:
    """CPU per event of taking the same events out of the ring, in several ways."""
    rings = Ringful(pairs)
    rings.drain("arenatrace")
    rings.drain("arenatrace, warm")
    callbacks(rings)
    rings.probes.close()
    os.environ[UNMAPPED] = "1"
    Ringful(pairs).drain("arenatrace without mapping")


def callbacks(rings: Ringful) -> None:
    """A tool as BCC's own are: a callback for every event, which prints a line of it."""
    sink = (SCRATCH / "lines").open("w")
    state = {"taken": 0, "lines": 0}

    def take(record: bytes) -> None:
        state["taken"] += 1
        e = Event.from_buffer_copy(record)
        if state["lines"]:
            print(
                e.ts_ns, e.kind, e.cpu, e.pid, e.tid, e.comm.decode(), hex(e.arena), hex(e.addr),
                hex(e.ret), e.pages, e.flags, file=sink,
            )  # fmt: skip

    rings.probes.open_callbacks({"events": take})
    for lines, name in ((0, "BCC callback, members only"), (1, "BCC callback, a line each")):
        state |= {"taken": 0, "lines": lines}
        rings.fill()
        began = time.process_time_ns()
        rings.probes.consume()
        told(name, time.process_time_ns() - began, state["taken"])


SCRATCH.mkdir()
tools(int(sys.argv[2]))
drains(int(sys.argv[2]))
