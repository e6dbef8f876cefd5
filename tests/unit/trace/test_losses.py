"""Losses of a trace: time stretches, undated counts, and labels that concern pages."""

from __future__ import annotations

import re

import polars as pl
import pytest

from arenatrace.schema import DOUBTFUL_STACKS, LOST_NOTES, LOST_STACKS, Kind
from arenatrace.trace.losses import (
    ARENA_STATE,
    MISSED_BY,
    PAGE_HISTORY,
    TORN,
    UNDATED_REACH_NS,
    Losses,
    LossReader,
    has_probe,
    label_of,
    losses,
)
from arenatrace.trace.meta import Meta, MissingProbe, Probes
from arenatrace.trace.polars_schema import polars_schema
from tests.paths import ROOT

_S = 1_000_000_000


def _marks(*marks: tuple[int, int | None, Kind | int | None, int | None]) -> pl.LazyFrame:
    """Return events that mark losses; each is (ts_ns, since_ts_ns, kind, pages)."""
    rows = [
        {"ts_ns": ts, "seq": seq, "kind": int(Kind.LOST), "since_ts_ns": since}
        | {"ret": kind, "pages": pages}
        for seq, (ts, since, kind, pages) in enumerate(marks)
    ]
    return pl.LazyFrame(rows, schema=polars_schema("events"))


def test_overlapping_stretches_merge_and_disjoint_ones_stay() -> None:
    events = _marks(
        (9 * _S, 8 * _S, Kind.PAGE_FREE, 1),
        (4 * _S, 2 * _S, Kind.PAGE_ALLOC, 1),
        (3 * _S, 1 * _S, Kind.PAGE_ALLOC, 1),
    )
    found = losses(events, {"page_alloc": 2, "page_free": 1}, PAGE_HISTORY)
    assert found == Losses(((1 * _S, 4 * _S), (8 * _S, 9 * _S)), 0)


def test_undated_mark_reaches_back_five_seconds() -> None:
    found = losses(_marks((20 * _S, None, Kind.PAGE_FREE, 3)), {"page_free": 3}, ARENA_STATE)
    assert found == Losses(((15 * _S, 20 * _S),), 0)


@pytest.mark.parametrize("page", ["causes.md", "replay.md"])
def test_docs_state_the_reach_of_an_undated_mark(page: str) -> None:
    text = " ".join((ROOT / "docs" / page).read_text().split())
    (seconds,) = re.findall(r"without a start time [a-z ]+ (\d+) s", text)
    assert int(seconds) * _S == UNDATED_REACH_NS


@pytest.mark.parametrize("kind", [0, 99, None, Kind.PAGE_ALLOC, Kind.FREE_DRAIN, Kind.LOST])
@pytest.mark.parametrize("reader", [PAGE_HISTORY, ARENA_STATE])
def test_loss_of_a_page_kind_or_an_unknown_kind_concerns_both(
    kind: int | None, reader: LossReader
) -> None:
    label = label_of(kind or 0)
    assert losses(_marks((2, 1, kind, None)), {label: 1}, reader) == Losses(((1, 2),), 0)
    assert losses(_marks(), {label: 1}, reader) == Losses((), 1)


@pytest.mark.parametrize("kind", [Kind.PROG_FAULT, Kind.PROG_LOAD, Kind.KERNEL_ALLOC])
@pytest.mark.parametrize("reader", [PAGE_HISTORY, ARENA_STATE])
def test_loss_of_a_harmless_kind_concerns_neither(kind: Kind, reader: LossReader) -> None:
    assert not losses(_marks((2, 1, kind, 4)), {kind.label: 4}, reader)


@pytest.mark.parametrize("kind", [Kind.KERNEL_FAULT, Kind.ARENA_MMAP])
def test_loss_of_a_kernel_fault_or_an_mmap_concerns_only_the_model(kind: Kind) -> None:
    assert not losses(_marks((2, 1, kind, 4)), {kind.label: 4}, PAGE_HISTORY)
    assert losses(_marks((2, 1, kind, 4)), {kind.label: 4}, ARENA_STATE) == Losses(((1, 2),), 0)


def test_marks_of_harmless_kinds_do_not_date_other_losses() -> None:
    found = losses(_marks((2, 1, Kind.PROG_LOAD, 5)), {"page_free": 3, "prog_load": 5}, ARENA_STATE)
    assert found == Losses((), 3)


@pytest.mark.parametrize("reader", [PAGE_HISTORY, ARENA_STATE])
def test_lost_metadata_and_a_torn_end_are_harmless(reader: LossReader) -> None:
    labels = (LOST_NOTES, LOST_STACKS, DOUBTFUL_STACKS, TORN)
    assert not losses(_marks(), dict.fromkeys(labels, 7), reader)
    assert losses(_marks(), {"unfinished events": 2, TORN: 1}, reader).undated == 2


def test_skipped_probe_runs_matter_only_where_the_probe_records_an_operation() -> None:
    skipped = {
        f"{MISSED_BY}kfunc__vmlinux__{name}": 1 for name in ("page_fault_oops", "free_module")
    }
    assert not losses(_marks(), skipped, PAGE_HISTORY)
    assert not losses(_marks(), skipped, ARENA_STATE)
    for name in ("arena_free_worker", "bpf_arena_alloc_pages"):
        label = f"{MISSED_BY}kfunc__vmlinux__{name}"
        assert losses(_marks(), {label: 3}, PAGE_HISTORY).undated == 3
    handler = {f"{MISSED_BY}kfunc__vmlinux__bpf_arena_handle_page_fault": 2}
    assert not losses(_marks(), handler, PAGE_HISTORY)
    assert losses(_marks(), handler, ARENA_STATE).undated == 2


def test_either_probe_point_records_an_operation() -> None:
    for attached, has in (
        ((), True),
        (("arena_vm_fault",), False),
        (("arena_alloc_pages",), True),
        (("bpf_arena_alloc_pages",), True),
        (("my_arena_alloc_pages",), False),
    ):
        meta = Meta(kernel="7.2", probes=Probes(attached=attached))
        assert has_probe(meta, "allocations") == has
    missing = Probes(missing=(MissingProbe("arena_free_worker", "drains"),))
    assert not has_probe(Meta(kernel="7.2", probes=missing), "drains")
