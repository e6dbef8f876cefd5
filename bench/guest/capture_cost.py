"""What recording costs, counted in instructions; runs in the guest, see ../capture_bench.py.

usage: capture_cost.py STORM PAIRS PART[,PART...], of levels, tools, rest and drains

Under -icount the guest's clocks advance by 4 ns an instruction, so CPU times are instruction
counts.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from arenatrace.capture.decode.decoder import Decoder
from arenatrace.capture.drain import Drain
from arenatrace.capture.identity.ledger import Ledger
from arenatrace.capture.preflight import Kernel
from arenatrace.capture.probes.loader import Probes
from arenatrace.capture.probes.rings import UNMAPPED
from arenatrace.capture.ring.ring_buffer import RECORD, MappedRing
from arenatrace.schema import WIRE, Kind
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.meta import Meta
from arenatrace.trace.writer import TraceWriter

NS_PER_INSTRUCTION = 4
#: On the guest's disk, as a recording is.
SCRATCH = Path("/var/bench")
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
#: With the probes that work on any function, and that most scripts have.
BPFTRACE_KPROBES = """
kprobe:arena_alloc_pages {
  @asked[tid] = (arg0, arg1, arg2, arg3, arg4);
}
kretprobe:arena_alloc_pages {
  printf("%llu A %u %u %u %s %llx %llx %llx %lld %d %d\\n", nsecs, cpu, pid, tid, comm,
         @asked[tid].0, @asked[tid].1, retval, @asked[tid].2, @asked[tid].3, @asked[tid].4);
  delete(@asked, tid);
}
kprobe:arena_free_pages {
  printf("%llu F %u %u %u %s %llx %llx 0 %lld 0 %d\\n", nsecs, cpu, pid, tid, comm,
         arg0, arg1, arg2, arg3);
}
"""
PERF_PROBES = (
    "arena_alloc_pages%return $retval",
    "arena_free_pages arena=%di:x64 uaddr=%si:x64 cnt=%dx:x64 sleepable=%cx:u8",
    "arena_alloc_pages arena=%di:x64 uaddr=%si:x64 cnt=%dx:x64 node=%cx:s32 sleepable=%r8:u8",
)


#: What a tool does at its beginning is over by then, and what it makes of the storm's own
#: programs; the storm waits for that long.
QUIET_MS = 5000
#: So long the storm sleeps after each 2,000 pairs, where only a part of it is wanted.
PAUSE_US = 1_000_000
#: Seconds for a tool to come to rest once its command is there, and for which nothing happens.
SETTLE_S, REST_S = 20, 30


def storm(pairs: int, delay_ms: int = 0) -> list[str]:
    """The command that makes so many pairs and writes what it used."""
    words = [sys.argv[1], "--pairs", str(pairs), "--truth", str(TRUTH)]
    return [*words, "--delay", str(delay_ms)] if delay_ms else words


def run(command: list[str]) -> None:
    """Run a command that should succeed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        print(f"{command}: {done.returncode}\n{done.stdout.decode()}", file=sys.stderr)


def measure(name: str, command: list[str], output: Path | None, pairs: int) -> None:
    """Print what a tool costs for each pair, in instructions, and what it leaves on the disk."""
    run(command)
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


def recorder(options: list[str], output: Path, command: list[str]) -> list[str]:
    """``arenatrace record`` of a command."""
    shutil.rmtree(output, ignore_errors=True)
    return ["arenatrace", "record", "--level", *options, "-o", str(output), "--", *command]


def bpftrace(command: list[str], text: str = BPFTRACE) -> list[str]:
    """The same fields by bpftrace, of a command."""
    script = SCRATCH / "storm.bt"
    script.write_text(text)
    words = ["bpftrace", "-o", str(SCRATCH / "bpftrace.txt"), "-c", " ".join(command)]
    return [*words, str(script)]


