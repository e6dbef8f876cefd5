"""A growing trace, written in the way of the recorder.

As a program it is a stand-in for ``arenatrace record``: it writes until it is interrupted.

    python -m tests.tui.growing DIRECTORY FAULTS
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from types import FrameType

from arenatrace.schema import Kind
from arenatrace.trace.writer import TraceWriter
from tests.data.trace_builder import USER, TraceBuilder, record_batch, sample_meta

CODE = 0xFFFF_FFFF_A000_0000


class Growing:
    """An unsealed trace of one program that uses freed pages."""

    def __init__(self, path: Path) -> None:
        self.builder = TraceBuilder(meta=sample_meta(end_ts_ns=None))
        self.writer = TraceWriter(path, self.builder.meta)
        self._written = dict.fromkeys(self.builder.rows, 0)
        self.arena = self.builder.arena(name="growing_arena")
        line = {"addr": CODE, "file": "/src/live.bpf.c", "line": 77, "col": 1, "text": "*p = 1;"}
        self.prog = self.builder.program(
            "live_prog", [("touch", CODE, CODE + 64)], arena=self.arena, lines=[line]
        )
        self.flush()

    def use_after_free(self, page: int = 1) -> None:
        """Allocate, free and touch a page."""
        builder, arena = self.builder, self.arena
        user = USER + page * 4096
        builder.event(Kind.PAGE_ALLOC, arena=arena, pages=1, ret=user, pgoff=page)
        builder.event(Kind.PAGE_FREE, arena=arena, pages=1, addr=user, pgoff=page, sleepable=True)
        stack = builder.stack(CODE + 8)
        builder.prog_fault(arena=arena, prog=self.prog, ip=CODE + 8, stack=stack, pgoff=page)

    def flush(self) -> None:
        """Write all new rows, tables before events."""
        for table in ("arenas", "programs", "stacks", "symbols", "events"):
            rows = self.builder.rows[table][self._written[table] :]
            self._written[table] += len(rows)
            if rows:
                self.writer.append(table, record_batch(table, rows))
        self.writer.flush()

    def end(self) -> None:
        """End the recording and seal the trace."""
        self.flush()
        self.writer.update_meta(end_ts_ns=3_500_000_000)
        self.writer.close()


def main() -> int:
    """Write a trace with some faults, then idle until interrupted."""
    over: list[int] = []

    def hear(number: int, _frame: FrameType | None) -> None:
        over.append(number)

    signal.signal(signal.SIGINT, hear)
    signal.signal(signal.SIGTERM, hear)
    print("arenatrace: compiling and attaching probes", flush=True)
    growing = Growing(Path(sys.argv[1]))
    print("arenatrace: recording", flush=True)
    for _ in range(int(sys.argv[2])):
        growing.use_after_free()
    while not over:
        growing.flush()
        time.sleep(0.05)
    growing.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
