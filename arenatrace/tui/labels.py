"""Short texts and colours that several views use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from arenatrace.report.sanitize import harmless
from arenatrace.report.units import count, seconds
from arenatrace.schema import Cause, Level
from arenatrace.tui.snapshot import Snapshot

#: Colours are the terminal's own sixteen. No information is in the colour alone.
OUTCOME_STYLE = {"oops": "bold red", "scratch-installed": "yellow"}
CAUSE_STYLE: dict[str, str] = {
    Cause.USE_AFTER_FREE: "red",
    Cause.FREE_RACE: "red",
    Cause.ALLOC_RACE: "magenta",
    Cause.OUT_OF_BOUNDS: "yellow",
    Cause.NULL_PAGE: "cyan",
    Cause.UNKNOWN: "dim",
}
#: Label while causes are computed.
PENDING = "…"


def cause_cell(cause: str | None) -> tuple[str, str]:
    """Return a cause as a cell with its colour."""
    return (PENDING, "dim") if cause is None else (cause, CAUSE_STYLE.get(cause, ""))


def program_name(prog: Mapping[str, Any] | None) -> str:
    """Return the program's name, or its id."""
    if prog is None:
        return "unknown"
    return prog["name"] or (f"program {prog['id']}" if prog["id"] is not None else "unnamed")


def location(row: Mapping[str, Any]) -> str:
    """Return ``file:line`` without the directory, or the function, or an empty text."""
    source = row["source"]
    if source is not None and source["file"]:
        return f"{source['file'].rsplit('/', 1)[-1]}:{source['line'] or '?'}"
    return f"{row['function']}()" if row["function"] else ""


def source_text(row: Mapping[str, Any]) -> str:
    """Return the source line on one line."""
    source = row["source"]
    return (source["text"] or "").replace("\t", " ").strip() if source is not None else ""


def headline(snapshot: Snapshot) -> Text:
    """Return the number of faults by kind."""
    totals = snapshot.totals
    faults = snapshot.fault_count
    if not faults:
        if snapshot.stage:
            return Text("No arena fault so far", "bold")
        doubt = snapshot.lost or not snapshot.meta.sealed
        return Text(
            f"No arena faults {'recorded' if doubt else 'found'}",
            "bold" if doubt else "bold green",
        )
    scratched = "kernel-side (scratch page)"
    kinds = (
        (totals.get("oopses", 0), "kernel oops", "kernel oopses"),
        (totals.get("scratch_installs", 0), scratched, scratched),
        (totals.get("prog_faults", 0), "program-side", "program-side"),
        (totals.get("user_sigsegv", 0), "user SIGSEGV", "user SIGSEGV"),
    )
    text = ", ".join(
        f"{number:,} {one if number == 1 else many}" for number, one, many in kinds if number
    )
    style = "bold red" if totals.get("oopses") else "bold yellow"
    return Text(
        f"{count(faults, 'arena fault')}: {text}" if text else count(faults, "arena fault"), style
    )


def why(causes: Mapping[str, int]) -> Text:
    """Return the counts of causes."""
    text = Text()
    for name, number in causes.items():
        text.append(", " if text else "")
        text.append(harmless(name), CAUSE_STYLE.get(name, ""))
        text.append(f" {number:,}")
    return text


def health(snapshot: Snapshot) -> Text:
    """Return warnings about how complete the data is."""
    meta = snapshot.meta
    lost = snapshot.lost
    parts = [Text(f"{lost:,} LOST", "bold red") if lost else Text("nothing lost", "green")]
    if snapshot.recording is None and not meta.sealed:
        parts.append(Text("not sealed", "bold yellow"))
    verdict = _verdict(snapshot)
    if verdict is not None:
        parts.append(verdict)
    if meta.level == Level.FAULTS:
        parts.append(Text("level faults: no history", "yellow"))
    profile = harmless(meta.profile) if meta.profile else "profile unknown"
    parts.append(Text(profile, "" if meta.profile else "yellow"))
    parts.append(Text(f"Linux {harmless(meta.kernel)}"))
    if snapshot.duration_ns is not None:
        parts.append(Text(seconds(snapshot.duration_ns)))
    if snapshot.events is not None:
        parts.append(Text(count(snapshot.events, "event")))
    return joined(parts)


def _verdict(snapshot: Snapshot) -> Text | None:
    verdict = snapshot.verdict
    if verdict.state == "running":
        return Text("replay …", "dim")
    if verdict.state == "failed":
        return Text("replay failed", "yellow")
    if verdict.state == "done":
        word = str(verdict.found["verdict"])
        style = {"consistent": "green", "divergent": "bold red"}.get(word, "yellow")
        return Text(f"replay {word}", style)
    return None


def joined(parts: Sequence[Text]) -> Text:
    """Join ``parts`` on one line, separated by dots."""
    text = Text(no_wrap=True, overflow="ellipsis")
    for part in parts:
        if text:
            text.append(" · ", "dim")
        text.append_text(part)
    return text


def internal_error(error: BaseException) -> str:
    """Return the message for an internal error in a thread, on one line."""
    return f"internal error: {type(error).__name__}: {error}".splitlines()[0]
