"""Random operations: the trace holds all of them, and replay predicts every address."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from arenatrace.analysis.faults import diagnosed_faults
from arenatrace.errors import ExitCode
from arenatrace.schema import PAGE_SIZE, Kind, Outcome
from arenatrace.trace.reader import Trace, open_trace
from tests.data.recorded_worlds import worlds
from tests.unit.analysis.oracle.comparison import difference
from tests.unit.analysis.oracle.diagnosis import diagnose
from tests.vm.boots import RANDOM_OPERATIONS, SEED, KernelRun
from tests.vm.recordings import arenatrace

#: Number of faults whose cause is compared with the oracle of the unit tests.
ORACLE_FAULTS = int(os.environ.get("ARENATRACE_ORACLE_FAULTS", "300"))

_COMPLAINT = re.compile(r"BUG:|WARNING:|Oops|Call Trace:|Unable to handle")
_USER_OUTCOMES = {
    "mapped": Outcome.MAPPED,
    "SIGSEGV": Outcome.SIGSEGV,
    "SIGBUS": Outcome.SIGBUS,
}

#: An operation, comparable between account and trace: kind, index of the arena in the account,
#: and the values of that kind.
Operation = tuple[Any, ...]


@dataclass(frozen=True)
class Run:
    """A recording of random operations, with the program's own account of them."""

    kernel: str
    truth: dict[str, Any]
    trace: Path
    log: str
    dmesg: str

    def records_program_faults(self) -> bool:
        """Return whether this kernel has a probe point for program-side faults."""
        points = {"bpf_prog_report_arena_violation", "ex_handler_bpf"}
        return not points.isdisjoint(open_trace(self.trace).meta.probes.attached)

    def expected(self) -> list[Operation]:
        """Return the operations that the trace must hold, in order."""
        return [found for done in self.truth["operations"] if (found := self._expected(done))]

    def _expected(self, done: dict[str, Any]) -> Operation | None:
        arena, addr = done["arena"], int(done["addr"], 16)
        true_arena = self.truth["arenas"][arena]
        kaddr = int(true_arena["kern_vm_start"], 16) + addr % 2**32
        match done["op"], done["result"]:
            case "alloc", given:
                # without pages or with flags the kernel returns before it uses the arena
                if not done["pages"] or done["flags"]:
                    return None
                asked = (addr, done["pages"], done["node"], done["sleepable"])
                return (Kind.PAGE_ALLOC, arena, *asked, int(given, 16))
            case "free", _:
                if not done["pages"] or not addr:
                    return None
                return (Kind.PAGE_FREE, arena, addr, done["pages"], done["sleepable"])
            case "reserve", result:
                return (Kind.PAGE_RESERVE, arena, addr, done["pages"], result)
            case "user-touch", "present":
                return None
            case "user-touch", result:
                page = addr // PAGE_SIZE * PAGE_SIZE
                return (Kind.USER_FAULT, arena, page, done["write"], _USER_OUTCOMES[result])
            case "kernel-touch", "fault":
                return (Kind.KERNEL_FAULT, arena, kaddr, done["write"], Outcome.SCRATCH_INSTALLED)
            case "prog-touch", "fault" if self.records_program_faults():
                outcome = Outcome.IGNORED if done["write"] else Outcome.ZEROED
                return (Kind.PROG_FAULT, arena, kaddr, done["write"], outcome)
        return None

    def recorded(self) -> list[Operation]:
        """Return the recorded operations, in order."""
        trace = open_trace(self.trace)
        index = self._index(trace)
        events = trace.scan("events").sort("ts_ns", "seq").collect()
        rows = events.iter_rows(named=True)
        return [found for row in rows if (found := self._recorded(row, index))]

    def _index(self, trace: Trace) -> dict[int, int]:
        """Map arena keys of the trace to indices in the account."""
        wanted = {facts["map_id"]: facts for facts in self.truth["arenas"]}
        index = {}
        for row in trace.scan("arenas").collect().iter_rows(named=True):
            if facts := wanted.get(row["map_id"]):
                assert row["name"] == facts["name"]
                assert row["max_entries"] == facts["max_entries"]
                assert row["map_flags"] & 0xFFFFFFFF == facts["map_flags"]
                assert row["user_vm_start"] == int(facts["user_vm_start"], 16)
                assert row["kern_vm_start"] == int(facts["kern_vm_start"], 16)
                index[row["arena"]] = facts["arena"]
        assert len(index) == len(wanted)
        return index

    @staticmethod
    def _recorded(row: dict[str, Any], index: dict[int, int]) -> Operation | None:
        arena = index.get(row["arena"])
        match kind := Kind(row["kind"]):
            case Kind.PAGE_ALLOC:
                asked = (row["addr"], row["pages"], row["node"], row["sleepable"])
                return (kind, arena, *asked, row["ret"])
            case Kind.PAGE_FREE:
                return kind, arena, row["addr"], row["pages"], row["sleepable"]
            case Kind.PAGE_RESERVE:
                return kind, arena, row["addr"], row["pages"], row["ret"]
            case Kind.USER_FAULT | Kind.KERNEL_FAULT | Kind.PROG_FAULT:
                return kind, arena, row["addr"], row["write"], row["outcome"]
        return None


