"""Without a UTF-8 locale everything is drawn in ASCII and stays distinguishable."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from arenatrace.trace.reader import open_trace
from arenatrace.tui.app import ArenatraceApp
from arenatrace.tui.ascii_glyphs import in_ascii, speaks_utf8
from arenatrace.tui.page_glyphs import GLYPHS
from arenatrace.tui.sources.recorded import TraceSource
from arenatrace.tui.widgets import timeline
from arenatrace.tui.widgets.histogram import bars
from tests.tui.drive import HUGE, NARROW, SAMPLES, Driver, drive

pytestmark = pytest.mark.slow


def test_distinct_glyphs_stay_distinct() -> None:
    glyphs = [in_ascii(glyph) for glyph, _style in GLYPHS.values()]
    assert len(set(glyphs)) == len(GLYPHS)
    marks = {in_ascii(mark) for _what, mark, _style in timeline._MARKS}
    assert len(marks) == len({mark for _what, mark, _style in timeline._MARKS})
    levels = "".join(bars(list(range(9)), 1))
    assert len(set(in_ascii(levels))) == len(set(levels)) == 9
    assert len({in_ascii(one) for one in "━─●"}) == 3


@pytest.mark.parametrize("text", ["plain", "é", "日本", "a\u0301", "🔎 x", "─│┌"])
def test_replacement_keeps_the_width(text: str) -> None:
    assert in_ascii(text).isascii()
    assert cell_len(in_ascii(text)) == cell_len(text)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"LANG": "C.UTF-8"}, True),
        ({"LANG": "de_DE.utf8@euro"}, True),
        ({"LANG": "C"}, False),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "C"}, False),
        ({"LANG": "C", "LC_CTYPE": "en_US.UTF-8"}, True),
        ({"LANG": "de_DE.ISO-8859-1"}, False),
        ({"LANG": "de_DE"}, False),
        ({"LC_ALL": "", "LANG": "C.UTF-8"}, True),
        ({}, False),
    ],
)
def test_locale_selects_ascii(environment: dict[str, str], expected: bool) -> None:
    assert speaks_utf8(environment) == expected


@pytest.mark.parametrize("size", [NARROW, HUGE])
def test_every_view_is_ascii(size: tuple[int, int]) -> None:
    """Frames, bars, help, palette, messages: also what Textual draws by itself."""

    async def script(driver: Driver) -> None:
        async def look(*wanted: str) -> None:
            screen = await driver.see(*wanted)
            assert screen.isascii(), sorted({char for char in screen if not char.isascii()})

        await driver.done()
        await look("25 arena faults", "faults over time", "Enter Open", "? Help")
        await driver.press("2")
        await look("25 of 25 faults")
        await driver.press("slash", *"alpha")
        await look("search alpha")
        await driver.press("enter", "enter")
        await look("because  page 0 freed", "Freed by")
        await driver.press("m")
        await look("time shown on the map", "# allocated", ". free", "X fault")
        await driver.press("p", "p", "p")
        await look("no earlier fault")
        await driver.press("4")
        await look("beta")
        await driver.press("5")
        await look("Replay")
        await driver.press("question_mark")
        await look("Keys")
        await driver.press("escape", "ctrl+p")
        await look("Go to map")

    trace = open_trace(SAMPLES / "two-programs.atrace")
    drive(ArenatraceApp(TraceSource(trace), ascii_only=True), script, size)
