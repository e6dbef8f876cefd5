"""Why did the kernel not recover from a fault?"""

from __future__ import annotations

import polars as pl

from arenatrace.analysis.text_columns import formatted
from arenatrace.schema import BAND_SZ, GUARD_SZ, OopsReason, Outcome, ProfileName

_LABELS = {int(reason): reason.label for reason in OopsReason}
_SENTENCES = {
    OopsReason.NO_PROGRAM.label: "the kernel found no BPF program on the stack",
    OopsReason.NO_ARENA.label: "the program the kernel found on the stack has no arena",
    OopsReason.OUTSIDE_ARENA.label: "the address lies outside the arena of the program the kernel "
    "found on the stack",
    OopsReason.PROTECTION.label: "the page was there: the access was not allowed, and no handler "
    "is asked about that",
    OopsReason.NO_HANDLER.label: "this kernel does not recover from arena faults",
}

#: What ``bpf_arena_handle_page_fault`` looks after, from kern_vm_start on.
_RECOVERED_BYTES = BAND_SZ + GUARD_SZ // 2
#: ``X86_PF_PROT``: the page was there.
_PF_PROT = 1


def with_oops_reason(
    faults: pl.LazyFrame, programs: pl.LazyFrame, arenas: pl.LazyFrame, profile: str | None
) -> pl.LazyFrame:
    """``faults`` with ``oops_reason``, a label, and ``oops_evidence``, a list of sentences.

    Where the reason of an oops was not recorded, it is the one that follows from the program
    the kernel asks, ``prog``, its arena, and the stack; null if none does. ``faults`` are those
    of ``with_attribution``, ``profile`` is that of the trace.
    """
    recorded = pl.col("oops_reason").replace_strict(_LABELS, default=None, return_dtype=pl.String)
    own = programs.select(
        "prog",
        asked_arena="arena",
        # a program whose own note was lost has no type, and nothing is known of its arena
        asked_known=pl.col("type").is_not_null() | pl.col("arena").is_not_null(),
    ).join(
        arenas.select(asked_arena="arena", asked_start="kern_vm_start"),
        on="asked_arena",
        how="left",
    )
    oops = (pl.col("outcome") == int(Outcome.OOPS)).fill_null(value=False)
    below = pl.col("asked_start") - pl.col("addr")
    in_lower_guard = below.is_between(1, GUARD_SZ // 2).fill_null(value=False)
    return (
        faults.join(own, on="prog", how="left", maintain_order="left")
        .with_columns(
            oops_reason=pl.coalesce(recorded, pl.when(oops).then(_derived(profile))),
        )
        .with_columns(
            oops_evidence=pl.concat_list(
                formatted(
                    "not recovered: {}",
                    pl.col("oops_reason").replace_strict(
                        _SENTENCES, default=None, return_dtype=pl.String
                    ),
                ),
                pl.when(oops & in_lower_guard).then(
                    pl.lit("the kernel does not look after the guard below an arena, only above")
                ),
            ).list.drop_nulls()
        )
        .drop("asked_arena", "asked_known", "asked_start")
    )


def _derived(profile: str | None) -> pl.Expr:
    """The label of what makes the kernel's handler give up, in the order it looks."""
    # u64 subtraction wraps: below the start this is huge
    distance = pl.col("addr") - pl.col("asked_start")
    return (
        pl.when(pl.lit(profile == ProfileName.PRE_SCRATCH))
        .then(pl.lit(OopsReason.NO_HANDLER.label))
        .when(pl.col("error_code") & _PF_PROT == _PF_PROT)
        .then(pl.lit(OopsReason.PROTECTION.label))
        .when((pl.col("attribution") == "none") & pl.col("stack").is_not_null())
        .then(pl.lit(OopsReason.NO_PROGRAM.label))
        .when(pl.col("asked_known") & pl.col("asked_arena").is_null())
        .then(pl.lit(OopsReason.NO_ARENA.label))
        .when(distance >= _RECOVERED_BYTES)
        .then(pl.lit(OopsReason.OUTSIDE_ARENA.label))
    )
