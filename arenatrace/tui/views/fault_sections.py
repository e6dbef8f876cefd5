"""Parts of a fault's report: a banner, and sections in reading order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from arenatrace.report.explain_text import sections
from arenatrace.report.sanitize import harmless
from arenatrace.report.units import count
from arenatrace.tui import labels
from arenatrace.tui.snapshot import Snapshot
from arenatrace.tui.widgets.timeline import timeline

#: Sections in the right column where there are two.
RIGHT = (
    "History of the page",
    "Neighbouring pages just before the fault",
    "Consequences",
    "Limits",
)
#: In one column the evidence comes before the stack.
_FIRST = ("", "Evidence", "Freed by", "Allocated by")


def preliminary(snapshot: Snapshot, row: dict[str, Any]) -> dict[str, Any]:
    """Return what the list knows of the fault, in the form of a full report."""
    same = next(
        (one["count"] for one in snapshot.signatures if one["signature"] == row["signature"]),
        1,
    )
    cause = row["cause"] or "unknown"
    return {
        "fault": {**row, "cause": cause, "confidence": row["confidence"] or "unknown"},
        "total": snapshot.unlisted + _height(snapshot),
        "same_signature": same,
        "stack": [],
        "allocated": None,
        "freed": None,
        "history": [],
        "earlier": 0,
        "space": [],
        "victims": [],
        "arena": next((one for one in snapshot.arenas if one["arena"] == row["arena"]), None),
        "trace": {
            "level": snapshot.meta.level,
            "start_ts_ns": snapshot.meta.start_ts_ns,
            "has_stacks": True,
        },
    }


def _height(snapshot: Snapshot) -> int:
    return 0 if snapshot.faults is None else len(snapshot.faults)


def section_position(title: str, titles: list[str]) -> int:
    """Return the position of a section: explanation first, the rest as in the report."""
    if title in _FIRST:
        return _FIRST.index(title) - len(_FIRST)
    return titles.index(title)


def banner(report: Mapping[str, Any], width: int) -> Text:
    """Return three lines: the cause, the line, the evidence."""
    fault = report["fault"]
    cause, sure = fault["cause"], fault["confidence"]
    first = Text.assemble(
        (f"{cause}", f"bold {labels.CAUSE_STYLE.get(cause, 'yellow')}"),
        ("" if cause == "unknown" else f" ({sure})", ""),
        (f"   fault #{fault['fault']} of {report['total']:,}", "bold"),
        (
            f", {count(report['same_signature'] - 1, 'other')} like it"
            if report["same_signature"] > 1
            else "",
            "dim",
        ),
    )
    where = labels.location(fault) or "source line unknown"
    second = Text.assemble(
        (f"{harmless(labels.program_name(fault['prog']))}  ", "bold"),
        (harmless(where), "bold cyan"),
        (f"  {harmless(labels.source_text(fault))}", ""),
    )
    third = Text.assemble(("because  ", "dim"), harmless(_main_evidence(fault)))
    lines = []
    for line in (first, second, third):
        line.truncate(width - 2, overflow="ellipsis")
        lines.append(line)
    return Text("\n").join(lines)


def _main_evidence(fault: Mapping[str, Any]) -> str:
    """Return the most important sentence of the evidence: a free if there is one."""
    evidence: list[str] = list(fault["evidence"] or ())
    freed = [sentence for sentence in evidence if " freed " in f" {sentence} "]
    return (freed or evidence or ["the trace has no evidence of the cause"])[0]


def parts(
    report: Mapping[str, Any], left: int, right: int, preliminary: bool, failed: str
) -> Iterator[tuple[str, list[Text]]]:
    """Return titled sections, wrapped for columns of ``left`` and ``right`` cells.

    ``preliminary``: the rest is being computed, or ``failed``.
    """
    narrow, wide = dict(sections(report, left)), dict(sections(report, right))
    for title in narrow:
        lines = (wide if title in RIGHT else narrow)[title]
        if title == "History of the page":
            here = report["fault"]["fault"]
            yield title, list(timeline(report["history"], report["earlier"], here))
        elif not title:
            yield title, lines[1:]  # the banner has the cause
        elif not preliminary or title == "Evidence":
            yield title, lines
    if preliminary:
        text = f"not available: {harmless(failed)}" if failed else "computing the rest …"
        yield "Call stack, innermost first", [Text(f"  {text}", "dim")]


def joined(parts: Mapping[str, list[Text]], titles: list[str]) -> Text:
    """Join sections below each other."""
    text = Text()
    for title in titles:
        if title:
            text.append(f"{title}\n", "bold underline")
        for line in parts[title]:
            text.append_text(line).append("\n")
        text.append("\n")
    return text
