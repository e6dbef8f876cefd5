"""Screens as text, drawn with a fixed clock.

After an intended change, write them again and review the difference:

    ARENATRACE_GOLDEN=write pytest tests/tui/test_snapshots.py && git diff tests/golden
"""

from __future__ import annotations

import os

import pytest

from tests.paths import ROOT
from tests.tui.drive import NARROW, SAMPLES, WIDE, Driver, app_of, drive

_GOLDEN = ROOT / "tests" / "golden"
_SCREENS = {
    "overview": ((), ("use-after-free 8", "beta_arena")),
    "faults": (("2",), ("25 of 25 faults", "alpha.bpf.c:49")),
    "fault": (("2", "enter"), ("because  page 0 freed", "Freed by")),
    "map": (("2", "enter", "m"), ("time shown on the map", "freed by wl")),
}


@pytest.mark.parametrize("size", [NARROW, WIDE])
@pytest.mark.parametrize("name", list(_SCREENS))
def test_screen_matches_its_golden_file(name: str, size: tuple[int, int]) -> None:
    keys, wanted = _SCREENS[name]
    found = ""

    async def script(driver: Driver) -> None:
        nonlocal found
        await driver.done()
        for key in keys:
            await driver.press(key)
            await driver.pilot.pause(0.3)
        await driver.see(*wanted)
        found = await driver.still()

    drive(app_of(SAMPLES / "two-programs.atrace"), script, size)
    golden = _GOLDEN / f"tui-{name}-{size[0]}x{size[1]}.txt"
    if os.environ.get("ARENATRACE_GOLDEN") == "write":
        golden.write_text(found + "\n", encoding="utf-8")
    assert found + "\n" == golden.read_text(encoding="utf-8")
