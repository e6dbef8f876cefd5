"""Hosts and boots of a summary of several traces, with recorded time and gaps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from arenatrace.report.sanitize import harmless
from arenatrace.report.units import count, duration, seconds

#: Characters of a boot id that are printed.
_ID_LENGTH = 8


def boot_name(boot: Mapping[str, Any]) -> str:
    """Return a short label for a host and its boot."""
    host = harmless(boot["hostname"] or "unknown host")
    return f"{host}, boot {harmless(boot['boot_id'] or 'unknown')[:_ID_LENGTH]}"


def boot_lines(summary: Mapping[str, Any]) -> Iterator[Text]:
    """Yield the lines for each of ``boots``, and one line that counts ``unreadable``."""
    for boot in summary["boots"]:
        kernels = sorted({harmless(trace["kernel"]) for trace in boot["traces"]})
        details = [
            f"Linux {' and '.join(kernels)} {harmless(boot['arch'])}",
            count(len(boot["traces"]), "trace"),
            _recorded_time(boot),
        ]
        yield Text(f"{boot_name(boot)}: {', '.join(details)}", "dim")
        if boot["gaps"]:
            missing = sum(gap["duration_ns"] for gap in boot["gaps"])
            gaps = f"  {count(len(boot['gaps']), 'gap')} between traces"
            yield Text(f"{gaps}, {seconds(missing)} not recorded", "dim")
        if boot["overlaps"]:
            twice = sum(one["duration_ns"] for one in boot["overlaps"])
            text = f"  recordings overlap for {duration(twice)}: a fault may be counted twice"
            yield Text(text, "dim")
    if summary["unreadable"]:
        left = count(len(summary["unreadable"]), "trace")
        yield Text(f"{left} could not be read and are not in the numbers below.", "bold red")


def _recorded_time(boot: Mapping[str, Any]) -> str:
    if boot["recorded_ns"] is None:
        return "times unknown"
    recorded = f"{seconds(boot['recorded_ns'])} recorded"
    return recorded if not boot["gaps"] else f"{recorded} over {seconds(boot['span_ns'])}"
