"""One table of kernels and features, from one run of each kernel; the guide shows the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from arenatrace.schema import DOUBTFUL_STACKS, Kind, OopsReason, Outcome
from arenatrace.trace.reader import Trace, open_trace
from tests.vm.lab.lab import CHECKOUT, WORKLOAD, Lab
from tests.vm.lab.skipping import need_kernel
from tests.vm.recordings import arenatrace
from tests.vm.test_kernels import KERNELS
from tests.vm.test_random_ops import RANDOM_OPS

SCHEDULER = Path(__file__).parent / "workloads" / "scx"
OOPS = Path(__file__).parent / "workloads" / "oops"
TIMEOUT = 300.0
_JOB = Path(__file__).parent / "guest_jobs" / "kernel-features.sh"
_GUIDE = CHECKOUT / "docs" / "recording.md"

_BUILD = "make BUILD=/job/build KVER=$LAB_KERNEL"
_SIGKILL = 9
_CPUS = 2  # of a guest


@dataclass(frozen=True)
class Run:
    """What one kernel left: the trace, the touches that were oopses, and all that was said."""

    kernel: str
    trace: Trace
    events: pl.DataFrame
    replay: dict[str, Any]
    faults: list[dict[str, Any]]
    oopses: list[tuple[str, str, int]]
    log: str
    left: Path

    def of(self, kind: Kind) -> pl.DataFrame:
        """The events of a kind."""
        return self.events.filter(pl.col("kind") == int(kind))

    def outcomes(self, outcome: Outcome) -> pl.DataFrame:
        """The events with an outcome."""
        return self.events.filter(pl.col("outcome") == int(outcome))


#: The rows of the table: what the trace of a kernel must hold for a yes.
FEATURES: dict[str, Callable[[Run], bool]] = {
    "arenas and programs, with source lines": lambda run: any(
        row["lines"] and row["arena"] is not None
        for row in run.trace.scan("programs").collect().iter_rows(named=True)
    ),
    "page allocations and frees": lambda run: bool(
        len(run.of(Kind.PAGE_ALLOC)) and len(run.of(Kind.PAGE_FREE))
    ),
    "their stacks": lambda run: bool(
        run.of(Kind.PAGE_ALLOC)["stack"].is_not_null().all()
        and run.of(Kind.PAGE_FREE)["stack"].is_not_null().all()
    ),
    "reservations": lambda run: bool(len(run.of(Kind.PAGE_RESERVE))),
    "when deferred frees take effect": lambda run: bool(len(run.of(Kind.FREE_DRAIN))),
    "user faults": lambda run: bool(len(run.outcomes(Outcome.SIGSEGV))),
    "kernel-side faults, recovered": lambda run: bool(len(run.outcomes(Outcome.SCRATCH_INSTALLED))),
    "oopses, with the reason": lambda run: bool(
        len(run.outcomes(Outcome.OOPS)["oops_reason"].drop_nulls())
    ),
    "program-side faults": lambda run: bool(len(run.of(Kind.PROG_FAULT))),
    "the program the kernel blames": lambda run: bool(
        len(run.of(Kind.PROG_FAULT)["prog"].drop_nulls())
    ),
    "sched_ext's own memory": lambda run: bool(len(run.of(Kind.KERNEL_ALLOC))),
    "every address predicted by `replay`": lambda run: (
        run.replay["divergences"] == [] and run.replay["predicted_addresses"] > 0
    ),
}


@dataclass(frozen=True)
class Must:
    """What a kernel must be found to be: ``lacks`` of the features, all others it must have.

    ``missing`` are the probe points that doctor must not find, and ``attached`` those the
    recording must rest on besides the ones that every kernel has.
    """

    profile: str
    lacks: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()
    attached: frozenset[str] = frozenset()


_EVERYWHERE = frozenset(
    {
        *("page_fault_oops", "arena_vm_fault", "free_module"),
        *("arena_map_alloc", "arena_map_mmap", "arena_map_free"),
        *("bpf_prog_kallsyms_add", "bpf_prog_kallsyms_del_all"),
        *("bpf_iter_bpf_map", "bpf_iter_bpf_prog"),
    }
)
#: What came with recovery in 7.2, and was not there, or inlined, before.
_SINCE_RECOVERY = frozenset(
    {
        *("bpf_arena_handle_page_fault", "bpf_prog_find_from_stack", "apply_range_set_scratch_cb"),
        *("bpf_prog_report_arena_violation", "bpf_prog_ksym_find"),
        *("arena_alloc_pages", "arena_free_pages", "bpf_arena_reserve_pages", "arena_free_worker"),
        *("scx_arena_alloc", "scx_arena_free"),
    }
)
_RECOVERS = Must("scratch-replace", attached=_SINCE_RECOVERY)
MUST: dict[str, Must] = {
    "6.12": Must(
        "pre-scratch",
        lacks=frozenset(
            {
                "reservations",
                "when deferred frees take effect",
                "kernel-side faults, recovered",
                "the program the kernel blames",
                "sched_ext's own memory",
            }
        ),
        missing=_SINCE_RECOVERY,
        attached=frozenset(
            {
                *("fixup_exception", "ex_handler_bpf"),
                *("bpf_arena_alloc_pages", "bpf_arena_free_pages"),
            }
        ),
    ),
    "7.2": _RECOVERS,
    "7.3": _RECOVERS,
}


@pytest.fixture(scope="module")
def table() -> dict[str, dict[str, bool]]:
    """Features by kernel, filled as the kernels run."""
    return {}


@pytest.fixture(scope="module", params=KERNELS)
def run(request: pytest.FixtureRequest, lab: Lab) -> Run:
    """Everything recorded on one kernel."""
    kernel: str = request.param
    need_kernel(lab, kernel)
    module = lab.prepare(WORKLOAD, f"make module {_BUILD.removeprefix('make ')}", kernel=kernel)
    program = lab.prepare(RANDOM_OPS, _BUILD, kernel=kernel)
    oops = lab.prepare(OOPS, _BUILD, kernel=kernel)
    scheduler = lab.prepare(SCHEDULER, _BUILD, kernel=kernel)
    places = (
        f"files/{module.name}/build/arenapoke.ko",
        f"files/{program.name}/build/random_ops",
        f"files/{oops.name}/build",
        f"files/{scheduler.name}/build/arena_sched.bpf.o",
    )
    result = lab.run(
        f"bash files/{_JOB.name} {' '.join(places)}",
        files=[module, program, oops, scheduler, _JOB],
        kernel=kernel,
        timeout=TIMEOUT,
    )
    left = result.out_dir
    said = f"{result.stdout}\n{result.stderr}\n{result.console[-3000:]}"
    assert result.returncode == 0, said
    log = (left / "features.log").read_text()
    assert int((left / "features.rc").read_text()) == 0, log
    path = left / "features.atrace"
    trace = open_trace(path)
    oopses = [
        (case, f"0x{int(address, 16):x}", int(signal))
        for case, address, signal in map(str.split, (left / "oops.txt").read_text().splitlines())
    ]
    faults = arenatrace("faults", path, "--json")
    return Run(
        kernel,
        trace,
        trace.scan("events").sort("ts_ns", "seq").collect(),
        json.loads(arenatrace("replay", path, "--json")),
        [json.loads(line) for line in faults.splitlines()],
        oopses,
        log,
        left,
    )


def test_this_kernel_has_what_it_must_and_lacks_the_rest(
    run: Run, table: dict[str, dict[str, bool]], capsys: pytest.CaptureFixture[str]
) -> None:
    table[run.kernel] = {name: has(run) for name, has in FEATURES.items()}
    with capsys.disabled():
        print("", *_rows(table), sep="\n")
    lacks = {name for name, has in table[run.kernel].items() if not has}
    assert lacks == MUST[run.kernel].lacks
    assert table[run.kernel] == documented()[run.kernel], "the guide says something else"


def test_the_points_of_this_kernel_are_the_ones_that_are_known(run: Run) -> None:
    must = MUST[run.kernel]
    doctor = json.loads((run.left / "doctor.json").read_text())
    assert {each["point"] for each in doctor["points"] if not each["present"]} == must.missing
    assert set(run.trace.meta.probes.attached) == _EVERYWHERE | must.attached
    assert doctor["profile"] == run.trace.meta.profile == must.profile
    assert doctor["can_record"] == ("kernel-side faults, recovered" not in must.lacks)


def test_faults_without_recovery_are_told_from_those_with_it(run: Run) -> None:
    """What the kernel could not do is not made up: no program blamed, no scratch page."""
    must = MUST[run.kernel]
    if "kernel-side faults, recovered" in must.lacks:
        assert {fault["outcome"] for fault in run.faults if fault["side"] == "kernel"} == {"oops"}
    if "the program the kernel blames" in must.lacks:
        assert {fault["attribution"] for fault in run.faults} <= {"stack-only", "none"}
    for kind, feature in (
        (Kind.PAGE_RESERVE, "reservations"),
        (Kind.FREE_DRAIN, "when deferred frees take effect"),
        (Kind.KERNEL_ALLOC, "sched_ext's own memory"),
    ):
        assert bool(len(run.of(kind))) == (feature not in must.lacks), kind


def _rows(table: dict[str, dict[str, bool]]) -> list[str]:
    width = max(map(len, FEATURES))
    return [
        f"{'feature':{width}}  {'  '.join(f'{kernel:>5}' for kernel in table)}",
        *(
            f"{name:{width}}  "
            + "  ".join(f"{'yes' if column[name] else '-':>5}" for column in table.values())
            for name in FEATURES
        ),
    ]


def documented() -> dict[str, dict[str, bool]]:
    """The table of the guide: kernel to feature to whether it has it."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in _GUIDE.read_text(encoding="utf-8").splitlines()
        if line.startswith("|")
    ]
    start = next(at for at, row in enumerate(rows) if row[1:] == list(KERNELS))
    cells = {row[0]: row[1:] for row in rows[start + 2 : start + 2 + len(FEATURES)]}
    assert set(cells) == set(FEATURES), "the guide's table has other rows"
    return {
        kernel: {name: cells[name][at] == "yes" for name in FEATURES}
        for at, kernel in enumerate(KERNELS)
    }


