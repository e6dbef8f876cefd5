"""Reason why the kernel did not recover from a fault."""

from __future__ import annotations

import polars as pl

from arenatrace.analysis.text_columns import formatted
from arenatrace.schema import BAND_SZ, GUARD_SZ, OopsReason, Outcome, ProfileName

_LABELS = {int(reason): reason.label for reason in OopsReason}
_SENTENCES = {
    OopsReason.NO_PROGRAM.label: "the kernel found no BPF program on the stack",
    OopsReason.NO_ARENA.label: "the program that the kernel found on the stack has no arena",
    OopsReason.OUTSIDE_ARENA.label: "the address lies outside the arena of the program that the "
    "kernel found on the stack",
    OopsReason.PROTECTION.label: "the page was mapped and the access not allowed; the kernel "
    "calls no arena handler for that",
    OopsReason.NO_HANDLER.label: "this kernel does not recover from arena faults",
}

#: Bytes from kern_vm_start on that ``bpf_arena_handle_page_fault`` recovers.
_RECOVERED_BYTES = BAND_SZ + GUARD_SZ // 2
#: ``X86_PF_PROT``: the page was mapped.
_PF_PROT = 1


def with_oops_reason(
    faults: pl.LazyFrame, programs: pl.LazyFrame, arenas: pl.LazyFrame, profile: str | None
) -> pl.LazyFrame:
    """Add ``oops_reason``, a label, and ``oops_evidence``, a list of sentences, to ``faults``.

    An unrecorded reason is derived from the blamed program, its arena and the stack; it is null
    if none follows.

    Args:
        faults: rows of ``with_attribution``.
        programs: the table ``programs``.
        arenas: the table ``arenas``.
        profile: profile of the trace, None if not known.
    """
    recorded = pl.col("oops_reason").replace_strict(_LABELS, default=None, return_dtype=pl.String)
    blamed = programs.select(
        "prog",
        blamed_arena="arena",
        # A program whose note was lost has no type, and its arena is not known.
        blamed_known=pl.col("type").is_not_null() | pl.col("arena").is_not_null(),
    ).join(
        arenas.select(blamed_arena="arena", blamed_start="kern_vm_start"),
        on="blamed_arena",
        how="left",
    )
    oops = (pl.col("outcome") == int(Outcome.OOPS)).fill_null(value=False)
    below = pl.col("blamed_start") - pl.col("addr")
    in_lower_guard = below.is_between(1, GUARD_SZ // 2).fill_null(value=False)
    return (
        faults.join(blamed, on="prog", how="left", maintain_order="left")
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
                    pl.lit(
                        "the kernel recovers faults in the guard above an arena, not in the "
                        "guard below it"
                    )
                ),
            ).list.drop_nulls()
        )
        .drop("blamed_arena", "blamed_known", "blamed_start")
    )


def _derived(profile: str | None) -> pl.Expr:
    """Return the label of the first check of the kernel's handler that fails."""
    # u64 subtraction wraps: below the start this is huge.
    distance = pl.col("addr") - pl.col("blamed_start")
    return (
        pl.when(pl.lit(profile == ProfileName.PRE_SCRATCH))
        .then(pl.lit(OopsReason.NO_HANDLER.label))
        .when(pl.col("error_code") & _PF_PROT == _PF_PROT)
        .then(pl.lit(OopsReason.PROTECTION.label))
        .when((pl.col("attribution") == "none") & pl.col("stack").is_not_null())
        .then(pl.lit(OopsReason.NO_PROGRAM.label))
        .when(pl.col("blamed_known") & pl.col("blamed_arena").is_null())
        .then(pl.lit(OopsReason.NO_ARENA.label))
        .when(distance >= _RECOVERED_BYTES)
        .then(pl.lit(OopsReason.OUTSIDE_ARENA.label))
    )
