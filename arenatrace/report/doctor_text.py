"""The checkup as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from arenatrace.report.sanitize import harmless


def print_doctor(found: Mapping[str, Any], console: Console) -> None:
    """Print the object of ``doctor --json``: the verdict, the checks, the probe points."""
    verdict = "can record" if found["can_record"] else "cannot record"
    console.print(Text(f"This machine {verdict} arena faults.", style="bold"))
    profile = found["profile"] or "unknown"
    console.print(
        Text(harmless(f"Linux {found['kernel']} {found['arch']}, replay profile {profile}"))
    )
    console.print()
    checks = Table(box=None, pad_edge=False, show_header=False)
    checks.add_column(no_wrap=True)
    checks.add_column(no_wrap=True)
    checks.add_column()
    for check in found["checks"]:
        detail = Text(harmless(check["detail"]))
        if check["hint"]:
            detail.append(f"\n{harmless(check['hint'])}", style="italic")
        checks.add_row(check["name"], _mark(check["ok"], required=check["required"]), detail)
    console.print(checks)
    console.print()
    points = Table(box=None, pad_edge=False)
    points.add_column("probe point", no_wrap=True)
    points.add_column("", no_wrap=True)
    points.add_column("what it gives")
    for point in found["points"]:
        gives = Text(point["gives"])
        if point["why_not"]:
            gives.append(f"\n{harmless(point['why_not'])}", style="italic")
        elif point["attachable"] is False:
            gives.append("\nftrace does not list it: no probe can be attached", style="italic")
        points.add_row(
            point["point"], _mark(point["present"] and point["attachable"] is not False), gives
        )
    console.print(points)


def _mark(ok: bool, *, required: bool = True) -> Text:
    if not ok and not required:
        return Text("note", style="yellow")
    return Text("ok", style="green") if ok else Text("MISSING", style="bold red")
