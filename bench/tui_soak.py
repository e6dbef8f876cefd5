"""Memory of a terminal session that follows a recording for hours.

    python -m bench.tui_soak [--minutes 45] [--rate 1e5] [--data DIRECTORY] [--trace TRACE]
        [--accounts FILE]

Measured against: itself, by the slope of its memory over the second half of the time.

At 100,000 events a second 45 minutes are 270 million events, as many as 7.5 hours at 10,000 a
second. ``feed_churn.py`` makes the events: every 20 s there are new arenas, programs, stacks,
symbols and task names. The session, without a terminal at 120 x 40, cycles through its views,
opens faults and moves over the page map.

Each minute prints a line: events shown, memory (mean, least and most of 60 samples: each diagnosis
raises and lowers it), snapshots and frames a second, and the longest delay of a key. The last line
is the slope of the mean with its standard error, in MiB an hour. Bytes that were read are punched
out of the file, so that the disk does not fill; a trace with other readers would stay complete.

FILE receives the counts of ``memory_accounts.py`` each minute, to find what grows.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

import numpy as np

from bench.tui_bench import rss_mib

_SIZE = (120, 40)
_LINE_S = 60.0
_HEADING = "   min       events  MiB (least-most)  snapshots/s  frames/s  worst wait"
#: Keys that open views, one every ``_WALK_S`` seconds.
_WALK_S = 5.0
_WALK = ("2", "enter", "3", "left_square_bracket", "e", "4", "1", "2", "g", "g", "5", "1")
_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_LEAVE = 64 << 20


class Disk:
    """Frees the bytes of a file that the follower in this process has read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = os.open(path, os.O_RDWR)

    def free(self) -> None:
        """Punch a hole up to a little before the reader's position."""
        read = max(self._read_up_to() - _LEAVE, 0) // 4096 * 4096
        mode = _KEEP_SIZE | _PUNCH_HOLE
        if read:
            self._libc.fallocate(self._descriptor, mode, ctypes.c_long(0), ctypes.c_long(read))

    def _read_up_to(self) -> int:
        for link in Path("/proc/self/fd").iterdir():
            number = link.name
            if int(number) != self._descriptor and os.path.realpath(link) == str(self._path):
                figures = Path(f"/proc/self/fdinfo/{number}").read_text()
                return int(figures.split()[1])
        return 0


class Soak:
    """A session that follows ``path``, with its measurements."""

    def __init__(self, path: Path, seconds: float, accounts: IO[str] | None) -> None:
        self._path = path
        self._seconds = seconds
        self._accounts = accounts
        self._snapshots = self._frames = 0
        self._worst_s = 0.0
        self._rss: list[float] = []
        self.minutes: list[tuple[float, float]] = []

    async def run(self) -> None:
        """Run until the time is over."""
        from arenatrace.tui.allocators import return_memory_early

        return_memory_early()
        from arenatrace.tui.app import ArenatraceApp
        from arenatrace.tui.sources.live import LiveSource

        app = ArenatraceApp(LiveSource(self._path))
        publish, draw = app._publish, app._draw  # noqa: SLF001 - to count them

        def published(snapshot: Any) -> None:
            self._snapshots += 1
            publish(snapshot)

        def drawn() -> None:
            before = app.drawn
            draw()
            self._frames += app.drawn is not before

        app._publish = published  # type: ignore[method-assign]  # noqa: SLF001
        app._draw = drawn  # type: ignore[method-assign]  # noqa: SLF001
        async with app.run_test(size=_SIZE) as pilot:
            begun = time.perf_counter()
            lag = asyncio.create_task(self._lag(begun + self._seconds))
            walk = asyncio.create_task(self._walk(pilot, begun + self._seconds))
            disk = Disk(self._path / "events.arrows")
            line = begun
            print(_HEADING, flush=True)
            while time.perf_counter() < begun + self._seconds:
                await asyncio.sleep(min(1.0, self._seconds))
                self._rss.append(rss_mib())
                now = time.perf_counter()
                if now - line >= min(_LINE_S, self._seconds):
                    disk.free()
                    self._print(app, now - begun, now - line)
                    self._account(app, now - begun)
                    line = now
            await lag
            await walk

    def _print(self, app: Any, at_s: float, passed_s: float) -> None:
        events = app.drawn.events or 0
        mean, least, most = float(np.mean(self._rss)), min(self._rss), max(self._rss)
        self.minutes.append((at_s, mean))
        print(
            f"{at_s / 60:6.1f} {events:12,} {mean:6.0f} ({least:.0f}-{most:.0f})"
            f" {self._snapshots / passed_s:12.1f}"
            f" {self._frames / passed_s:9.1f} {1000 * self._worst_s:8.0f} ms",
            flush=True,
        )
        self._rss = []
        self._snapshots = self._frames = 0
        self._worst_s = 0.0

    def _account(self, app: Any, at_s: float) -> None:
        from bench import (
            memory_accounts,  # polars, which is not to come before run() has set allocators
        )

        following = app._source._inner  # noqa: SLF001 - LiveSource has no public access to it
        recent = getattr(following, "_recent", None)
        if self._accounts is None or recent is None:
            return
        figures = {"s": at_s, **memory_accounts.process()}
        figures |= memory_accounts.frame_sizes(recent, following._rows)  # noqa: SLF001
        print(
            json.dumps({name: round(value, 2) for name, value in figures.items()}),
            file=self._accounts,
            flush=True,
        )

    async def _lag(self, end: float) -> None:
        while (now := time.perf_counter()) < end:
            await asyncio.sleep(0.01)
            self._worst_s = max(self._worst_s, time.perf_counter() - now - 0.01)

    async def _walk(self, pilot: Any, end: float) -> None:
        step = 0
        while time.perf_counter() < end:
            await asyncio.sleep(_WALK_S)
            await pilot.press(_WALK[step % len(_WALK)])
            step += 1


def slope(minutes: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the slope over the second half and its standard error, MiB an hour."""
    half = minutes[len(minutes) // 2 :]
    if len(half) < 4:
        return float("nan"), float("nan")
    at, rss = (np.array(column, float) for column in zip(*half, strict=True))
    (growth, _), errors = np.polyfit(at / 3600, rss, 1, cov=True)
    return float(growth), float(np.sqrt(errors[0, 0]))


def main() -> None:
    """Feed, follow, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--rate", type=float, default=1e5)
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "tui-bench")
    parser.add_argument("--trace", type=Path, help="default: generated, 2 million events")
    parser.add_argument("--accounts", type=argparse.FileType("w"), help="a line of JSON a minute")
    options = parser.parse_args()
    trace = options.trace or options.data / "2000000.atrace"
    if not trace.exists():
        subprocess.run(
            [sys.executable, "-m", "tests.data.generate_trace", "2e6", trace], check=True
        )
    seconds = options.minutes * 60
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory).resolve() / "soak.atrace"
        command = [sys.executable, "-m", "bench.feed_churn", trace, path]
        feeder = subprocess.Popen([*command, str(options.rate), str(seconds + 60)])
        try:
            while not (path / "events.arrows").exists():
                time.sleep(0.05)
            soak = Soak(path, seconds, options.accounts)
            asyncio.run(soak.run())
        finally:
            feeder.terminate()
            feeder.wait()
    growth, error = slope(soak.minutes)
    print(f"second half: {growth:+.0f} MiB an hour, ± {error:.0f}")


if __name__ == "__main__":
    main()
