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
#: Screen name to the key that opens it from the previous screen, and the text to wait for.
_SCREENS = {
    "overview": ("", ("use-after-free 8", "beta_arena")),
    "faults": ("2", ("25 of 25 faults", "alpha.bpf.c:49")),
    "fault": ("enter", ("because  page 0 freed", "Freed by")),
    "map": ("m", ("time shown on the map", "freed by wl")),
}


@pytest.mark.parametrize("size", [NARROW, WIDE])
def test_screens_match_their_golden_files(size: tuple[int, int]) -> None:
    screens: dict[str, str] = {}

    async def script(driver: Driver) -> None:
        await driver.done()
        for name, (key, wanted) in _SCREENS.items():
            if key:
                await driver.press(key)
            await driver.see(*wanted)
            screens[name] = await driver.still()

    drive(app_of(SAMPLES / "two-programs.atrace"), script, size)
    assert list(screens) == list(_SCREENS)
    for name, screen in screens.items():
        golden = _GOLDEN / f"tui-{name}-{size[0]}x{size[1]}.txt"
        if os.environ.get("ARENATRACE_GOLDEN") == "write":
            golden.write_text(screen + "\n", encoding="utf-8")
        assert screen + "\n" == golden.read_text(encoding="utf-8"), name
