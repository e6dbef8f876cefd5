"""Output of ``arenatrace record`` on stderr: live counts and closing lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from arenatrace.capture.plan import Progress, Result


class RecordScreen:
    """Live counts on a terminal; only status messages elsewhere.

    The counts are one line that is redrawn. A terminal that is shared with the command gets a new
    line every few seconds instead, so that the output of the command stays intact.
    """

    _SHARED_EVERY_S = 5.0

    def __init__(self, console: Console, *, shared: bool) -> None:
        self._console = console
        self._live = console.status("") if console.is_terminal and not shared else None
        self._next_line_s = self._SHARED_EVERY_S if console.is_terminal else float("inf")

    def status(self, text: str) -> None:
        """Show what the recorder is doing."""
        from arenatrace.report.sanitize import harmless

        text = harmless(text)
        if self._live is None:
            self._console.print(f"arenatrace: {text}", soft_wrap=True)
            return
        self._live.update(text)
        self._live.start()

    def progress(self, progress: Progress) -> None:
        """Show the counts."""
        from rich.text import Text

        if self._live is not None:
            self._live.update(Text(progress_line(progress), no_wrap=True, overflow="ellipsis"))
        elif progress.elapsed_s >= self._next_line_s:
            self._next_line_s += self._SHARED_EVERY_S
            self._console.print(f"arenatrace: {progress_line(progress)}", soft_wrap=True)

    def close(self) -> None:
        """Erase the live line and show the cursor."""
        if self._live is not None:
            self._live.stop()


def progress_line(progress: Progress) -> str:
    """Return the live counts as one line."""
    from arenatrace.schema import Kind

    counts = progress.counts
    faults = f"{counts[Kind.KERNEL_FAULT]:,} kernel-side, {counts[Kind.PROG_FAULT]:,} in BPF"
    pages = f"{counts[Kind.PAGE_ALLOC]:,} allocs, {counts[Kind.PAGE_FREE]:,} frees"
    lost = f"{progress.lost:,} LOST; " if progress.lost else ""
    return f"{progress.elapsed_s:.0f} s; {lost}faults: {faults}; {pages}"


def closing_lines(result: Result) -> list[str]:
    """Return the lines about a finished recording: warnings, counts, losses, where it is."""
    from arenatrace.capture.process.command import describe_exit
    from arenatrace.report.sanitize import harmless
    from arenatrace.schema import Kind

    counts = result.counts
    lines = [f"arenatrace: note: {warning}" for warning in result.notices]
    if result.command_status is not None:
        lines.append(f"arenatrace: the command {describe_exit(result.command_status)}")
    events = sum(counts.values())
    lines.append(
        f"arenatrace: {events:,} events: {counts[Kind.KERNEL_FAULT]:,} kernel-side and "
        f"{counts[Kind.PROG_FAULT]:,} program-side faults"
    )
    if result.lost:
        losses = ", ".join(f"{count:,} {label}" for label, count in sorted(result.lost.items()))
        lines.append(f"arenatrace: LOST: {losses}")
    else:
        lines.append("arenatrace: nothing lost")
    lines += _output_lines(result)
    return [harmless(line) for line in lines]


def _output_lines(result: Result) -> list[str]:
    if result.windows is None:
        return [f"arenatrace: sealed {result.path}; see: arenatrace summary {result.path}"]
    if not result.windows:
        return [f"arenatrace: no fault; no trace in {result.path}"]
    return [
        f"arenatrace: {len(result.windows)} window(s) around faults in {result.path}",
        *(f"arenatrace: see: arenatrace summary {window}" for window in result.windows[-3:]),
    ]
