"""The command palette opens faults by number, and programs, arenas and causes by name."""

from __future__ import annotations

import pytest

from arenatrace.tui.views.fault import FaultView
from arenatrace.tui.views.map import MapView
from tests.tui.drive import NARROW, SAMPLES, Driver, app_of, drive

pytestmark = pytest.mark.slow

TWO = SAMPLES / "two-programs.atrace"


def test_number_opens_a_fault() -> None:
    async def script(driver: Driver) -> None:
        await driver.done()
        for typed in ("fault 7", "7", "open fault #7"):
            await driver.press("ctrl+p")
            await driver.see("Open fault", "Group faults by signature")
            await driver.press(*("space" if char == " " else char for char in typed))
            await driver.see("Open fault 7", "of 25")
            await driver.press("enter")
            await driver.see("fault #7 of 25")
            assert driver.app.query_one(FaultView).number == 7
            await driver.press("right_square_bracket")
            await driver.see("fault #8 of 25")
            await driver.press("1")
            await driver.see("faults over time")

    drive(app_of(TWO), script, NARROW)


@pytest.mark.parametrize(
    ("typed", "offered", "seen"),
    [
        ("26", "Open fault 26", "fault 26 does not exist"),
        ("program beta", "Faults of program beta", "10 of 25 faults"),
        ("never", "Faults by cause: never-allocated", "17 of 25 faults"),
        ("arena beta", "Map of arena beta_arena", "beta_arena · "),
        ("group", "Group faults by signature", "signatures"),
        ("beta.bpf.c", "Search faults for beta.bpf.c", "search beta.bpf.c"),
        ("keys", "Search faults for keys", "0 of 25 faults"),
    ],
)
def test_programs_arenas_and_causes_are_found_by_name(typed: str, offered: str, seen: str) -> None:
    async def script(driver: Driver) -> None:
        await driver.done()
        await driver.press("ctrl+p")
        await driver.see("Open fault")
        await driver.press(*("space" if char == " " else char for char in typed))
        await driver.see(offered)
        await driver.press("enter")
        await driver.see(seen)

    drive(app_of(TWO), script)


def test_page_number_opens_the_map() -> None:
    async def script(driver: Driver) -> None:
        await driver.done()
        await driver.press("3")
        await driver.see("alpha_arena")
        await driver.press("ctrl+p")
        await driver.see("Open fault")
        await driver.press(*"page", "space", *"500")
        await driver.see("Show page 500")
        await driver.press("enter")
        await driver.see("page 500")
        assert driver.app.query_one(MapView).picture is not None

    drive(app_of(TWO), script)
