"""Source line of a code address."""

from __future__ import annotations

import polars as pl


def with_source(frames: pl.LazyFrame, programs: pl.LazyFrame) -> pl.LazyFrame:
    """Add ``file``, ``line`` and ``text`` to ``frames``, null without line info.

    The line is the last one of the function that starts at or before ``pc``. For a return address,
    whose ``pc`` is one less, this is the rule of ``bpf_prog_get_file_line``: the last line that
    starts before the address.

    Args:
        frames: rows with ``prog``, ``pc`` and ``func_start``.
        programs: the table ``programs``.
    """
    member = pl.col("lines").struct
    lines = (
        programs.select("prog", "lines")
        .explode("lines")
        .select(
            "prog",
            member.field("addr").alias("line_addr"),
            member.field("file"),
            member.field("line"),
            member.field("text").str.strip_chars(),
        )
        .filter(pl.col("line_addr").is_not_null())
        # Stable sort: of lines at one address the kernel uses the last.
        .sort("line_addr", maintain_order=True)
    )
    in_function = pl.col("line_addr") >= pl.col("func_start")
    return (
        frames.sort("pc")
        .join_asof(
            lines,
            left_on="pc",
            right_on="line_addr",
            by="prog",
            coalesce=False,
            check_sortedness=False,
        )
        .with_columns(pl.when(in_function).then(pl.col("file", "line", "text")))
        .drop("line_addr", "prog_right", strict=False)
    )
