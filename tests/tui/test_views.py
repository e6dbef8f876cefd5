"""Every view on the samples: what it shows, where it leads, that nothing in a trace draws."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from textual.widgets._footer import FooterKey

from arenatrace.schema import Kind
from arenatrace.tui.views.fault import FaultView
from arenatrace.tui.views.faults import FaultsView
from arenatrace.tui.views.map import MapView
from arenatrace.tui.widgets.page_grid import PageGrid
from tests.data.trace_builder import TraceBuilder, sample_meta
from tests.tui.drive import HUGE, NARROW, SAMPLES, WIDE, Driver, app_of, drive

ONE = SAMPLES / "one-program.atrace"
TWO = SAMPLES / "two-programs.atrace"
SIZES = pytest.mark.parametrize("size", [NARROW, HUGE])


@SIZES
def test_overview_shows_counts_causes_and_health(size: tuple[int, int]) -> None:
    async def script(driver: Driver) -> None:
        await driver.done()
        screen = await driver.see(
            "alpha_arena", "beta, id 101", "never-allocated 17, use-after-free 8"
        )
        assert "nothing lost · scratch-replace · Linux 7.2.13+deb14-cloud-amd64" in screen
        assert "faults over time, from 0 s" in screen

    drive(app_of(TWO), script, size)


def test_overview_opens_a_program_and_an_arena() -> None:
    async def script(driver: Driver) -> None:
        await driver.done()
        await driver.press("tab", "down", "enter")
        await driver.see("10 of 25 faults", "program beta")
        await driver.press("escape", "tab", "enter")
        await driver.see("alpha_arena · 1,021 pages", "at the end")

    drive(app_of(TWO), script)


def test_faults_are_filtered_sorted_and_grouped() -> None:
    async def script(driver: Driver) -> None:
        faults = driver.app.query_one(FaultsView)
        await driver.done()
        await driver.press("2")
        await driver.see("25 of 25 faults")
        await driver.press("c", "c")
        await driver.see("8 of 25 faults", "cause use-after-free")
        await driver.press("p")
        await driver.see("5 of 25 faults", "program alpha")
        await driver.press("x")
        await driver.see("25 of 25 faults")
        await driver.press("s", "s")
        await driver.see("5 of 25 faults", "side prog")
        await driver.press("x", "slash", *"BETA")
        await driver.see("10 of 25 faults", "search BETA")
        await driver.press("escape", "x", "o", "O")
        await driver.until(lambda: faults.numbers.to_list() == list(range(25, 0, -1)))
        await driver.press("x", "g")
        await driver.see("23 signatures", "alpha: write in arenapoke_write64")
        await driver.press("enter")
        await driver.see("2 of 25 faults")

    drive(app_of(TWO), script)


def test_heading_click_sorts_and_second_row_click_opens() -> None:
    async def script(driver: Driver) -> None:
        await driver.done()
        await driver.press("2")
        screen = await driver.see("25 of 25 faults", "alpha.bpf.c:49")
        heading = next(line for line in screen.splitlines() if "cause" in line)
        grid = driver.app.query_one("#faults-grid")
        await driver.pilot.click(grid, offset=(heading.index("cause"), 0))
        await driver.see("cause↑")
        await driver.pilot.click(grid, offset=(10, 3))
        await driver.pilot.click(grid, offset=(10, 3))
        await driver.see("because")

    drive(app_of(TWO), script)


@SIZES
def test_fault_view_shows_everything_that_explain_prints(size: tuple[int, int]) -> None:
    async def script(driver: Driver) -> None:
        await driver.done()
        await driver.press("2", "enter")
        await driver.see("because  page 0 freed")
        view = driver.app.query_one(FaultView)
        await driver.until(lambda: view.report() is not None)
        story = driver.app.query_one("#story")
        seen = ""
        for _ in range(6):
            seen += driver.text()
            story.scroll_page_down(animate=False)
            await driver.pilot.pause()
        for wanted in (
            "arenapoke_write64+0x9/0x20 [arenapoke]",
            "-5.0 ms ○  freed by wl (188)",
            "0 ✗  fault: scratch-installed #1 by wl (188)",
            "page       0: . . .",
            "The scratch page was replaced by an allocation after 4.5 ms",
        ):
            assert wanted in seen, wanted

    drive(app_of(TWO), script, size)


def test_fault_view_steps_and_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two-programs-fault-5.txt").write_text("mine")

    async def script(driver: Driver) -> None:
        await driver.done()
        await driver.press("2", "enter")
        await driver.see("fault #1 of 25")
        await driver.press("n")
        await driver.see("fault #5 of 25")
        await driver.press("n")
        await driver.see("no later fault of this signature")
        await driver.see("Call stack")
        await driver.press("w")
        await driver.see("saved as two-programs-fault-5-2.txt")
        await driver.press("p", "]")
        await driver.see("fault #2 of 25")

    drive(app_of(TWO), script, WIDE)
    assert (tmp_path / "two-programs-fault-5.txt").read_text() == "mine"
    saved = tmp_path / "two-programs-fault-5-2.txt"
    assert saved.stat().st_mode & 0o777 == 0o600
    assert "#5 of 25" in saved.read_text()


def test_map_zooms_moves_in_time_and_shows_page_history() -> None:
    async def script(driver: Driver) -> None:
        await driver.done()
        await driver.press("3")
        await driver.see("alpha_arena · 1,021 pages", "a cell is 2 pages", "at the end")
        await driver.press("+")
        await driver.see("a cell is 1 page")
        await driver.press("[")
        await driver.until(lambda: "at the end" not in driver.text())
        await driver.press("e")
        await driver.see("at the end")

    drive(app_of(ONE), script)


def test_map_shows_the_moment_just_before_a_fault() -> None:
    async def script(driver: Driver) -> None:
        grid, view = driver.app.query_one(PageGrid), driver.app.query_one(MapView)
        await driver.done()
        await driver.press("2", "enter")
        await driver.see("because  page 0 freed")
        await driver.press("m")
        await driver.see("+1.231304 s", "time shown on the map", "allocated by wl", "freed by wl")
        assert grid.page == 0
        picture = view.picture
        assert picture is not None
        assert picture.state(0) == "free"
        await driver.press(".")
        await driver.until(lambda: view.picture is not picture)
        assert view.picture is not None
        assert view.picture.state(0) == "scratched"
        await driver.press(",")
        await driver.until(lambda: view.picture is not None and view.picture.state(0) == "free")
        await driver.press("n", "enter")
        await driver.see("fault #2 of 25")

    drive(app_of(TWO), script, WIDE)


def test_programs_open_their_faults() -> None:
    async def script(driver: Driver) -> None:
        await driver.done()
        await driver.press("4")
        await driver.see("bpf_prog_2df549a6e8d8c4f6_alpha_leaf"[:20], "86 source lines")
        await driver.press("down", "enter")
        await driver.see("10 of 25 faults", "program beta")

    drive(app_of(TWO), script)


def test_every_view_has_help() -> None:
    names = ("Overview", "Faults", "Map", "Programs", "Replay")

    async def script(driver: Driver) -> None:
        await driver.done()
        for key, name in enumerate(names, 1):
            await driver.press(str(key), "question_mark")
            await driver.see(name, "Keys", "Quit")
            await driver.press("escape")
            await driver.until(lambda: "Keys" not in driver.text())

    drive(app_of(TWO), script, WIDE)


def test_too_small_terminal_shows_a_message_and_recovers() -> None:
    async def script(driver: Driver) -> None:
        await driver.done()
        await driver.pilot.resize_terminal(40, 10)
        await driver.see("40 x 10 is too small:", "60 x 16 are needed")
        await driver.pilot.resize_terminal(1, 1)
        await driver.pilot.pause()
        await driver.pilot.resize_terminal(60, 16)
        await driver.see("25 arena faults")
        await driver.press("2", "enter")
        await driver.see("because")

    drive(app_of(TWO), script)


def hostile() -> TraceBuilder:
    """Names that would draw, move the cursor or be read as markup."""
    code = 0xFFFF_FFFF_A000_0000
    builder = TraceBuilder(meta=sample_meta(kernel="7.2\x1b[0m[red]", notices=("[bold]\x1b[2J",)))
    arena = builder.arena(name="\x1b]0;owned\x07[link=x]map")
    line = {"addr": code, "file": "/src/[red]\x1b[31m.c", "line": 1, "col": 1, "text": "[/]\x00*p"}
    prog = builder.program(
        "[bold]\u202egorp",
        [("\nfault\r", code, code + 64)],
        arena=arena,
        type="\x9bsyscall",
        lines=[line],
    )
    builder.event(Kind.PAGE_ALLOC, arena=arena, pages=1, ret=0x7F00_1000_1000, pgoff=1)
    builder.prog_fault(prog=prog, ip=code, comm="\x1b[2J[/evil]\n", arena=arena)
    return builder


@SIZES
def test_escapes_and_markup_in_names_are_plain_text(size: tuple[int, int], tmp_path: Path) -> None:
    trace = hostile().write(tmp_path / "[red]x.atrace")

    async def script(driver: Driver) -> None:
        await driver.done()
        for keys in (["1"], ["2"], ["enter"], ["m"], ["3"], ["+"], ["4"], ["5"], ["2", "g"]):
            await driver.press(*keys)
            await driver.pilot.pause(0.3)
            text = driver.text()
            assert all(char.isprintable() or char == "\n" for char in text), keys
        await driver.press("1")
        await driver.see("[bold]\\u202egorp", "note: [bold]\\x1b[2J", "\\x1b]0;owned")
        await driver.press("2", "x", "enter")
        await driver.see("[red]\\x1b[31m.c:1", "[/]\\x00*p")

    drive(app_of(trace), script, size)


def test_empty_trace_shows_a_hint(tmp_path: Path) -> None:
    async def script(driver: Driver) -> None:
        await driver.done()
        await driver.see("No arena faults found", "an empty trace: record while the program runs")
        for view in "2345":
            await driver.press(view)
            await driver.pilot.pause(0.1)
        await driver.press("2", "enter", "escape", "1", "enter")
        await driver.see("No arena faults found")

    drive(app_of(TraceBuilder().write(tmp_path / "empty.atrace")), script)


def test_smallest_screen_shows_pages_and_times_without_the_arena() -> None:
    async def script(driver: Driver) -> None:
        await driver.done()
        await driver.press("3")
        await driver.see("alpha_arena", "at the end", "page")
        grid = driver.app.query_one(PageGrid)
        assert grid.size.height >= 3
        assert driver.app.query_one("#page").size.height >= 3
        await driver.press("b")
        await driver.see("this arena did not exist then")

    drive(app_of(TWO), script, (60, 16))


def test_escape_goes_back_a_limited_number_of_views(monkeypatch: pytest.MonkeyPatch) -> None:
    """A screen that is left on for days, and walked round in, remembers no more than that."""
    monkeypatch.setattr("arenatrace.tui.app._BACK_STEPS", 3)

    async def script(driver: Driver) -> None:
        await driver.done()
        await driver.press("2", "3", "4", "5", "2", "3")
        seen = []
        for _ in range(5):
            await driver.press("escape")
            seen.append(driver.app.view)
        assert seen == ["faults", "replay", "programs", "programs", "programs"]

    drive(app_of(TWO), script)


def test_key_help_is_not_accumulated() -> None:
    """Textual's own footer holds on to every key it ever showed."""

    async def script(driver: Driver) -> None:
        await driver.done()
        for _ in range(5):
            await driver.press("2", "3", "4", "1")
        await driver.pilot.pause()
        gc.collect()
        keys = [one for one in gc.get_objects() if isinstance(one, FooterKey)]
        shown = [one for one in keys if one.is_attached]
        assert 3 < len(shown) <= 12
        assert len(keys) <= 2 * 12

    drive(app_of(TWO), script)
