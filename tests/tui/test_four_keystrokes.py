"""From "something faulted" to "this line, because of that free"."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from arenatrace.schema import Kind
from tests.tui.drive import HUGE, NARROW, SAMPLES, WIDE, Driver, app_of, drive


@pytest.mark.parametrize("size", [NARROW, WIDE, HUGE])
def test_two_enters_show_the_line_and_the_free(size: tuple[int, int]) -> None:
    async def script(driver: Driver) -> None:
        await driver.done()
        await driver.see("25 arena faults", "use-after-free 8", "alpha: write in arenapoke_write64")
        await driver.press("enter")
        await driver.see("2 of 25 faults", "signature c6683215e653", "alpha.bpf.c:49")
        await driver.press("enter")
        await driver.see(
            "use-after-free (likely)",
            "fault #1 of 25",
            "alpha.bpf.c:49  ACCESS(c, arenapoke_write64(c->kaddr, c->value));",
            "because  page 0 freed 5.0 ms before the fault, by wl (tid 188)",
        )

    drive(app_of(SAMPLES / "two-programs.atrace"), script, size)


@pytest.mark.slow
def test_two_enters_show_the_line_and_the_free_in_a_big_trace(big_trace: Path) -> None:
    async def script(driver: Driver) -> None:
        await driver.done()
        await driver.see("10,000 arena faults: 10,000 program-side", "2,000,000 events")
        # the most frequent signature is one of pages used after their free
        await driver.press("home", "enter")
        await driver.see("of 10,000 faults", "signature", "use-after-free")
        await driver.press("enter")
        await driver.see("use-after-free (certain)", "because  page", " freed ", "Evidence")

    drive(app_of(big_trace), script)


@pytest.mark.slow
def test_a_program_leads_to_line_and_free_in_a_big_trace(big_trace: Path) -> None:
    # of the programs of the trace only those of the first two arenas are on its one stack
    columns = pq.read_table(big_trace / "events.parquet", columns=["kind", "arena"])
    events = zip(*(columns[name].to_pylist() for name in ("kind", "arena")), strict=True)
    found = sum(kind == Kind.PROG_FAULT and arena in {0, 1} for kind, arena in events)

    async def script(driver: Driver) -> None:
        await driver.done()
        await driver.press("2", "slash", *"a.bpf.c:7")
        await driver.see(f"{found:,} of 10,000 faults")
        await driver.press("escape", "c", "enter")
        await driver.see("a.bpf.c:7  *p", "because  page", " freed ")

    drive(app_of(big_trace), script)
