"""Of which hosts and boots the traces of a summary are, and what of their time was recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from arenatrace.report.sanitize import harmless
from arenatrace.report.units import count, duration, seconds

#: Characters of a boot id that tell boots apart.
_ID_SHOWN = 8


def boot_name(boot: Mapping[str, Any]) -> str:
    """The host and the boot, in a few words."""
    host = harmless(boot["hostname"] or "unknown host")
    return f"{host}, boot {harmless(boot['boot_id'] or 'unknown')[:_ID_SHOWN]}"


def boot_lines(summary: Mapping[str, Any]) -> Iterator[Text]:
    """A line or two for each of ``boots``, and one for each of ``unreadable``."""
    for boot in summary["boots"]:
        kernels = sorted({harmless(trace["kernel"]) for trace in boot["traces"]})
        facts = [
            f"Linux {' and '.join(kernels)} {harmless(boot['arch'])}",
            count(len(boot["traces"]), "trace"),
            _recorded(boot),
        ]
        yield Text(f"{boot_name(boot)}: {', '.join(facts)}", "dim")
        if boot["gaps"]:
            missing = sum(gap["duration_ns"] for gap in boot["gaps"])
            text = f"  {count(len(boot['gaps']), 'gap')} between them, {seconds(missing)}: what "
            yield Text(text + "happened then is not known", "dim")
        if boot["overlaps"]:
            twice = sum(one["duration_ns"] for one in boot["overlaps"])
            text = f"  recorded twice for {duration(twice)}: what two recorders saw may count twice"
            yield Text(text, "dim")
    if summary["unreadable"]:
        left = count(len(summary["unreadable"]), "trace")
        yield Text(f"{left} could not be read: every number below leaves them out.", "bold red")


def _recorded(boot: Mapping[str, Any]) -> str:
    if boot["recorded_ns"] is None:
        return "times not known"
    recorded = f"{seconds(boot['recorded_ns'])} recorded"
    return recorded if not boot["gaps"] else f"{recorded} in {seconds(boot['span_ns'])}"