@pytest.fixture(scope="module")
def run(kernel_run: KernelRun) -> Run:
    """The recording of random operations on each kernel."""
    kernel, out = kernel_run.kernel, kernel_run.out
    log = (out / "random.log").read_text()
    status = int((out / "random.rc").read_text())
    if kernel == "6.12" and status == ExitCode.UNSUPPORTED:
        pytest.skip(f"{kernel}: {log.splitlines()[0]}")
    assert status == 0, log
    truth = json.loads((out / "random.json").read_text())
    return Run(kernel, truth, out / "random.atrace", log, (out / "random-dmesg.txt").read_text())


def test_operations_cover_every_kind(run: Run, figures: Callable[[str], None]) -> None:
    done = run.truth["operations"]
    counts = Counter(
        (one["op"], "sleepable" if one.get("sleepable", True) else "deferred") for one in done
    )
    shown = ", ".join(f"{op} {how} {count}" for (op, how), count in sorted(counts.items()))
    figures(f"{run.truth['kernel']}, seed {run.truth['seed']}: {len(done)} operations: {shown}")
    assert len(done) >= RANDOM_OPERATIONS
    assert [one["seq"] for one in done] == list(range(len(done)))
    wanted = {"alloc", "free", "user-touch", "prog-touch"}
    if run.kernel != "6.12":
        wanted |= {"reserve", "kernel-touch"}
        assert counts["free", "deferred"] > 0
    assert {op for op, _ in counts} == wanted


def test_kernel_log_has_no_warning(run: Run) -> None:
    assert _COMPLAINT.findall(run.dmesg) == []


def test_recording_lost_nothing(run: Run) -> None:
    assert "nothing lost" in run.log
    events = open_trace(run.trace).scan("events").collect()
    assert Kind.LOST not in set(events["kind"])


def test_every_operation_is_in_the_trace_in_order(run: Run, figures: Callable[[str], None]) -> None:
    expected, recorded = run.expected(), run.recorded()
    counts = Counter(operation[0].label for operation in recorded)
    figures(f"{run.truth['kernel']}: {sum(counts.values())} recorded: {dict(counts)}")
    for number, (wanted, got) in enumerate(itertools.zip_longest(expected, recorded)):
        assert got == wanted, f"operation {number} of {len(expected)}"


def test_replay_predicts_every_address(run: Run, figures: Callable[[str], None]) -> None:
    replay = json.loads(arenatrace("replay", run.trace, "--json"))
    given = [
        one
        for one in run.truth["operations"]
        if one["op"] == "alloc" and int(one["result"], 16) != 0
    ]
    chosen = sum(not int(one["addr"], 16) for one in given)
    keys = ("profile", "verdict", "events", "checked", "predicted_addresses", "unknown")
    figures(f"{run.truth['kernel']}: { ({key: replay[key] for key in keys}) }")
    figures(f"{len(given)} allocations, {chosen} at an address that the kernel chose")
    assert replay["divergences"] == []
    assert replay["verdict"] == "consistent"
    assert replay["predicted_addresses"] == len(given)


def test_causes_equal_the_oracle(run: Run, figures: Callable[[str], None]) -> None:
    """Compare a sample of the faults with the oracle of the unit tests, which is slow."""
    trace = open_trace(run.trace)
    of_arena = worlds(trace)
    rows = list(diagnosed_faults(trace).iter_rows(named=True))
    dice = random.Random(SEED)  # noqa: S311 - not for secrets
    chosen = dice.sample(rows, min(len(rows), ORACLE_FAULTS))
    causes: Counter[str] = Counter()
    for row in chosen:
        world = of_arena[row["arena"]]
        (index,) = (at for at, event in enumerate(world.events) if event["seq"] == row["seq"])
        answer = diagnose(world, index)
        causes[answer["cause"]] += 1
        assert not (different := difference(row, answer)), (row["fault"], different)
    figures(f"{run.truth['kernel']}: {len(chosen)} of {len(rows)} faults: {dict(causes)}")
    assert chosen