def test_every_oops_is_there_with_its_reason(run: Run) -> None:
    wanted = {case: (address, case) for case, address, _ in run.oopses}
    assert set(wanted) <= {reason.label for reason in OopsReason}
    assert all(signal == _SIGKILL for _, _, signal in run.oopses), run.oopses
    found = [fault for fault in run.faults if fault["outcome"] == "oops"]
    assert sorted((fault["kaddr"], fault["oops_reason"]) for fault in found) == sorted(
        wanted.values()
    )
    dmesg = (run.left / "dmesg.txt").read_text()
    assert len(re.findall(r"Oops: .*\[#\d+\]", dmesg)) == len(run.oopses)
    for fault in found:
        assert fault["page"] == (0 if fault["oops_reason"] == "protection" else 3)


def test_the_touched_arena_is_named(run: Run) -> None:
    names = dict(run.trace.scan("arenas").select("arena", "name").collect().iter_rows())
    found = [fault for fault in run.faults if fault["outcome"] == "oops"]
    touched = {fault["oops_reason"]: names[fault["arena"]] for fault in found}
    other = touched.pop("outside-arena", "oops_other")
    assert other == "oops_other"
    assert set(touched.values()) == {"oops_mine"}


def test_memory_of_sched_ext_lies_in_pages_it_allocated(run: Run) -> None:
    """As many pieces for each CPU. 7.2 inlines scx_arena_free() too: frees may not be seen."""
    given, back = run.of(Kind.KERNEL_ALLOC), run.of(Kind.KERNEL_FREE)
    if "sched_ext's own memory" in MUST[run.kernel].lacks:
        assert not len(given)
        return
    assert set(back["addr"]) <= set(given["addr"])
    assert len(given) == len(set(given["addr"])) > 0
    # 7.2 takes one for each CPU, 7.3 two
    assert len(given) % _CPUS == 0
    assert (given["ret"] > 0).all()
    (arena,) = set(given["arena"])
    names = dict(run.trace.scan("arenas").select("arena", "name").collect().iter_rows())
    assert names[arena] == "sched_arena"
    pages: set[int] = set()
    for row in run.of(Kind.PAGE_ALLOC).filter(pl.col("arena") == arena).iter_rows(named=True):
        if row["ret"]:
            pages |= set(range(row["pgoff"], row["pgoff"] + row["pages"]))
    assert set(given["pgoff"]) <= pages


