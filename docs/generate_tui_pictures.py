"""Draw docs/pictures/tui-*.svg and .png: the terminal interface on the bundled samples.

Usage: python docs/generate_tui_pictures.py [DIRECTORY]

Needs the dependency group ``pictures`` and, for the PNGs, the font DejaVu Sans Mono.
"""

from __future__ import annotations

import asyncio
import io
import re
import sys
from pathlib import Path

import resvg_py
from rich.console import Console
from rich.segment import Segment, Segments
from rich.terminal_theme import MONOKAI
from textual.pilot import Pilot

from arenatrace.cli.replay_child import ReplayChild
from arenatrace.trace.reader import open_trace
from arenatrace.tui.app import ArenatraceApp
from arenatrace.tui.trace_source import TraceSource

_DOCS = Path(__file__).parent
_SAMPLES = _DOCS.parent / "sample_traces"
_FONT = "DejaVu Sans Mono"
#: Picture to the sample, the size of the screen and the keys that lead there.
_SHOWN: dict[str, tuple[str, tuple[int, int], tuple[str, ...]]] = {
    "tui-overview": ("one-program", (120, 36), ()),
    "tui-fault": ("two-programs", (120, 40), ("enter", "enter")),
    "tui-map": ("one-program", (120, 34), ("2", "end", "enter", "m")),
    "tui-narrow": ("two-programs", (80, 24), ("enter", "enter")),
}


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


def _segments(app: ArenatraceApp) -> list[Segment]:
    lines = app.screen._compositor.render_strips()  # noqa: SLF001 - what Textual exports, too
    return [part for line in lines for part in (*line, Segment("\n"))]


async def picture(sample: str, size: tuple[int, int], keys: tuple[str, ...]) -> str:
    """The screen as SVG."""
    app = ArenatraceApp(TraceSource(open_trace(_SAMPLES / f"{sample}.atrace"), ReplayChild()))
    async with app.run_test(size=size) as pilot:
        await _settled(app, pilot)
        for key in keys:
            await pilot.press(key)
            await _settled(app, pilot)
        shown = Segments(_segments(app))
    console = Console(
        record=True, width=size[0], file=io.StringIO(), force_terminal=True, legacy_windows=False
    )
    console.print(shown, end="")
    svg = console.export_svg(title="arenatrace tui", theme=MONOKAI, unique_id=sample)
    # the font is fetched from elsewhere otherwise; the reader's own monospace does as well
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code", _FONT)


def main() -> int:
    """Draw all pictures."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else _DOCS / "pictures"
    for name, (sample, size, keys) in _SHOWN.items():
        svg = asyncio.run(picture(sample, size, keys))
        (directory / f"{name}.svg").write_text(svg, encoding="utf-8")
        png = resvg_py.svg_to_bytes(svg_string=svg, font_family=_FONT, monospace_family=_FONT)
        (directory / f"{name}.png").write_bytes(bytes(png))
    return 0


if __name__ == "__main__":
    sys.exit(main())
