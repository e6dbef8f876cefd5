"""Draw docs/pictures/tui-*.svg and .png: the terminal interface on the bundled samples.

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
class _Shown:
    """A picture: of which sample, how large a screen, and the keys that lead there.

    ``live``: while the sample is written anew, as a recorder would. ``ascii_only``: as where the
    locale is not one of UTF-8.
    """

    sample: str
    size: tuple[int, int]
    keys: tuple[str, ...] = ()
    live: bool = False
    ascii_only: bool = False


_SHOWN = {
    "tui-overview": _Shown("one-program", (120, 36)),
    "tui-fault": _Shown("two-programs", (120, 40), ("enter", "enter")),
    "tui-map": _Shown("one-program", (120, 34), ("2", "end", "enter", "m")),
    "tui-narrow": _Shown("two-programs", (80, 24), ("enter", "enter")),
    "tui-live": _Shown("one-program", (120, 36), live=True),
    "tui-ascii": _Shown("one-program", (80, 24), ("2", "end", "enter", "m"), ascii_only=True),
    "tui-palette": _Shown("two-programs", (100, 26), ("ctrl+p", *"beta")),
}
#: A picture of a live screen is taken when so much of the sample has been written, which takes so
#: long, s.
_SHARE, _SECONDS = 0.7, 6.0


async def _settled(app: ArenatraceApp, pilot: Pilot[None]) -> None:
    """Wait until nothing is being worked out and nothing changes on the screen any more."""
    before = ""
    while True:
        await pilot.pause(0.5)
        drawn = app.drawn
        worked_out = drawn is not None and not drawn.stage and drawn.verdict.state == "done"
        now = "".join(segment.text for segment in _segments(app))
        if worked_out and now == before:
            return
        before = now


def _write_again(sample: Path, path: Path, over: threading.Event) -> None:
    """Write ``sample`` to ``path`` as a recorder would, at an even pace."""
    meta = replace(read_meta(sample), sealed=False, checksums={}, end_ts_ns=None)
    with contextlib.closing(TraceWriter(path, meta)) as writer:
        for table in (*(table for table in TABLES if table != "events"), "events"):
            rows = pq.read_table(sample / f"{table}.parquet").combine_chunks()
            step = max(1, len(rows) // 60) if table == "events" else max(1, len(rows))
            for start in range(0, len(rows), step):
                for batch in rows.slice(start, step).to_batches():
                    writer.append(table, conform(batch, arrow_schema(table)))
                writer.flush()
                if table == "events" and over.wait(_SECONDS / 60):
                    return


def _segments(app: ArenatraceApp) -> list[Segment]:
    lines = app.screen._compositor.render_strips()  # noqa: SLF001 - what Textual exports, too
    return [part for line in lines for part in (*line, Segment("\n"))]


async def _screen(shown: _Shown) -> Segments:
    sample = _SAMPLES / f"{shown.sample}.atrace"
    app = ArenatraceApp(TraceSource(open_trace(sample), ReplayChild()), ascii_only=shown.ascii_only)
    async with app.run_test(size=shown.size) as pilot:
        await _settled(app, pilot)
        for key in shown.keys:
            await pilot.press(key)
            await _settled(app, pilot)
        return Segments(_segments(app))


async def _live_screen(shown: _Shown) -> Segments:
    sample, over = _SAMPLES / f"{shown.sample}.atrace", threading.Event()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "run.atrace"
        writer = threading.Thread(target=_write_again, args=(sample, path, over))
        writer.start()
        try:
            while not (path / "meta.json").exists():
                await asyncio.sleep(0.01)
            app = ArenatraceApp(LiveSource(path))
            async with app.run_test(size=shown.size) as pilot:
                await pilot.pause(_SHARE * _SECONDS)
                return Segments(_segments(app))
        finally:
            over.set()
            writer.join()


async def picture(shown: _Shown) -> str:
    """The screen as SVG."""
    segments = await (_live_screen(shown) if shown.live else _screen(shown))
    console = Console(
        record=True,
        width=shown.size[0],
        file=io.StringIO(),
        force_terminal=True,
        legacy_windows=False,
    )
    console.print(segments, end="")
    svg = console.export_svg(title="arenatrace tui", theme=MONOKAI, unique_id=shown.sample)
    # the font is fetched from elsewhere otherwise; the reader's own monospace does as well
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code", _FONT)


def main() -> int:
    """Draw all pictures."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else _DOCS / "pictures"
    for name, shown in _SHOWN.items():
        svg = asyncio.run(picture(shown))
        (directory / f"{name}.svg").write_text(svg, encoding="utf-8")
        png = resvg_py.svg_to_bytes(svg_string=svg, font_family=_FONT, monospace_family=_FONT)
        (directory / f"{name}.png").write_bytes(bytes(png))
    return 0


if __name__ == "__main__":
    sys.exit(main())
