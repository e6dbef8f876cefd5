"""Program of a fault, from the kernel's blame and from the stack."""

from __future__ import annotations

import polars as pl

from arenatrace.analysis.attribution.bpf_frames import bpf_frames
from arenatrace.analysis.attribution.source_lines import with_source
from arenatrace.analysis.text_columns import formatted

_FRAME = ("function", "file", "line", "text")


def with_attribution(
    faults: pl.LazyFrame, stacks: pl.LazyFrame, programs: pl.LazyFrame
) -> pl.LazyFrame:
    """Add the program of each fault and how it was found.

    ``prog`` becomes the blamed program (``bpf_prog_find_from_stack``, as recorded) or, without
    one, the program of the innermost BPF frame that is not the recorder's own. ``attribution`` is
    ``agreed``, ``kernel-only``, ``stack-only``, ``disputed`` or ``none``. ``function``, ``file``,
    ``line`` and ``text`` are those of the innermost frame of ``prog``, null if it is not on the
    stack. ``attribution_evidence`` is a list of sentences.
    """
    frames = bpf_frames(faults, stacks, programs).collect().lazy()
    foreign = frames.filter(~pl.col("own"))
    by_stack = with_source(_innermost(foreign), programs).select(
        "fault",
        pl.col("prog").alias("stack_prog"),
        *(pl.col(name).alias(f"stack_{name}") for name in _FRAME),
    )
    combined = (
        faults.rename({"prog": "kernel_prog"})
        .join(by_stack, on="fault", how="left")
        .with_columns(prog=pl.coalesce("kernel_prog", "stack_prog"), attribution=_label())
    )
    verdict = combined.select("fault", "prog")
    chosen = _innermost(frames.join(verdict, on=["fault", "prog"], how="semi"))
    probable = _probable_program(verdict, foreign, programs)
    return (
        combined.join(
            with_source(chosen, programs).select("fault", *_FRAME), on="fault", how="left"
        )
        .join(probable, on="fault", how="left")
        .join(_names(programs, "stack_prog"), on="stack_prog", how="left")
        .with_columns(attribution_evidence=_evidence())
        .drop("kernel_prog", "^stack_.*$", "^probable.*$")
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
    """Return ``key`` and ``<key>_name``, the name of a program in evidence."""
    number = formatted("program {}", pl.col("id"))
    name = pl.coalesce(pl.col("name"), number, pl.lit("an unnamed program"))
    return programs.select(pl.col("prog").alias(key), name.alias(f"{key}_name"))


def _probable_program(
    verdict: pl.LazyFrame, foreign: pl.LazyFrame, programs: pl.LazyFrame
) -> pl.LazyFrame:
    """Return the innermost program with an arena, for faults blamed on one without an arena.

    If a program without an arena runs on top of one with an arena, the kernel's handler refuses
    (``prog->aux->arena`` is NULL) and the fault becomes an oops.
    """
    has_arena = pl.col("arena").is_not_null()
    # A program whose note was lost has no type, and its arena is not known.
    without = programs.filter(~has_arena & pl.col("type").is_not_null()).select("prog")
    blamed = verdict.join(without, on="prog", how="semi").join(_names(programs, "prog"), on="prog")
    users = programs.filter(has_arena).select("prog")
    return (
        _innermost(foreign.join(users, on="prog", how="semi"))
        .select("fault", pl.col("prog").alias("probable"))
        .join(_names(programs, "probable"), on="probable")
        .join(blamed.select("fault", pl.col("prog_name").alias("probable_blamed")), on="fault")
        .select("fault", "probable_name", "probable_blamed")
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
                "the kernel's blame is not recorded; this program is the innermost BPF frame of "
                "the stack"
            )
        ),
        pl.when(attribution.is_in(["kernel-only", "none"]) & no_stack).then(
            pl.lit("no stack was recorded")
        ),
        pl.when(attribution.is_in(["kernel-only", "none"]) & ~no_stack).then(
            pl.lit("no frame of the stack belongs to a BPF program known at that time")
        ),
        pl.when(attribution == "none").then(pl.lit("no blamed program is recorded")),
        formatted(
            "{} uses no arena; {}, on the same stack, does and probably caused the fault",
            "probable_blamed",
            "probable_name",
        ),
    ]
    return pl.concat_list(sentences).list.drop_nulls()
