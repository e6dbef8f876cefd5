"""What each kernel must record: its profile, its probe points, and the features of the guide."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from arenatrace.schema import Kind, Outcome
from arenatrace.trace.reader import Trace, open_trace
from tests.paths import ROOT
from tests.vm.boots import KernelRun
from tests.vm.lab.images.kernel_choice import TESTED
from tests.vm.recordings import arenatrace

_GUIDE = ROOT / "docs" / "recording.md"


@dataclass(frozen=True)
class FeatureRun:
    """Results of one kernel.

    Attributes:
        kernel: version prefix.
        trace: recorded at level ``stacks``.
        events: its events in order of time.
        replay: ``arenatrace replay --json``.
        faults: rows of ``arenatrace faults --json``.
        oopses: reason, kernel address and the signal that ended the task, for each oops.
        log: stderr of the recorder.
        out: directory of all files.
    """

    kernel: str
    trace: Trace
    events: pl.DataFrame
    replay: dict[str, Any]
    faults: list[dict[str, Any]]
    oopses: list[tuple[str, str, int]]
    log: str
    out: Path

    def of(self, kind: Kind) -> pl.DataFrame:
        """The events of a kind."""
        return self.events.filter(pl.col("kind") == int(kind))

    def outcomes(self, outcome: Outcome) -> pl.DataFrame:
        """The events with an outcome."""
        return self.events.filter(pl.col("outcome") == int(outcome))


#: Rows of the guide's table: the predicate that decides "yes" for a kernel.
FEATURES: dict[str, Callable[[FeatureRun], bool]] = {
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
    "blamed program": lambda run: bool(len(run.of(Kind.PROG_FAULT)["prog"].drop_nulls())),
    "sched_ext's own memory": lambda run: bool(len(run.of(Kind.KERNEL_ALLOC))),
    "every address predicted by `replay`": lambda run: (
        run.replay["divergences"] == [] and run.replay["predicted_addresses"] > 0
    ),
}


@dataclass(frozen=True)
class Expected:
    """Expectations for one kernel.

    Attributes:
        profile: kernel profile that doctor and the trace name.
        lacks: features that the kernel does not have; it has all others.
        missing: probe points that doctor does not find.
        attached: probe points that are attached besides those of every kernel.
    """

    profile: str
    lacks: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()
    attached: frozenset[str] = frozenset()


EVERY_KERNEL = frozenset(
    {
        *("page_fault_oops", "arena_vm_fault", "free_module"),
        *("arena_map_alloc", "arena_map_mmap", "arena_map_free"),
        *("bpf_prog_kallsyms_add", "bpf_prog_kallsyms_del_all"),
        *("bpf_iter_bpf_map", "bpf_iter_bpf_prog"),
    }
)
#: Added with recovery in 7.2; absent or inlined before.
_SINCE_RECOVERY = frozenset(
    {
        *("bpf_arena_handle_page_fault", "bpf_prog_find_from_stack", "apply_range_set_scratch_cb"),
        *("bpf_prog_report_arena_violation", "bpf_prog_ksym_find"),
        *("arena_alloc_pages", "arena_free_pages", "bpf_arena_reserve_pages", "arena_free_worker"),
        *("scx_arena_alloc", "scx_arena_free"),
    }
)
_RECOVERS = Expected("scratch-replace", attached=_SINCE_RECOVERY)
EXPECTED: dict[str, Expected] = {
    "6.12": Expected(
        "pre-scratch",
        lacks=frozenset(
            {
                "reservations",
                "when deferred frees take effect",
                "kernel-side faults, recovered",
                "blamed program",
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


def read_features(kernel_run: KernelRun) -> FeatureRun:
    """Read what kernel-features.sh left.

    Raises:
        AssertionError: the recorder failed; the message has its log.
    """
    out = kernel_run.out
    log = (out / "features.log").read_text()
    assert int((out / "features.rc").read_text()) == 0, log
    path = out / "features.atrace"
    trace = open_trace(path)
    oopses = [
        (reason, f"0x{int(address, 16):x}", int(signal))
        for reason, address, signal in map(str.split, (out / "oops.txt").read_text().splitlines())
    ]
    faults = arenatrace("faults", path, "--json")
    return FeatureRun(
        kernel_run.kernel,
        trace,
        trace.scan("events").sort("ts_ns", "seq").collect(),
        json.loads(arenatrace("replay", path, "--json")),
        [json.loads(line) for line in faults.splitlines()],
        oopses,
        log,
        out,
    )


def table_rows(table: dict[str, dict[str, bool]]) -> list[str]:
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
    """Return the table of the guide: kernel to feature to whether the kernel has it."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in _GUIDE.read_text(encoding="utf-8").splitlines()
        if line.startswith("|")
    ]
    start = next(at for at, row in enumerate(rows) if row[1:] == list(TESTED))
    cells = {row[0]: row[1:] for row in rows[start + 2 : start + 2 + len(FEATURES)]}
    assert set(cells) == set(FEATURES), "the guide's table has other rows"
    return {
        kernel: {name: cells[name][at] == "yes" for name in FEATURES}
        for at, kernel in enumerate(TESTED)
    }
