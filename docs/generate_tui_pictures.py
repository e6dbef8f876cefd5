"""Draw docs/pictures/tui-*.svg and .png from the terminal interface on the bundled samples.

Usage: python docs/generate_tui_pictures.py [DIRECTORY]

Needs the dependency group ``pictures`` and, for the PNGs, the font DejaVu Sans Mono.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import sys
import tempfile
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq
import resvg_py
from rich.console import Console
from rich.segment import Segment, Segments
from rich.terminal_theme import MONOKAI
from textual.pilot import Pilot

from arenatrace.replay.child import ReplayChild
from arenatrace.schema import TABLES
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.meta import read_meta
from arenatrace.trace.reader import open_trace
from arenatrace.trace.recover import conform
from arenatrace.trace.writer import TraceWriter
from arenatrace.tui.app import ArenatraceApp
from arenatrace.tui.sources.live import LiveSource
from arenatrace.tui.sources.recorded import TraceSource

_DOCS = Path(__file__).parent
_SAMPLES = _DOCS.parent / "sample_traces"
_FONT = "DejaVu Sans Mono"


@dataclass(frozen=True)
class _Picture:
    """Sample, screen size and key presses of a picture.

    With ``live`` a thread rewrites the sample like a recorder. ``ascii_only`` stands for a locale
    other than UTF-8.
    """

    sample: str
    size: tuple[int, int]
    keys: tuple[str, ...] = ()
    live: bool = False
    ascii_only: bool = False


_PICTURES = {
    "tui-overview": _Picture("one-program", (120, 36)),
    "tui-fault": _Picture("two-programs", (120, 40), ("enter", "enter")),
    "tui-map": _Picture("one-program", (120, 34), ("2", "end", "enter", "m")),
    "tui-narrow": _Picture("two-programs", (80, 24), ("enter", "enter")),
    "tui-live": _Picture("one-program", (120, 36), live=True),
    "tui-ascii": _Picture("one-program", (80, 24), ("2", "end", "enter", "m"), ascii_only=True),
    "tui-palette": _Picture("two-programs", (100, 26), ("ctrl+p", *"beta")),
}
#: Share of the sample that is written when a live picture is taken, and time to write all, in s.
_SHARE, _SECONDS = 0.7, 6.0


async def _wait_until_idle(app: ArenatraceApp, pilot: Pilot[None]) -> None:
    """Wait until all work is done and the screen does not change."""
    before = ""
    while True:
        await pilot.pause(0.5)
        drawn = app.drawn
        is_done = drawn is not None and not drawn.stage and drawn.verdict.state == "done"
        now = "".join(segment.text for segment in _segments(app))
        if is_done and now == before:
            return
        before = now


def _rewrite(sample: Path, path: Path, stop: threading.Event) -> None:
    """Rewrite ``sample`` to ``path`` like a recorder, at a constant rate."""
    meta = replace(read_meta(sample), sealed=False, checksums={}, end_ts_ns=None)
    with contextlib.closing(TraceWriter(path, meta)) as writer:
        for table in (*(table for table in TABLES if table != "events"), "events"):
            rows = pq.read_table(sample / f"{table}.parquet").combine_chunks()
            step = max(1, len(rows) // 60) if table == "events" else max(1, len(rows))
            for start in range(0, len(rows), step):
                for batch in rows.slice(start, step).to_batches():
                    writer.append(table, conform(batch, arrow_schema(table)))
                writer.flush()
                if table == "events" and stop.wait(_SECONDS / 60):
                    return


def _segments(app: ArenatraceApp) -> list[Segment]:
    lines = app.screen._compositor.render_strips()  # noqa: SLF001 - Textual exports the same
    return [part for line in lines for part in (*line, Segment("\n"))]


async def _screen(spec: _Picture) -> Segments:
    sample = _SAMPLES / f"{spec.sample}.atrace"
    app = ArenatraceApp(TraceSource(open_trace(sample), ReplayChild()), ascii_only=spec.ascii_only)
    async with app.run_test(size=spec.size) as pilot:
        await _wait_until_idle(app, pilot)
        for key in spec.keys:
            await pilot.press(key)
            await _wait_until_idle(app, pilot)
        return Segments(_segments(app))


async def _live_screen(spec: _Picture) -> Segments:
    sample, stop = _SAMPLES / f"{spec.sample}.atrace", threading.Event()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "run.atrace"
        writer = threading.Thread(target=_rewrite, args=(sample, path, stop))
        writer.start()
        try:
            while not (path / "meta.json").exists():
                await asyncio.sleep(0.01)
            app = ArenatraceApp(LiveSource(path))
            async with app.run_test(size=spec.size) as pilot:
                await pilot.pause(_SHARE * _SECONDS)
                return Segments(_segments(app))
        finally:
            stop.set()
            writer.join()


async def render_svg(spec: _Picture) -> str:
    """Return the screen as SVG."""
    segments = await (_live_screen(spec) if spec.live else _screen(spec))
    console = Console(
        record=True,
        width=spec.size[0],
        file=io.StringIO(),
        force_terminal=True,
        legacy_windows=False,
    )
    console.print(segments, end="")
    svg = console.export_svg(title="arenatrace tui", theme=MONOKAI, unique_id=spec.sample)
    # Without this the SVG downloads a font.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code", _FONT)


def main() -> int:
    """Draw all pictures."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else _DOCS / "pictures"
    for name, spec in _PICTURES.items():
        svg = asyncio.run(render_svg(spec))
        (directory / f"{name}.svg").write_text(svg, encoding="utf-8")
        png = resvg_py.svg_to_bytes(svg_string=svg, font_family=_FONT, monospace_family=_FONT)
        (directory / f"{name}.png").write_bytes(bytes(png))
    return 0


if __name__ == "__main__":
    sys.exit(main())
