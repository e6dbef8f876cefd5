"""Which program caused a fault? Two independent answers, and what to make of them."""

from __future__ import annotations

import polars as pl

from arenatrace.analysis.attribution.bpf_frames import bpf_frames
from arenatrace.analysis.attribution.source_lines import with_source
from arenatrace.analysis.text_columns import formatted

_FRAME = ("function", "file", "line", "text")


def with_attribution(
    faults: pl.LazyFrame, stacks: pl.LazyFrame, programs: pl.LazyFrame
) -> pl.LazyFrame:
    """``faults`` with the answers to "which program?" added.

    ``prog`` becomes the kernel's answer (``bpf_prog_find_from_stack``, as recorded) or, where
    it gave none, the stack's: the innermost frame of a program that is not the recorder's
    own. ``attribution`` is ``agreed``, ``kernel-only``, ``stack-only``, ``disputed`` or
    ``none``. ``function``, ``file``, ``line`` and ``text`` are those of the innermost frame of
    ``prog``, null if it is not on the stack. ``attribution_evidence`` is a list of sentences.
    """
    frames = bpf_frames(faults, stacks, programs).collect().lazy()
    foreign = frames.filter(~pl.col("own"))
    by_stack = with_source(_innermost(foreign), programs).select(
        "fault",
        pl.col("prog").alias("stack_prog"),
        *(pl.col(name).alias(f"stack_{name}") for name in _FRAME),
    )
    answered = (
        faults.rename({"prog": "kernel_prog"})
        .join(by_stack, on="fault", how="left")
        .with_columns(prog=pl.coalesce("kernel_prog", "stack_prog"), attribution=_label())
    )
    verdict = answered.select("fault", "prog")
    chosen = _innermost(frames.join(verdict, on=["fault", "prog"], how="semi"))
    meant = _probably_meant(verdict, foreign, programs)
    return (
        answered.join(
            with_source(chosen, programs).select("fault", *_FRAME), on="fault", how="left"
        )
        .join(meant, on="fault", how="left")
        .join(_names(programs, "stack_prog"), on="stack_prog", how="left")
        .with_columns(attribution_evidence=_evidence())
        .drop("kernel_prog", "^stack_.*$", "^meant.*$")
    )


def _innermost(frames: pl.LazyFrame) -> pl.LazyFrame:
    return frames.sort("fault", "pos").group_by("fault", maintain_order=True).first()


def _label() -> pl.Expr:
    kernel, stack = pl.col("kernel_prog"), pl.col("stack_prog")
    return (
        pl.when(kernel.is_null() & stack.is_null())
        .then(pl.lit("none"))
        .when(stack.is_null())
        .then(pl.lit("kernel-only"))
        .when(kernel.is_null())
        .then(pl.lit("stack-only"))
        .when(kernel == stack)
        .then(pl.lit("agreed"))
        .otherwise(pl.lit("disputed"))
    )


def _names(programs: pl.LazyFrame, key: str) -> pl.LazyFrame:
    """``key`` and ``<key>_name``: how evidence speaks of a program."""
    number = formatted("program {}", pl.col("id"))
    name = pl.coalesce(pl.col("name"), number, pl.lit("an unnamed program"))
    return programs.select(pl.col("prog").alias(key), name.alias(f"{key}_name"))


def _probably_meant(
    verdict: pl.LazyFrame, foreign: pl.LazyFrame, programs: pl.LazyFrame
) -> pl.LazyFrame:
    """For faults blamed on a program without an arena: the innermost one on the stack with one.

    A helper program without an arena on top of one that has an arena makes the kernel's
    handler refuse (``prog->aux->arena`` is NULL), and the fault becomes an oops.
    """
    has_arena = pl.col("arena").is_not_null()
    # a program whose own note was lost has no type, and nothing is known of its arena
    without = programs.filter(~has_arena & pl.col("type").is_not_null()).select("prog")
    blamed = verdict.join(without, on="prog", how="semi").join(_names(programs, "prog"), on="prog")
    users = programs.filter(has_arena).select("prog")
    return (
        _innermost(foreign.join(users, on="prog", how="semi"))
        .select("fault", pl.col("prog").alias("meant"))
        .join(_names(programs, "meant"), on="meant")
        .join(blamed.select("fault", pl.col("prog_name").alias("meant_blamed")), on="fault")
        .select("fault", "meant_name", "meant_blamed")
    )


def _evidence() -> pl.Expr:
    attribution = pl.col("attribution")
    base = pl.col("stack_file").str.split("/").list.last()
    where = pl.coalesce(
        formatted("{}, {}() at {}:{}", "stack_prog_name", "stack_function", base, "stack_line"),
        formatted("{}, {}()", "stack_prog_name", "stack_function"),
        pl.col("stack_prog_name"),
    )
    no_stack = pl.col("stack").is_null()
    sentences = [
        pl.when(attribution == "disputed").then(
            formatted("the innermost BPF frame of the stack is another program: {}", where)
        ),
        pl.when(attribution == "stack-only").then(
            pl.lit(
                "no answer of the kernel is recorded; this one is the stack's innermost BPF frame"
            )
        ),
        pl.when(attribution.is_in(["kernel-only", "none"]) & no_stack).then(
            pl.lit("no stack was recorded")
        ),
        pl.when(attribution.is_in(["kernel-only", "none"]) & ~no_stack).then(
            pl.lit("no frame of the stack is a BPF program known at that time")
        ),
        pl.when(attribution == "none").then(pl.lit("no program named by the kernel is recorded")),
        formatted(
            "{} uses no arena; {}, on the same stack, does and was probably meant",
            "meant_blamed",
            "meant_name",
        ),
    ]
    return pl.concat_list(sentences).list.drop_nulls()
