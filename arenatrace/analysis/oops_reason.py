"""Why did the kernel not recover from a fault?"""

from __future__ import annotations

import polars as pl

from arenatrace.schema import OopsReason

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


def with_oops_reason(faults: pl.LazyFrame) -> pl.LazyFrame:
    """``faults`` with ``oops_reason``, a label, and ``oops_evidence``, a list of sentences."""
    label = pl.col("oops_reason").replace_strict(_LABELS, default=None, return_dtype=pl.String)
    return faults.with_columns(oops_reason=label).with_columns(
        oops_evidence=pl.concat_list(
            pl.format(
                "not recovered: {}",
                pl.col("oops_reason").replace_strict(
                    _SENTENCES, default=None, return_dtype=pl.String
                ),
            )
        ).list.drop_nulls()
    )
