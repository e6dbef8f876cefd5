"""arenatrace record: trace a live kernel into a trace directory."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from arenatrace.capture.ring.ring_size import DEFAULT_RINGS, RingSizes, parse_size, show_size
from arenatrace.errors import ExitCode
from arenatrace.schema import Level

if TYPE_CHECKING:
    from rich.console import Console

    from arenatrace.capture.plan import Plan, Progress, Result

_EPILOG = """\b
Examples:
  arenatrace record                         # until Ctrl-C
  arenatrace record --duration 30           # for 30 seconds
  arenatrace record -o run.atrace -- ./my_workload --verbose
  sudo arenatrace record -o run.atrace --as-root -- ./my_scheduler
  sudo arenatrace record --keep 60s -o faults  # for days: time around faults
  sudo arenatrace record --dry-run          # would it work here?
  arenatrace summary run.atrace             # then look at it
\b
Exit code: 0 if all was recorded, 4 if events were lost or the disk was
full (what was recorded until then is kept, and the command goes on
until it ends by itself). How the command ended is printed and kept in
the trace, it does not change the exit code.
"""


def _seconds(
    _context: click.Context, _option: click.Parameter, value: str | float | None
) -> float | None:
    """A time that ends: more than 0 s, and a number."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise click.BadParameter(f"{value!r} is not a number of seconds above 0")
    return seconds


@click.command(epilog=_EPILOG, context_settings={"allow_interspersed_args": False})
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Trace directory to make.  [default: arenatrace-DATE-TIME.atrace]",
)
@click.option(
    "--duration",
    metavar="SECONDS",
    callback=_seconds,
    help="Stop after this long.  [default: until Ctrl-C or the command's end]",
)
@click.option(
    "--level",
    type=click.Choice([level.value for level in Level]),
    default=Level.PAGES.value,
    show_default=True,
    help="faults: no probe on allocations and frees at all; pages: these too; "
    "stacks: with the kernel stack of each, who allocated and who freed.",
)
@click.option(
    "--walk-every-stack",
    is_flag=True,
    help="With --level stacks: walk the stack for every event, instead of recognising what was "
    "there before. Costs several times more.",
)
@click.option(
    "--arena",
    "arenas",
    metavar="ID|NAME",
    multiple=True,
    help="Only what happens in this arena (a BPF map's id or name). May be repeated.",
)
@click.option(
    "--program",
    "programs",
    metavar="ID|NAME|TAG",
    multiple=True,
    help="Only faults of this program, and the pages of its arena. May be repeated.",
)
@click.option(
    "--cgroup",
    "cgroups",
    metavar="PATH|ID",
    multiple=True,
    help="Only what tasks in this cgroup (v2) and those below it do. May be repeated.",
)
@click.option(
    "--later",
    is_flag=True,
    help="--arena and --program may name what is not loaded yet; so they may with a command.",
)
@click.option(
    "--keep",
    metavar="TIME",
    help="Flight recorder: keep only this long (60s, 5m), and the time around each fault "
    "as a trace of its own in the folder that -o names.",
)
@click.option(
    "--max-windows",
    metavar="N",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="With --keep: this many traces at most, the oldest go first.",
)
@click.option(
    "--max-size",
    metavar="SIZE",
    default="1G",
    show_default=True,
    help="With --keep: bytes on the disk, half for the traces, half for the time kept.",
)
@click.option(
    "--as-root", is_flag=True, help="Under sudo, run CMD as root, not as the user who ran sudo."
)
@click.option(
    "--without-recovery",
    is_flag=True,
    help="Record also on a kernel that does not recover arena faults: pages, "
    "user faults, arenas and programs, where it has the probe points.",
)
@click.option(
    "--ring-size",
    metavar="SIZE",
    default=show_size(DEFAULT_RINGS.events),
    show_default=True,
    help="Memory between the kernel and the recorder for events: a power of two of "
    "bytes, or K, M, G. What does not fit is lost, and counted.",
)
@click.option(
    "--notes-ring-size",
    metavar="SIZE",
    default=show_size(DEFAULT_RINGS.notes),
    show_default=True,
    help="The same for stacks, symbols and line tables.",
)
@click.option("--dry-run", is_flag=True, help="Attach all probes, detach them, and record nothing.")
@click.argument("command", metavar="[-- CMD ...]", nargs=-1, type=click.UNPROCESSED)
def record(
    output: Path | None,
    duration: float | None,
    level: str,
    walk_every_stack: bool,
    arenas: tuple[str, ...],
    programs: tuple[str, ...],
    cgroups: tuple[str, ...],
    later: bool,
    keep: str | None,
    max_windows: int,
    max_size: str,
    as_root: bool,
    without_recovery: bool,
    ring_size: str,
    notes_ring_size: str,
    dry_run: bool,
    command: tuple[str, ...],
) -> int:
    """Record arena faults, page allocations and frees of the running kernel.

    Needs root, the headers of the running kernel and the distribution's
    bcc for Python (python3-bpfcc). With a command, it is run and recording
    ends when it does; under sudo it runs as the user who ran sudo, who also
    owns the trace. Nobody else can read the trace: it holds kernel addresses.
    """
    from rich.console import Console

    rings = RingSizes(
        parse_size(ring_size, "--ring-size"), parse_size(notes_ring_size, "--notes-ring-size")
    )
    from arenatrace.capture.flight.plan import flight_plan
    from arenatrace.capture.kernel.cgroup import find_cgroup
    from arenatrace.capture.plan import Plan
    from arenatrace.capture.probes.filters import Filters
    from arenatrace.capture.session import record as run

    filters = Filters(
        arenas, programs, tuple(map(find_cgroup, cgroups)), later=later or bool(command or keep)
    )

    flight = None
    if keep is not None:
        flight = flight_plan(keep, max_windows, max_size)
    kind = "atrace" if flight is None else "flight"
    path = output or Path(time.strftime(f"arenatrace-%Y%m%d-%H%M%S.{kind}"))
    plan = Plan(
        path,
        duration_s=duration,
        command=command,
        level=level,
        walk_every_stack=walk_every_stack,
        command_as_root=as_root,
        without_recovery=without_recovery,
        filters=filters,
        flight=flight,
        rings=rings,
    )
    if dry_run:
        _try_probes(plan)
        return ExitCode.OK
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    screen = _Screen(console, shared=bool(command))
    try:
        result = run(replace(plan, on_progress=screen.progress, on_status=screen.status))
    finally:
        screen.close()
    for line in _closing_lines(result):
        console.print(line, soft_wrap=True)
    return ExitCode.INCONCLUSIVE if result.lost else ExitCode.OK


