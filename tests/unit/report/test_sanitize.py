"""Untrusted strings are escaped in every report."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from arenatrace.report.faults_text import print_faults
from arenatrace.report.json_output import fault_line
from arenatrace.report.sanitize import harmless
from arenatrace.report.screen import screen
from arenatrace.report.summary_text import print_summary

HOSTILE = (
    "\x1b[2J\x1b]0;t\x07[bold red]x[/]\r\n\u202eabc\u2066\u200b\ud800\x85\U000e0001:smile:\x9b1m"
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain: a_b-c/é 漢", "plain: a_b-c/é 漢"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\nb\r\tc", "a\\x0ab\\x0d\\x09c"),
        ("\x7f\x9b\x00", "\\x7f\\x9b\\x00"),
        ("\u202eevil\u2069", "\\u202eevil\\u2069"),
        ("\u2028\u200b\ufeff", "\\u2028\\u200b\\ufeff"),
        ("\udcff", "\\udcff"),
        ("\U000e0041", "\\U000e0041"),
        ("[bold]", "[bold]"),
        ("", ""),
    ],
)
def test_harmless_escapes_non_printable_characters(text: str, shown: str) -> None:
    assert harmless(text) == shown


@given(st.text(st.characters()))
def test_harmless_output_is_printable_and_idempotent(text: str) -> None:
    shown = harmless(text)
    assert shown.isprintable()
    assert harmless(shown) == shown


def hostile_fault() -> dict[str, Any]:
    """Return a fault row with a hostile value in every string."""
    return {
        "fault": 1,
        "ts_ns": 2_000_000_000,
        "side": "kernel",
        "outcome": "oops",
        "access": "read",
        "kaddr": 0xFFFF_C900_0000_0000,
        "uaddr": 0x7F00_0000_0000,
        "page": 1,
        "offset": 8,
        "band": "user-range",
        "ip": 1,
        "callee": {"symbol": HOSTILE, "module": HOSTILE},
        "prog": {"id": 1, "name": HOSTILE, "tag": HOSTILE, "type": HOSTILE},
        "function": HOSTILE,
        "source": {"file": HOSTILE, "line": 1, "text": HOSTILE},
        "attribution": "agreed",
        "cause": "unknown",
        "confidence": "unknown",
        "evidence": [HOSTILE],
        "ended_by": None,
        "lifetime_ns": None,
        "task": {"pid": 1, "tid": 2, "comm": HOSTILE},
        "signature": "0" * 12,
        "arena": 0,
        "prog_index": 0,
        "title": HOSTILE,
    }


def _hostile_summary() -> dict[str, Any]:
    names = ("events", "kernel_faults", "scratch_installs", "prog_faults", "oopses", "lost")
    more = ("user_faults", "user_sigsegv", "allocs", "allocs_refused", "frees", "reserves")
    numbers = dict.fromkeys((*names, *more, "reserves_refused", "arenas", "programs"), 3)
    counts = {"faults": 1, "scratch_installs": 1, "prog_faults": 1, "oopses": 1}
    return {
        "schema": "arenatrace.summary/1",
        "trace": {
            "path": HOSTILE,
            "kernel": HOSTILE,
            "arch": HOSTILE,
            "profile": None,
            "duration_ns": 1,
            "sealed": True,
        },
        "totals": numbers,
        "programs": [
            {"id": 1, "name": HOSTILE, "type": HOSTILE, "arena": 0, "causes": {}, **counts}
        ],
        "arenas": [
            {
                "map_id": 1,
                "name": HOSTILE,
                "max_entries": 1,
                "preexisting": True,
                "allocs": 0,
                "frees": 0,
                **counts,
            }
        ],
        "causes": {HOSTILE: 1},
        "signatures": [
            {
                "signature": HOSTILE,
                "title": HOSTILE,
                "count": 1,
                "oopses": 1,
                "cause": HOSTILE,
                "first_fault": 1,
            }
        ],
    }


def _assert_plain(text: str) -> None:
    bad = [char for char in text if not char.isprintable() and char != "\n"]
    assert not bad
    assert "[bold red]x[/]" in text.replace("\n", "").replace(" ", "").replace(
        "boldred", "bold red"
    )


def test_text_reports_escape_hostile_strings() -> None:
    for width in (80, 400):
        out = io.StringIO()
        console = Console(file=out, width=width, markup=False, highlight=False, color_system=None)
        print_faults([hostile_fault()], {None: 0}, console)
        _assert_plain(out.getvalue())
        assert ":smile:" in "".join(out.getvalue().split())
        out = io.StringIO()
        console = Console(file=out, width=width, markup=False, highlight=False, color_system=None)
        print_summary(_hostile_summary(), console)
        _assert_plain(out.getvalue())


def test_json_is_one_ascii_line_and_round_trips_strings() -> None:
    line = fault_line(hostile_fault())
    assert line.isascii()
    assert line.isprintable()
    found = json.loads(line)
    assert found["task"]["comm"] == HOSTILE
    assert (found["kaddr"], found["ip"]) == ("0xffffc90000000000", "0x1")
    assert "title" not in found


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("terminal", "no_color", "escapes"), [(True, "", True), (True, "1", False), (False, "", False)]
)
def test_color_is_written_only_to_a_terminal_that_allows_it(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, no_color: str, escapes: bool
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", no_color)
    out = _Terminal() if terminal else io.StringIO()
    print_faults([hostile_fault()], {None: 0}, screen(out))
    text = out.getvalue()
    assert ("\x1b[" in text) is escapes
    if not terminal:
        assert max(map(len, text.splitlines())) <= 80
        assert not [line for line in text.splitlines() if line != line.rstrip()]
