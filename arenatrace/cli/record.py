"""arenatrace record: record a trace of the running kernel."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from arenatrace.capture.ring.ring_size import DEFAULT_RINGS, RingSizes, parse_size, show_size
from arenatrace.errors import ExitCode
from arenatrace.schema import Level

if TYPE_CHECKING:
    from arenatrace.capture.plan import Plan

_EPILOG = """\b
Examples:
  arenatrace record                         # until Ctrl-C
  arenatrace record --duration 30           # for 30 seconds
  arenatrace record -o run.atrace -- ./my_workload --verbose
  sudo arenatrace record -o run.atrace --as-root -- ./my_scheduler
  sudo arenatrace record --keep 60s -o faults  # flight recorder, for days
  sudo arenatrace record --dry-run          # test the probes only
  arenatrace summary run.atrace             # then read it
\b
Exit code: 0 if nothing was lost, 4 if events were lost or the disk was
full (the trace then has all events up to that time, and the command
continues to its end). The exit status of the command is printed and
stored in the trace; it does not change the exit code.
"""


def _seconds(
    _context: click.Context, _option: click.Parameter, value: str | float | None
) -> float | None:
    """Parse a finite number of seconds above 0."""
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
    help="Trace directory to create.  [default: arenatrace-DATE-TIME.atrace]",
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
    help="faults: faults, arenas and programs, no probes on allocations and frees; pages: also "
    "page operations; stacks: also the kernel stack of each page operation.",
)
@click.option(
    "--walk-every-stack",
    is_flag=True,
    help="With --level stacks: walk the stack for every event instead of using the stack cache. "
    "Costs several times more.",
)
@click.option(
    "--arena",
    "arenas",
    metavar="ID|NAME",
    multiple=True,
    help="Only events of this arena (id or name of a BPF map). May be repeated.",
)
@click.option(
    "--program",
    "programs",
    metavar="ID|NAME|TAG",
    multiple=True,
    help="Only faults of this program, and page operations of its arena. May be repeated.",
)
@click.option(
    "--cgroup",
    "cgroups",
    metavar="PATH|ID",
    multiple=True,
    help="Only events of tasks in this cgroup (v2) and its descendants. May be repeated.",
)
@click.option(
    "--later",
    is_flag=True,
    help="--arena and --program may name objects that are not loaded yet. Implied by CMD "
    "and --keep.",
)
@click.option(
    "--keep",
    metavar="TIME",
    help="Flight recorder: keep only this much time (60s, 5m), and seal the time around each "
    "fault as a trace in the folder -o.",
)
@click.option(
    "--max-windows",
    metavar="N",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="With --keep: most traces in the folder; the oldest are deleted first.",
)
@click.option(
    "--max-size",
    metavar="SIZE",
    default="1G",
    show_default=True,
    help="With --keep: bytes on the disk, half for traces, half for the time under recording.",
)
@click.option(
    "--as-root", is_flag=True, help="Under sudo, run CMD as root, not as the user who ran sudo."
)
@click.option(
    "--without-recovery",
    is_flag=True,
    help="Record on a kernel that does not recover arena faults: pages, user faults, "
    "arenas and programs, as far as it has the probe points.",
)
@click.option(
    "--ring-size",
    metavar="SIZE",
    default=show_size(DEFAULT_RINGS.events),
    show_default=True,
    help="Size of the ring buffer for events: a power of two of bytes, or with K, M, G. "
    "Events that do not fit are lost and counted.",
)
@click.option(
    "--notes-ring-size",
    metavar="SIZE",
    default=show_size(DEFAULT_RINGS.notes),
    show_default=True,
    help="Size of the ring buffer for stacks, symbols and line tables.",
)
@click.option("--dry-run", is_flag=True, help="Attach all probes, detach them, and record nothing.")
@click.argument("command", metavar="[-- CMD ...]", nargs=-1, type=click.UNPROCESSED)
def record(command: tuple[str, ...], *, dry_run: bool, **options: Any) -> int:
    """Record arena faults, page allocations and frees of the running kernel.

    Needs root, the headers of the running kernel and the distribution's
    bcc for Python (python3-bpfcc). CMD is run, and recording ends
    with it. Under sudo it runs as the user who ran sudo, who also owns the
    trace. Only the owner can read the trace: it contains kernel addresses.
    """
    plan = _plan(command, **options)
    if dry_run:
        _try_probes(plan)
        return ExitCode.OK
    return _record(plan)


def _plan(
    command: tuple[str, ...],
    *,
    output: Path | None,
    arenas: tuple[str, ...],
    programs: tuple[str, ...],
    cgroups: tuple[str, ...],
    later: bool,
    keep: str | None,
    max_windows: int,
    max_size: str,
    as_root: bool,
    ring_size: str,
    notes_ring_size: str,
    duration: float | None,
    **same_names: Any,
) -> Plan:
    """Turn options into a plan; ``same_names`` are options with the names of plan members."""
    rings = RingSizes(
        parse_size(ring_size, "--ring-size"), parse_size(notes_ring_size, "--notes-ring-size")
    )
    from arenatrace.capture.flight.plan import flight_plan
    from arenatrace.capture.kernel.cgroup import find_cgroup
    from arenatrace.capture.plan import Plan
    from arenatrace.capture.probes.filters import Filters

    filters = Filters(
        arenas, programs, tuple(map(find_cgroup, cgroups)), later=later or bool(command or keep)
    )
    flight = None if keep is None else flight_plan(keep, max_windows, max_size)
    kind = "atrace" if flight is None else "flight"
    return Plan(
        output or Path(time.strftime(f"arenatrace-%Y%m%d-%H%M%S.{kind}")),
        duration_s=duration,
        command=command,
        command_as_root=as_root,
        filters=filters,
        flight=flight,
        rings=rings,
        **same_names,
    )


def _record(plan: Plan) -> ExitCode:
    from rich.console import Console

    from arenatrace.capture.session import record as run
    from arenatrace.cli.record_screen import RecordScreen, closing_lines

    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    screen = RecordScreen(console, shared=bool(plan.command))
    try:
        result = run(replace(plan, on_progress=screen.progress, on_status=screen.status))
    finally:
        screen.close()
    for line in closing_lines(result):
        console.print(line, soft_wrap=True)
    return ExitCode.INCONCLUSIVE if result.lost else ExitCode.OK


def _try_probes(plan: Plan) -> None:
    from arenatrace.capture.session import dry_run
    from arenatrace.report.sanitize import harmless

    attached, refused = dry_run(plan)
    click.echo(f"arenatrace: {len(attached)} probe points attached and detached", err=True)
    for point, why in refused.items():
        click.echo(f"arenatrace: refused: {point}: {harmless(why)}", err=True)
