"""Features of each supported kernel, from one recording; the guide has the same table."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import polars as pl
import pytest

from arenatrace.schema import DOUBTFUL_STACKS, Kind, OopsReason
from tests.vm.boots import KernelRun
from tests.vm.kernel_features import (
    EVERY_KERNEL,
    EXPECTED,
    FEATURES,
    FeatureRun,
    documented,
    read_features,
    table_rows,
)
from tests.vm.lab.images.kernel_choice import matches
from tests.vm.recordings import arenatrace

_SIGKILL = 9
_GUEST_CPUS = 2


@pytest.fixture(scope="module")
def run(kernel_run: KernelRun) -> FeatureRun:
    """Everything recorded on one kernel."""
    return read_features(kernel_run)


def test_kernel_boots_and_loads_a_module(kernel_run: KernelRun) -> None:
    release, kfuncs = kernel_run.result.stdout.splitlines()[:2]
    assert matches(release, kernel_run.kernel)
    assert kfuncs == "4"


def test_features_are_the_expected_and_documented_ones(
    run: FeatureRun, figures: Callable[[str], None]
) -> None:
    features = {name: has_feature(run) for name, has_feature in FEATURES.items()}
    figures("\n".join(table_rows({run.kernel: features})))
    lacks = {name for name, present in features.items() if not present}
    assert lacks == EXPECTED[run.kernel].lacks
    assert features == documented()[run.kernel], "docs/recording.md differs"


def test_probe_points_are_the_expected_ones(run: FeatureRun) -> None:
    expected = EXPECTED[run.kernel]
    doctor = json.loads((run.out / "doctor.json").read_text())
    assert {
        point["point"] for point in doctor["points"] if not point["present"]
    } == expected.missing
    assert set(run.trace.meta.probes.attached) == EVERY_KERNEL | expected.attached
    assert doctor["profile"] == run.trace.meta.profile == expected.profile
    assert doctor["can_record"] == ("kernel-side faults, recovered" not in expected.lacks)


def test_faults_without_recovery_are_oopses_and_blame_no_program(run: FeatureRun) -> None:
    expected = EXPECTED[run.kernel]
    if "kernel-side faults, recovered" in expected.lacks:
        assert {fault["outcome"] for fault in run.faults if fault["side"] == "kernel"} == {"oops"}
    if "blamed program" in expected.lacks:
        assert {fault["attribution"] for fault in run.faults} <= {"stack-only", "none"}
    for kind, feature in (
        (Kind.PAGE_RESERVE, "reservations"),
        (Kind.FREE_DRAIN, "when deferred frees take effect"),
        (Kind.KERNEL_ALLOC, "sched_ext's own memory"),
    ):
        assert bool(len(run.of(kind))) == (feature not in expected.lacks), kind


def test_every_oops_is_recorded_with_its_reason(run: FeatureRun) -> None:
    wanted = {case: (address, case) for case, address, _ in run.oopses}
    assert set(wanted) <= {reason.label for reason in OopsReason}
    assert all(signal == _SIGKILL for _, _, signal in run.oopses), run.oopses
    found = [fault for fault in run.faults if fault["outcome"] == "oops"]
    assert sorted((fault["kaddr"], fault["oops_reason"]) for fault in found) == sorted(
        wanted.values()
    )
    dmesg = (run.out / "dmesg.txt").read_text()
    assert len(re.findall(r"Oops: .*\[#\d+\]", dmesg)) == len(run.oopses)
    for fault in found:
        assert fault["page"] == (0 if fault["oops_reason"] == "protection" else 3)


def test_oopses_name_the_arena_of_the_address(run: FeatureRun) -> None:
    names = dict(run.trace.scan("arenas").select("arena", "name").collect().iter_rows())
    found = [fault for fault in run.faults if fault["outcome"] == "oops"]
    touched = {fault["oops_reason"]: names[fault["arena"]] for fault in found}
    other = touched.pop("outside-arena", "oops_other")
    assert other == "oops_other"
    assert set(touched.values()) == {"oops_mine"}


def test_sched_ext_memory_lies_in_pages_that_sched_ext_allocated(run: FeatureRun) -> None:
    """Compare scx_arena_alloc() with the page allocations of the same arena.

    Frees may be missing: 7.2 inlines scx_arena_free().
    """
    allocs, frees = run.of(Kind.KERNEL_ALLOC), run.of(Kind.KERNEL_FREE)
    if "sched_ext's own memory" in EXPECTED[run.kernel].lacks:
        assert not len(allocs)
        return
    assert set(frees["addr"]) <= set(allocs["addr"])
    assert len(allocs) == len(set(allocs["addr"])) > 0
    # 7.2 allocates one piece for each CPU, 7.3 two
    assert len(allocs) % _GUEST_CPUS == 0
    assert (allocs["ret"] > 0).all()
    (arena,) = set(allocs["arena"])
    names = dict(run.trace.scan("arenas").select("arena", "name").collect().iter_rows())
    assert names[arena] == "sched_arena"
    pages: set[int] = set()
    for row in run.of(Kind.PAGE_ALLOC).filter(pl.col("arena") == arena).iter_rows(named=True):
        if row["ret"]:
            pages |= set(range(row["pgoff"], row["pgoff"] + row["pages"]))
    assert set(allocs["pgoff"]) <= pages


def test_every_allocation_has_a_stack_that_begins_with_its_caller(run: FeatureRun) -> None:
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
        # a trampoline further down belongs to a probed function that allocated
        assert not names[0].startswith("bpf_trampoline")
        assert not any("vmlinux__" in name for name in names)


def test_recognised_stacks_equal_walked_stacks(
    run: FeatureRun, figures: Callable[[str], None]
) -> None:
    """The guest walks every recognised stack as well; a difference counts as a loss."""
    line = re.search(
        r"stacks: ([\d,]+) recognised \(([\d,]+) checked by a walk\), ([\d,]+) walked",
        run.log,
    )
    assert line is not None, run.log
    recognised, checked, others = (int(number.replace(",", "")) for number in line.groups())
    total = recognised + others
    figures(f"{run.kernel}: {recognised:,} of {total:,} stacks recognised, all of them correctly")
    assert checked == recognised
    assert recognised > 4 * others
    assert DOUBTFUL_STACKS not in run.trace.meta.lost


def test_no_command_prints_a_traceback(run: FeatureRun) -> None:
    for path in run.out.glob("*.txt"):
        if path.name != "dmesg.txt":
            assert "Traceback" not in path.read_text()
    assert "Traceback" not in run.log
    for command in ("summary", "faults", "replay"):
        assert "Traceback" not in arenatrace(command, run.trace.path)
    doctor = json.loads((run.out / "doctor.json").read_text())
    unattachable = [
        point for point in doctor["points"] if point["present"] and not point["attachable"]
    ]
    assert [p["point"] for p in unattachable if not p["point"].startswith("bpf_iter_")] == []


def test_recorder_reports_no_loss(run: FeatureRun) -> None:
    assert "nothing lost" in run.log, run.log