def levels(pairs: int) -> None:
    """The recorder at each level, after the untraced storm."""
    work = storm(pairs, QUIET_MS)
    subprocess.run(work, check=True)  # warm
    measure("untraced", work, None, pairs)
    for options in (["faults"], ["pages"], ["stacks"], ["stacks", "--walk-every-stack"]):
        name = " ".join(options)
        out = SCRATCH / f"{name}.atrace"
        measure(f"arenatrace {name}", recorder(options, out, work), out, pairs)


def tools(pairs: int) -> None:
    """What users would take instead, and the untraced storm once more."""
    work = storm(pairs, QUIET_MS)
    perf(pairs)
    for name, text in (("bpftrace", BPFTRACE), ("bpftrace, kprobes", BPFTRACE_KPROBES)):
        measure(name, bpftrace(work, text), SCRATCH / "bpftrace.txt", pairs)
    measure("untraced again", work, None, pairs)


def rests() -> None:
    """What recorders take of their own: until they record, and each second of nothing."""
    waiting = ["sleep", "1000"]
    for name, words in (
        ("arenatrace faults", recorder(["faults"], SCRATCH / "rest.atrace", waiting)),
        ("bpftrace", bpftrace(waiting)),
    ):
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as tool:
            while not _children(tool.pid):
                time.sleep(0.1)
            time.sleep(SETTLE_S)
            began_s, before = time.monotonic(), _used(tool.pid)
            time.sleep(REST_S)
            second = (_used(tool.pid) - before) / (time.monotonic() - began_s)
            once = before - second * SETTLE_S
            print(json.dumps({"rest": name, "second": second, "once": once}), flush=True)
            tool.send_signal(signal.SIGINT)


def _children(pid: int) -> str:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text()


