"""Reports in every supported logger form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from arenatrace.importers.reports.records import Stamp
from tests.unit.importers.collect import capture, collect

Wrap = Callable[[int, str], str]

_WALL = 1_763_689_021_123_456_000

_FORMS: dict[str, tuple[str, Stamp | None, Wrap]] = {
    "scx": ("scx+stream", None, lambda _, t: f"BPF stderr of prog touch: {t}"),
    "scx behind a logger, no trailing blanks": (
        "scx+stream",
        None,
        lambda _, t: f"12:01:33 [WARN] BPF stderr of prog touch: {t}".rstrip(),
    ),
    "scx in the journal": (
        "journal+scx+stream",
        None,
        lambda _, t: f"Nov 21 02:37:01 host scx_lavd[123]: BPF stderr of prog touch: {t}",
    ),
    "journal short": ("journal+stream", None, lambda _, t: f"Nov  1 02:37:01 host app[7]: {t}"),
    "journal short-full": (
        "journal+stream",
        None,
        lambda _, t: f"Fri 2025-11-21 02:37:01 UTC host app[7]: {t}",
    ),
    "journal short-iso-precise": (
        "journal+stream",
        Stamp(_WALL, wall=True),
        lambda _, t: f"2025-11-21T02:37:01.123456+0100 host app[7]: {t}",
    ),
    "syslog, RFC 3339": (
        "journal+stream",
        Stamp(_WALL, wall=True),
        lambda _, t: f"2025-11-21T01:37:01.123456Z host app: {t}",
    ),
    "journal short-unix": (
        "journal+stream",
        Stamp(_WALL, wall=True),
        lambda _, t: f"1763689021.123456 host app[7]: {t}",
    ),
    "journal short-monotonic": (
        "journal+stream",
        Stamp(59_000_000_000, wall=False),
        lambda i, t: f"[   59.{i:06}] host kernel: {t}",
    ),
    "journal, with the kernel's own time": (
        "journal+dmesg+stream",
        Stamp(59_000_000_000, wall=False),
        lambda i, t: f"Nov 21 02:37:01 host kernel: [   59.{i:06}] {t}",
    ),
    "dmesg": (
        "dmesg+stream",
        Stamp(59_000_000_000, wall=False),
        lambda i, t: f"[   59.{i:06}] {t}",
    ),
    "dmesg with caller": (
        "dmesg+stream",
        Stamp(59_000_000_000, wall=False),
        lambda i, t: f"[   59.{i:06}][  T398] {t}",
    ),
    "dmesg -x": (
        "dmesg+stream",
        Stamp(59_000_000_000, wall=False),
        lambda i, t: f"kern  :err   : [   59.{i:06}] {t}",
    ),
    "dmesg -r": (
        "dmesg+stream",
        Stamp(59_000_000_000, wall=False),
        lambda i, t: f"<3>[   59.{i:06}] {t}",
    ),
    "dmesg -T": ("dmesg+stream", None, lambda _, t: f"[Fri Nov 21 02:37:01 2025] {t}"),
    "dmesg --reltime": ("dmesg+stream", None, lambda i, t: f"[  +0.{i:06}] {t}"),
    "dmesg --time-format iso": (
        "dmesg+stream",
        Stamp(_WALL, wall=True),
        lambda _, t: f"2025-11-21T01:37:01,123456+00:00 {t}",
    ),
    "dmesg --color=always": (
        "dmesg+stream",
        Stamp(59_000_000_000, wall=False),
        lambda i, t: f"\x1b[32m[   59.{i:06}] \x1b[0m\x1b[31m{t}\x1b[0m",
    ),
    "CRLF": ("stream", None, lambda _, t: f"{t}\r"),
}

_STREAM = capture("stream-7.3-rc7.txt")


def _wrapped(text: str, wrap: Wrap) -> str:
    lines = text.removesuffix("\n").split("\n")
    return "".join(f"{wrap(number, line)}\n" for number, line in enumerate(lines))


@pytest.mark.parametrize("name", list(_FORMS))
def test_import_finds_the_same_reports_in_every_form(name: str) -> None:
    form, stamp, wrap = _FORMS[name]
    found = collect(_wrapped(_STREAM, wrap))
    blamed = "touch" if "scx" in form else None
    assert found.faults == [replace(f, blamed=blamed) for f in collect(_STREAM).faults]
    assert found.text.format == form
    assert found.stamps[0] == stamp
    assert not found.unparsed


def test_import_finds_the_same_oops_in_the_journal() -> None:
    plain = capture("dmesg-6.12.107-oops.txt")
    wrapped = _wrapped(plain, lambda _, t: f"Nov 21 02:37:01 host kernel: {t}")
    found = collect(wrapped)
    assert found.faults == collect(plain).faults
    assert found.text.format == "journal+dmesg+oops"


def test_import_separates_interleaved_writers() -> None:
    lines = _STREAM.splitlines()
    mixed = "".join(
        f"Nov 21 02:37:01 host scx[1]: BPF stderr of prog {prog}: {line}\n"
        for line in lines
        for prog in ("touch", "other")
    )
    found = collect(mixed)
    assert len(found.faults) == 8
    expected = collect(_STREAM).faults
    for prog in ("touch", "other"):
        own = [fault for fault in found.faults if fault.blamed == prog]
        assert own == [replace(fault, blamed=prog) for fault in expected]


def test_journal_prefix_does_not_match_a_kernel_log_line() -> None:
    found = collect("[    5.000001] Hardware name: QEMU\n[    5.000002] Call Trace:\n")
    assert found.unparsed == ["Hardware name: QEMU", "Call Trace:"]


@pytest.mark.parametrize(
    "time",
    ["[9999999999.000000]", "9999-12-31T23:59:59,000000+00:00", "0001-01-01T00:00:00,000000+00:00"],
)
def test_invalid_timestamp_is_unknown(time: str) -> None:
    found = collect(_wrapped(_STREAM, lambda _, t: f"{time} {t}"))
    assert found.faults == collect(_STREAM).faults
    assert found.stamps == [None] * 4
