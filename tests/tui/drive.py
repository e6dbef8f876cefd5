"""Drive the real application without a terminal: press keys, wait, read the screen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from textual.pilot import Pilot

from arenatrace.trace.reader import open_trace
from arenatrace.tui.app import ArenatraceApp
from arenatrace.tui.sources.recorded import TraceSource
from arenatrace.tui.sources.source import Source
from tests.paths import ROOT

SAMPLES = ROOT / "sample_traces"
NARROW, WIDE, HUGE = (80, 24), (120, 40), (240, 60)
_TIMEOUT_S = 30.0


class Driver:
    """A running application and the actions of its user."""

    def __init__(self, app: ArenatraceApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    def text(self) -> str:
        """Return the screen as text, without trailing spaces."""
        strips = self.app.screen._compositor.render_strips()
        lines = ("".join(segment.text for segment in strip) for strip in strips)
        return "\n".join(line.rstrip() for line in lines)

    async def see(self, *wanted: str) -> str:
        """Wait until all of ``wanted`` is on the screen; return the screen."""
        screen = ""

        def is_shown() -> bool:
            nonlocal screen
            screen = self.text()
            return all(one in screen for one in wanted)

        await self.until(is_shown, *wanted)
        return screen

    async def still(self) -> str:
        """Wait until the screen stops changing; return it."""
        before = None
        while before != (now := self.text()):
            before = now
            await self.pilot.pause(0.4)
        return now

    async def until(self, condition: Callable[[], bool], *wanted: object) -> None:
        """Wait for a condition."""
        end = time.monotonic() + _TIMEOUT_S
        while not condition():
            assert time.monotonic() < end, f"not seen: {wanted}\n{self.text()}"
            await self.pilot.pause(0.02)

    async def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        await self.pilot.press(*keys)

    async def done(self) -> None:
        """Wait until the diagnosis and the replay are done."""
        app = self.app
        await self.until(
            lambda: (
                app.drawn is not None
                and not app.drawn.stage
                and app.drawn.verdict.state != "running"
            ),
            "the end of all work",
        )


Script = Callable[[Driver], Awaitable[None]]


def drive(app: ArenatraceApp, script: Script, size: tuple[int, int] = NARROW) -> None:
    """Run ``app`` on a screen of ``size`` and ``script`` with it."""

    async def run() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            await script(Driver(app, pilot))

    asyncio.run(run())


def app_of(trace: Path, source: Source | None = None) -> ArenatraceApp:
    """Return the application on a trace, with a fixed clock and no replay."""
    return ArenatraceApp(source or TraceSource(open_trace(trace)), clock=lambda: 1000.0)