def _used(pid: int) -> float:
    """Instructions that the threads of a process took so far."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    used_ns = sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)
    return used_ns / NS_PER_INSTRUCTION


def perf(pairs: int) -> None:
    """The kprobes of perf: two of them, and a third for the arguments of the allocation."""
    data = SCRATCH / "perf.data"
    work = storm(pairs, QUIET_MS)
    words = ["perf", "record", "-q", "-e", "probe:*", "-a", "-o", str(data), "--", *work]
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

    def __init__(self) -> None:
        kernel = Kernel.detect("pages")
        self.probes = Probes(kernel.states, kernel.offsets)
        self.probes.attach()

    def fill(self, pairs: int, settle: Callable[[], object] = lambda: None) -> None:
        """Record at least so many pairs into the rings; nobody reads after ``settle``.

        What is said of the storm's program at its beginning and its end is no event, and BCC's
        callbacks do not read it: neither is among what is left.
        """
        ring = MappedRing(self.probes.map_fd("events"), self.probes.ring_sizes.events)
        self.probes.set_recording(True)
        words = [*storm(100 * pairs, QUIET_MS), "--pause", str(PAUSE_US)]
        with subprocess.Popen(words) as work:
            time.sleep(QUIET_MS / 2000)
            settle()
            until = ring.produced + 2 * pairs * RECORD.itemsize
            while ring.produced < until:
                time.sleep(PAUSE_US / 5e6)
            # it sleeps after each 2,000 pairs
            self.probes.set_recording(False)
            work.kill()

    def drain(self, name: str, *storms: int) -> None:
        """Have one recorder take storms of so many pairs, one after another, into one trace."""
        decoder = Decoder(Ledger({}, set()))
        writer = TraceWriter(SCRATCH / f"{name}.atrace".replace(" ", "-"), Meta("x"))
        drain = Drain(self.probes, decoder.ledger, decoder, writer)
        drain.take()
        for pairs in storms:
            self.fill(pairs, drain.take)
            before = sum(decoder.counts.values())
            began = time.process_time_ns()
            drain.take_rest()
            writer.flush()
            used = time.process_time_ns() - began
            told(name, used, sum(decoder.counts.values()) - before)


def told(name: str, used_ns: int, events: int) -> None:
    """Print what a drain used."""
    row = {"drain": name, "instructions": used_ns / NS_PER_INSTRUCTION / events}
    print(json.dumps({**row, "events": events}), flush=True)


def drains(pairs: int) -> None:
    """CPU per event of taking the same events out of the ring, in several ways."""
    rings = Ringful()
    rings.drain("arenatrace", pairs, pairs, pairs, 5 * pairs, pairs // 4, pairs // 20)
    Callbacks(rings, pairs).all_ways()
    rings.probes.close()
    os.environ[UNMAPPED] = "1"
    Ringful().drain("arenatrace without mapping", pairs)
    del os.environ[UNMAPPED]  # what runs after this is not to inherit it


class Callbacks:
    """What somebody writes with BCC: a callback for every event, as its documentation has it."""

    def __init__(self, rings: Ringful, pairs: int) -> None:
        self._rings = rings
        self._pairs = pairs
        self._bpf = rings.probes._bpf  # noqa: SLF001 - as a user of BCC has it
        self._take: Callable[[Any], None] = self._members
        self._taken = 0
        self._rows: list[tuple[Any, ...]] = []
        self._lines = (SCRATCH / "lines").open("w")
        self._bpf[b"events"].open_ring_buffer(self._callback)

    def _callback(self, _context: Any, data: int, _size: int) -> int:
        self._taken += 1
        self._take(ctypes.cast(data, ctypes.POINTER(Event)).contents)
        return 0

    def all_ways(self) -> None:
        """The same events three times: only looked at, printed, and kept as the recorder does."""
        ways = (
            ("BCC callback, two members looked at", self._members, None),
            ("BCC callback, a line each", self._line, self._lines.flush),
            ("BCC callback, the recorder's rows into its file", self._row, self._write),
        )
        for name, take, after in ways:
            self._take, self._taken = take, 0
            self._rings.fill(self._pairs)
            began = time.process_time_ns()
            self._bpf.ring_buffer_consume()
            if after is not None:
                after()
            told(name, time.process_time_ns() - began, self._taken)

    @staticmethod
    def _members(e: Any) -> None:
        _ = e.kind, e.ts_ns

    def _line(self, e: Any) -> None:
        print(
            e.ts_ns, e.kind, e.cpu, e.pid, e.tid, e.comm.decode(), hex(e.arena), hex(e.addr),
            hex(e.ret), e.pages, e.flags, file=self._lines,
        )  # fmt: skip

    def _row(self, e: Any) -> None:
        # allocations and frees only, of one arena at one place: less than what the recorder does
        kind, ret, addr = e.kind, e.ret, e.addr
        alloc = kind == Kind.PAGE_ALLOC
        node = ctypes.c_int32(e.error_code).value if alloc else None
        self._rows.append(
            (
                e.ts_ns, len(self._rows), e.cpu, e.pid, e.tid, e.comm.decode(), kind, 0,
                ((ret if alloc and ret else addr) & 0xFFFFFFFF) >> 12, e.pages, addr, None,
                ret if alloc else None, None, bool(e.flags & 2), None, None, None, None, None,
                node, None, None,
            )
        )  # fmt: skip

    def _write(self) -> None:
        schema = arrow_schema("events")
        columns = zip(*self._rows, strict=True)
        arrays = [
            pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)
        ]
        writer = TraceWriter(SCRATCH / "callback.atrace", Meta("x"))
        writer.append("events", pa.RecordBatch.from_arrays(arrays, schema=schema))
        writer.flush()


if __name__ == "__main__":
    SCRATCH.mkdir()
    pairs = int(sys.argv[2])
    for part in sys.argv[3].split(","):
        if part == "levels":
            levels(pairs)
        elif part == "tools":
            tools(pairs)
        elif part == "rest":
            rests()
        else:
            drains(pairs // 10)
