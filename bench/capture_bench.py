"""What recording costs beside perf, bpftrace and BCC, in one boot of the lab.

    python -m bench.capture_bench [PAIRS [PART,... [FEATURE...]]]

Boots the lab's kernel with a clock that counts instructions (docs/lab.md), on one CPU, and has a
BPF program make PAIRS (default 100,000) pairs of an allocation and a free of one arena page,
untraced and under each tool. Figures repeat within a few tenths of a per cent on any machine.

task     instructions per pair in the task that is traced: what the probes cost it
elapsed  the same for all that ran on the one CPU in that time, the tool's own part included. The
         pairs begin when the tool has come to rest; what it takes to begin stands by itself
bytes    left on the disk per event (a pair is two events). Ours come out far too small here: a
         clock that counts instructions is as regular as no real one (see tests/vm/test_storm.py)

PARTs are levels (the recorder's, beside the untraced program), tools (perf and bpftrace; after
levels only), rest and drains:

rest     what a recorder takes until it records, and for each second in which nothing happens
drain    instructions per event for taking all events of a storm of PAIRS / 10 out of the ring,
         and by the recorder also of larger and smaller ones

FEATUREs are hidden from the guest's CPU. With ``erms`` the kernel clears and copies memory by
eight bytes at a time instead of one: each round counts as an instruction, so an untraced pair,
in which a page is cleared, has half as many.
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
