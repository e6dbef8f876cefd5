"""Response times of the terminal interface, and its rate on a live recording.

    python -m bench.tui_bench [--sizes 2e6 1e7] [--data DIRECTORY] [--rate 1e5] [--seconds 30]

Measured against: ``arenatrace summary`` and ``arenatrace explain`` in the same process.

``tests/data/generate_trace.py`` makes the traces; they stay in DIRECTORY. Each measurement runs in
its own process, without a terminal, at 120 x 40; imports are not counted:

- ``first screen``: from the start of the application until kernel, health and tables are drawn;
  ``full``: until every cause is known; ``open a fault``: from the key until the complete report is
  drawn.
- ``live``: ``feed_trace.py`` feeds a recorded trace. A frame is one pass of drawing; lag is the
  delay of a 10 ms timer on the UI thread. Memory is the process's, after a third of the time and
  at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_SAMPLE = Path(__file__).resolve().parents[1] / "sample_traces" / "clean.atrace"
_SIZE = (120, 40)


def rss_mib() -> float:
    """What of this process is in memory, MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _screen(app: Any) -> str:
    strips = app.screen._compositor.render_strips()  # noqa: SLF001 - what is seen
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


async def _until(pilot: Any, condition: Any) -> None:
    while not condition():
        await pilot.pause(0.005)


def look(trace: Path) -> dict[str, float]:
    """Open a trace, and a fault in the middle of it."""
    from arenatrace.analysis.explanation import explanation
    from arenatrace.analysis.summary.one_trace import summary
    from arenatrace.trace.reader import open_trace
    from arenatrace.tui.app import ArenatraceApp
    from arenatrace.tui.sources.recorded import TraceSource
    from arenatrace.tui.views.fault import FaultView
    from arenatrace.tui.views.faults import FaultsView

    figures: dict[str, float] = {}

    async def run() -> None:
        begun = time.perf_counter()
        app = ArenatraceApp(TraceSource(open_trace(trace)))
        async with app.run_test(size=_SIZE) as pilot:
            await _until(pilot, lambda: app.drawn is not None and "Linux" in _screen(app))
            figures["first screen"] = time.perf_counter() - begun
            await _until(pilot, lambda: app.drawn is not None and app.drawn.explained)
            figures["full"] = time.perf_counter() - begun
            await pilot.press("2")
            await _until(pilot, lambda: len(app.query_one(FaultsView).numbers) > 0)
            begun = time.perf_counter()
            await pilot.press("enter")
            await _until(pilot, lambda: "because" in _screen(app))
            figures["line and free"] = time.perf_counter() - begun
            await _until(pilot, lambda: app.query_one(FaultView).report() is not None)
            figures["open a fault"] = time.perf_counter() - begun

    asyncio.run(run())
    figures["peak MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    opened = open_trace(trace)
    begun = time.perf_counter()
    summary(opened)
    figures["summary"] = time.perf_counter() - begun
    begun = time.perf_counter()
    explanation(opened, 1)
    figures["explain"] = time.perf_counter() - begun
    return figures


def live(trace: Path, rate: float, seconds: float) -> dict[str, float]:
    """Follow what the feeder writes."""
    from arenatrace.tui.allocators import return_memory_early

    return_memory_early()
    from arenatrace.tui.app import ArenatraceApp
    from arenatrace.tui.sources.live import LiveSource

    figures: dict[str, float] = {}
    lags: list[float] = []
    frames: list[float] = []
    snapshots: list[float] = []

    async def tick(end: float) -> None:
        while time.perf_counter() < end:
            due = time.perf_counter() + 0.01
            await asyncio.sleep(0.01)
            lags.append(time.perf_counter() - due)

    async def run(path: Path, feeder: subprocess.Popen[str]) -> None:
        app = ArenatraceApp(LiveSource(path))
        draw, publish = app._draw, app._publish  # noqa: SLF001 - to time and to count them

        def published(snapshot: Any) -> None:
            snapshots.append(time.perf_counter())
            publish(snapshot)

        app._publish = published  # type: ignore[method-assign]  # noqa: SLF001

        def timed() -> None:
            begun = time.perf_counter()
            before = app.drawn
            draw()
            if app.drawn is not before:
                frames.append(time.perf_counter() - begun)

        app._draw = timed  # type: ignore[method-assign]  # noqa: SLF001
        async with app.run_test(size=_SIZE) as pilot:
            await _until(pilot, lambda: app.drawn is not None and bool(app.drawn.events))
            begun = time.perf_counter()
            third = asyncio.create_task(tick(begun + seconds / 3))
            await third
            figures["MiB after a third"] = rss_mib()
            await tick(begun + seconds)
            passed = time.perf_counter() - begun
            figures["MiB at the end"] = rss_mib()
            drawn = app.drawn
            seen = 0 if drawn is None else drawn.events or 0
            figures["events seen"] = seen
            figures["events/s seen"] = seen / passed
            figures["snapshots/s"] = sum(at >= begun for at in snapshots) / passed
            gaps = [after - at for at, after in itertools.pairwise(snapshots) if at >= begun]
            figures["longest wait for one, s"] = max(gaps)
            figures["frames/s"] = len(frames) / passed
        feeder.terminate()

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "live.atrace"
        command = [
            sys.executable,
            "-m",
            "bench.feed_trace",
            trace,
            path,
            str(rate),
            str(seconds * 3),
        ]
        feeder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        while not (path / "events.arrows").exists():
            time.sleep(0.05)
        asyncio.run(run(path, feeder))
        feeder.communicate()
    for name, values in (("frame", frames), ("lag", lags)):
        values.sort()
        figures[f"{name} ms, middle"] = 1000 * values[len(values) // 2]
        figures[f"{name} ms, 99 of 100"] = 1000 * values[len(values) * 99 // 100]
        figures[f"{name} ms, worst"] = 1000 * values[-1]
    figures["peak MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return figures


def _in_child(*words: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.tui_bench", *words],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """All measurements, one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", nargs="*", type=float, default=[2e6, 1e7])
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "tui-bench")
    parser.add_argument("--rate", type=float, default=1e5)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--look", type=Path)
    parser.add_argument("--live", type=Path)
    options = parser.parse_args()
    if options.look:
        print(json.dumps(look(options.look)))
        return
    if options.live:
        print(json.dumps(live(options.live, options.rate, options.seconds)))
        return
    for size in options.sizes:
        trace = options.data / f"{int(size)}.atrace"
        if not trace.exists():
            subprocess.run(
                [sys.executable, "-m", "tests.data.generate_trace", str(size), trace], check=True
            )
        _print(f"{size:,.0f} events", _in_child("--look", str(trace)))
    for trace in (_SAMPLE, options.data / f"{int(options.sizes[0])}.atrace"):
        rate = ("--rate", str(options.rate), "--seconds", str(options.seconds))
        _print(f"live, {trace.name}", _in_child("--live", str(trace), *rate))


def _print(title: str, figures: dict[str, float]) -> None:
    print(title)
    for name, value in figures.items():
        print(f"  {name:24} {value:14,.3f}")


if __name__ == "__main__":
    main()
