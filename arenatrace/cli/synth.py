"""arenatrace synth: make a synthetic trace, valid or with one known defect."""

from __future__ import annotations

from pathlib import Path

import click

from arenatrace.schema import ProfileName

_EPILOG = """\b
Examples:
  arenatrace synth -o valid.atrace --seed 1
  arenatrace synth -o bad.atrace --seed 1 --mutate live-page
  arenatrace replay bad.atrace                  # finds it
  arenatrace synth -o old.atrace --profile pre-scratch --events 100000
"""


@click.command(epilog=_EPILOG)
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path),
    help="Trace directory to create.",
)
@click.option("--seed", metavar="N", required=True, type=int, help="Seed of the trace.")
@click.option(
    "--events",
    metavar="N",
    default=10_000,
    show_default=True,
    type=click.IntRange(min=1),
    help="Approximate number of events.",
)
@click.option(
    "--arenas",
    metavar="N",
    default=2,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Number of arenas.",
)
@click.option(
    "--profile",
    metavar="PROFILE",
    default=ProfileName.SCRATCH_REPLACE.value,
    show_default=True,
    help=f"Kernel profile: {', '.join(ProfileName)}.",
)
@click.option(
    "--threads",
    metavar="N",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Number of threads that run programs.",
)
@click.option(
    "--jitter",
    metavar="NS",
    default=0,
    show_default=True,
    type=click.IntRange(0, 1_000_000),
    help="Longest time between the effect of an event and its record, ns.",
)
@click.option("--mutate", metavar="CLASS", help="Insert one defect of this class.")
def synth(
    output: Path,
    seed: int,
    events: int,
    arenas: int,
    profile: str,
    threads: int,
    jitter: int,
    mutate: str | None,
) -> None:
    """Make a synthetic trace with the model of the kernel's arena.

    The trace is valid under its profile unless --mutate inserts a defect. An
    unknown CLASS prints the list of classes. The seq of the defect goes to
    stderr.
    """
    from arenatrace.errors import UsageError
    from arenatrace.model.kernel.profiles import profile_named
    from arenatrace.model.synth.event_log import Plan
    from arenatrace.model.synth.mutate import make_mutated
    from arenatrace.model.synth.synthesize import make
    from arenatrace.replay.synthetic_trace import write_trace

    profile_named(profile)
    plan = Plan(seed, events, arenas, profile, threads, jitter)
    note = f"synthetic: made by arenatrace synth, seed {seed}, profile {profile}"
    if mutate is None:
        infos, made = make(plan)
        count = write_trace(output, infos, made, profile=profile, note=note)
    else:
        if jitter:
            raise UsageError("--mutate and --jitter exclude each other", "leave out --jitter")
        infos, listed, wrong = make_mutated(plan, mutate)
        note += f", defect {mutate} at seq {wrong}"
        count = write_trace(output, infos, listed, profile=profile, note=note)
        click.echo(f"arenatrace: the defect {mutate} is at seq {wrong}", err=True)
    click.echo(f"arenatrace: {count:,} events in {output}", err=True)
