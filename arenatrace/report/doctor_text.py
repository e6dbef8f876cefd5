"""Doctor report as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from arenatrace.report.sanitize import harmless


def print_doctor(report: Mapping[str, Any], console: Console) -> None:
    """Print the object of ``doctor --json``: verdict, checks, probe points."""
    verdict = "can record" if report["can_record"] else "cannot record"
    console.print(Text(f"This machine {verdict} arena faults.", style="bold"))
    profile = report["profile"] or "unknown"
    console.print(
        Text(harmless(f"Linux {report['kernel']} {report['arch']}, replay profile {profile}"))
    )
    console.print()
    checks = Table(box=None, pad_edge=False, show_header=False)
    checks.add_column(no_wrap=True)
    checks.add_column()
    for check in report["checks"]:
        detail = Text(f"{check['name']}: {harmless(check['detail'])}")
        if check["hint"]:
            detail.append(f"\nhint: {harmless(check['hint'])}", style="italic")
        checks.add_row(_mark(check["ok"], required=check["required"]), detail)
    console.print(checks)
    console.print()
    points = Table(box=None, pad_edge=False)
    points.add_column("", no_wrap=True)
    points.add_column("probe point", no_wrap=True)
    points.add_column("records")
    for point in report["points"]:
        records = Text(point["gives"])
        if point["why_not"]:
            records.append(f"\n{harmless(point['why_not'])}", style="italic")
        elif point["attachable"] is False:
            records.append("\nnot traceable: ftrace does not list it", style="italic")
        points.add_row(
            _mark(point["present"] and point["attachable"] is not False), point["point"], records
        )
    console.print(points)


def _mark(ok: bool, *, required: bool = True) -> Text:
    if not ok and not required:
        return Text("note", style="yellow")
    return Text("ok", style="green") if ok else Text("MISSING", style="bold red")
