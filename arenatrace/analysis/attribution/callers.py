"""Program that called for an allocation or a free."""

from __future__ import annotations

import polars as pl

from arenatrace.analysis.attribution.bpf_frames import bpf_frames


def with_caller(
    operations: pl.DataFrame, stacks: pl.LazyFrame, programs: pl.LazyFrame
) -> pl.DataFrame:
    """Fill a null ``prog`` of ``operations`` from the recorded stack.

    The caller is the program of the innermost BPF frame that is not the recorder's own.

    Args:
        operations: rows of ``page_operations``.
        stacks: the table ``stacks``.
        programs: the table ``programs``.
    """
    unattributed = operations.filter(pl.col("prog").is_null() & pl.col("stack").is_not_null())
    if unattributed.is_empty():
        return operations
    calls = unattributed.select("stack", ts_ns="called_ts_ns").unique().with_row_index("fault")
    frames = bpf_frames(
        calls.lazy().with_columns(ip=pl.lit(None, pl.UInt64)), stacks, programs
    ).filter(~pl.col("own"))
    found = (
        calls.lazy()
        .join(frames.sort("fault", "pos").group_by("fault").first(), on="fault")
        .select("stack", pl.col("ts_ns").alias("called_ts_ns"), pl.col("prog").alias("caller"))
        .collect()
    )
    return (
        operations.join(found, on=["stack", "called_ts_ns"], how="left", maintain_order="left")
        .with_columns(pl.coalesce("prog", "caller").alias("prog"))
        .drop("caller")
    )