def _try_probes(plan: Plan) -> None:
    from arenatrace.capture.session import dry_run
    from arenatrace.report.sanitize import harmless

    attached, refused = dry_run(plan)
    click.echo(f"arenatrace: {len(attached)} probe points attached and detached", err=True)
    for point, why in refused.items():
        click.echo(f"arenatrace: refused: {point}: {harmless(why)}", err=True)


class _Screen:
    """Live counts on a terminal, nothing but status elsewhere.

    One line that is redrawn; a new line every few seconds where the terminal is shared with
    the command, whose output must stay whole.
    """

    _SHARED_EVERY_S = 5.0

    def __init__(self, console: Console, *, shared: bool) -> None:
        self._console = console
        self._live = console.status("") if console.is_terminal and not shared else None
        self._next_line_s = self._SHARED_EVERY_S if console.is_terminal else float("inf")

    def status(self, text: str) -> None:
        from arenatrace.report.sanitize import harmless

        text = harmless(text)
        if self._live is None:
            self._console.print(f"arenatrace: {text}", soft_wrap=True)
            return
        self._live.update(text)
        self._live.start()

    def progress(self, progress: Progress) -> None:
        from rich.text import Text

        if self._live is not None:
            self._live.update(Text(progress_line(progress), no_wrap=True, overflow="ellipsis"))
        elif progress.elapsed_s >= self._next_line_s:
            self._next_line_s += self._SHARED_EVERY_S
            self._console.print(f"arenatrace: {progress_line(progress)}", soft_wrap=True)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()


def progress_line(progress: Progress) -> str:
    """The live counts on one line."""
    from arenatrace.schema import Kind

    counts = progress.counts
    faults = f"{counts[Kind.KERNEL_FAULT]:,} kernel-side, {counts[Kind.PROG_FAULT]:,} in BPF"
    pages = f"{counts[Kind.PAGE_ALLOC]:,} allocs, {counts[Kind.PAGE_FREE]:,} frees"
    lost = f"{progress.lost:,} LOST; " if progress.lost else ""
    return f"{progress.elapsed_s:.0f} s; {lost}faults: {faults}; {pages}"


def _closing_lines(result: Result) -> list[str]:
    from arenatrace.capture.process.command import describe_exit
    from arenatrace.report.sanitize import harmless
    from arenatrace.schema import Kind

    counts = result.counts
    lines = [f"arenatrace: note: {notice}" for notice in result.notices]
    if result.command_status is not None:
        lines.append(f"arenatrace: the command {describe_exit(result.command_status)}")
    events = sum(counts.values())
    lines.append(
        f"arenatrace: {events:,} events: {counts[Kind.KERNEL_FAULT]:,} kernel-side and "
        f"{counts[Kind.PROG_FAULT]:,} program-side faults"
    )
    if result.lost:
        what = ", ".join(f"{count:,} {name}" for name, count in sorted(result.lost.items()))
        lines.append(f"arenatrace: LOST: {what}")
    else:
        lines.append("arenatrace: nothing lost")
    lines += _where(result)
    return [harmless(line) for line in lines]


def _where(result: Result) -> list[str]:
    if result.windows is None:
        return [f"arenatrace: sealed {result.path}; see: arenatrace summary {result.path}"]
    if not result.windows:
        return [f"arenatrace: no fault, nothing kept in {result.path}"]
    return [
        f"arenatrace: {len(result.windows)} window(s) around faults in {result.path}",
        *(f"arenatrace: see: arenatrace summary {window}" for window in result.windows[-3:]),
    ]
