"""Which program asked for an allocation or a free?"""

from __future__ import annotations

import polars as pl

from arenatrace.analysis.attribution.bpf_frames import bpf_frames


def with_caller(
    operations: pl.DataFrame, stacks: pl.LazyFrame, programs: pl.LazyFrame
) -> pl.DataFrame:
    """``operations`` with a null ``prog`` filled in from the stack, where one was recorded.

    It is the innermost BPF frame that is not the recorder's own. ``operations`` are those of
    ``page_operations``.
    """
    asking = operations.filter(pl.col("prog").is_null() & pl.col("stack").is_not_null())
    if asking.is_empty():
        return operations
    asked = asking.select("stack", ts_ns="called_ts_ns").unique().with_row_index("fault")
    frames = bpf_frames(
        asked.lazy().with_columns(ip=pl.lit(None, pl.UInt64)), stacks, programs
    ).filter(~pl.col("own"))
    found = (
        asked.lazy()
        .join(frames.sort("fault", "pos").group_by("fault").first(), on="fault")
        .select("stack", pl.col("ts_ns").alias("called_ts_ns"), pl.col("prog").alias("caller"))
        .collect()
    )
    return (
        operations.join(found, on=["stack", "called_ts_ns"], how="left", maintain_order="left")
        .with_columns(pl.coalesce("prog", "caller").alias("prog"))
        .drop("caller")
    )