def test_a_stack_leads_to_every_allocation(run: Run) -> None:
    """Each begins with its caller, a BPF program, and not with the probe."""
    symbols = dict(run.trace.scan("symbols").select("addr", "name").collect().iter_rows())
    stacks = {
        row["stack"]: [symbols.get(frame) or "" for frame in row["frames"]]
        for row in run.trace.scan("stacks").collect().iter_rows(named=True)
    }
    allocs = run.of(Kind.PAGE_ALLOC)["stack"].unique().to_list()
    assert allocs
    for stack in allocs:
        names = stacks[stack]
        assert any(re.search(r"_ops(_burst)?$|^scx_", name) for name in names), names
        # further down there is one where a probed function allocated
        assert not names[0].startswith("bpf_trampoline")
        assert not any("vmlinux__" in name for name in names)


def test_recognised_stacks_are_those_that_a_walk_finds(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here each is walked too: one that differs would be among the losses, see below."""
    said = re.search(
        r"stacks: ([\d,]+) recognised, ([\d,]+) of these walked all the same, to check; "
        r"([\d,]+) others walked",
        run.log,
    )
    assert said is not None, run.log
    recognised, checked, others = (int(number.replace(",", "")) for number in said.groups())
    with capsys.disabled():
        print(f"\n{recognised:,} of {recognised + others:,} stacks were recognised, all rightly")
    assert checked == recognised
    assert recognised > 4 * others
    assert DOUBTFUL_STACKS not in run.trace.meta.lost


def test_nothing_ends_in_a_traceback(run: Run) -> None:
    for path in run.left.glob("*.txt"):
        if path.name != "dmesg.txt":
            assert "Traceback" not in path.read_text()
    assert "Traceback" not in run.log
    for command in ("summary", "faults", "replay"):
        assert "Traceback" not in arenatrace(command, run.trace.path)
    doctor = json.loads((run.left / "doctor.json").read_text())
    missing = [point for point in doctor["points"] if point["present"] and not point["attachable"]]
    assert [p["point"] for p in missing if not p["point"].startswith("bpf_iter_")] == []


def test_the_recorder_says_nothing_was_lost(run: Run) -> None:
    assert "nothing lost" in run.log, run.log
