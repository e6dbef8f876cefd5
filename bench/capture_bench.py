"""Cost of recording, in one boot of the lab.

    python -m bench.capture_bench [PAIRS [PART,... [FEATURE...]]]

Measured against: perf, bpftrace and BCC's callback, and the untraced program.

Boots the lab's kernel with a clock that counts instructions (docs/lab.md), on one CPU. A BPF
program makes PAIRS (default 100,000) pairs of an allocation and a free of one arena page, untraced
and under each tool. Figures repeat within a few tenths of a per cent on any machine.

task     instructions per pair in the traced task: the cost of the probes
elapsed  the same for everything on the CPU, with the tool's own work. The pairs begin when the
         tool is idle; its start-up is a figure of its own
bytes    on the disk per event (a pair is two events). Too small for arenatrace here: a clock that
         counts instructions is more regular than a real one (see tests/vm/test_storm.py)

PARTs are levels (the recorder's, next to the untraced program), tools (perf and bpftrace; after
levels only), rest and drains:

rest     instructions of a recorder until it records, and for each idle second
drain    instructions per event for reading a storm of PAIRS / 10 from the ring; the recorder also
         reads larger and smaller ones

FEATUREs are hidden from the guest's CPU. Without ``erms`` the kernel clears and copies memory by
eight bytes instead of one, and each iteration counts as an instruction: an untraced pair, in which
a page is cleared, then has half as many.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.guest_tools import guest_tools
from tests.vm.lab.images.cache import Cache, cache_root
from tests.vm.lab.lab import Lab
from tests.vm.lab.machine import Machine

_GUEST = Path(__file__).parent / "guest" / "capture_cost.py"
_STORM = Path(__file__).resolve().parents[1] / "tests" / "vm" / "workloads" / "storm"


def measure(pairs: int, what: str, hidden: tuple[str, ...], results: Path) -> list[dict[str, Any]]:
    """The rows that the guest printed."""
    lab = Lab(results, machine=Machine(icount=True, hidden=hidden))
    storm = lab.prepare(_STORM, "make BUILD=/job/build KVER=$LAB_KERNEL")
    tools = guest_tools(Cache(cache_root()))
    result = lab.run(
        "cp -a files/tools/usr/. /usr/ && ldconfig && "
        f"python files/{_GUEST.name} files/{storm.name}/build/storm {pairs} {what}",
        files=[storm, tools, _GUEST],
        timeout=1500,
        echo=_as_it_comes,
    )
    if result.returncode:
        raise SystemExit(f"the guest failed: {result.returncode}\n{result.stdout}")
    return [json.loads(line) for line in result.stdout.splitlines()]


def _as_it_comes(_port: str, data: bytes) -> None:
    sys.stderr.buffer.write(data)
    sys.stderr.flush()


def show(rows: list[dict[str, Any]]) -> None:
    """Print a table of what recording costs, and one of what emptying the ring does."""
    costs = [row for row in rows if "name" in row]
    if costs:
        bare = costs[0]
        print("| | task, per pair | over untraced | elapsed | bytes per event |")
        print("| --- | --- | --- | --- | --- |")
    for row in costs:
        task, elapsed = (row[part] / bare[part] - 1 for part in ("task", "elapsed"))
        size = f"{row['bytes']:.1f}" if row["bytes"] else ""
        print(f"| {row['name']} | {row['task']:,.0f} | {task:+.1%} | {elapsed:+.0%} | {size} |")
    rests = [row for row in rows if "rest" in row]
    if rests:
        print("\n| million instructions | to begin | each second |\n| --- | --- | --- |")
    for row in rests:
        print(f"| {row['rest']} | {row['once'] / 1e6:,.0f} | {row['second'] / 1e6:,.2f} |")
    drains = [row for row in rows if "drain" in row]
    if drains:
        most = max(row["events"] for row in drains)
        least = min(row["instructions"] for row in drains if row["events"] == most)
        print("\n| drain | events | instructions per event | |\n| --- | --- | --- | --- |")
    for row in drains:
        times = row["instructions"] / least
        used = f"{row['instructions']:,.0f} | {times:.1f} times"
        print(f"| {row['drain']} | {row['events']:,} | {used} |")


if __name__ == "__main__":
    count, what = (*sys.argv[1:3], *("100000", "levels,tools,rest,drains")[len(sys.argv[1:3]) :])
    with tempfile.TemporaryDirectory() as directory:
        show(measure(int(count), what, tuple(sys.argv[3:]), Path(directory)))
