"""BPF frames of stacks, with program and function."""

from __future__ import annotations

import polars as pl

#: A program may still run for an RCU grace period after ``bpf_prog_kallsyms_del_all``, ns. Its
#: memory is not reused before that.
STILL_RUNNING_NS = 1_000_000_000


def bpf_frames(faults: pl.LazyFrame, stacks: pl.LazyFrame, programs: pl.LazyFrame) -> pl.LazyFrame:
    """Return one row per BPF frame of each fault.

    Columns: ``fault``, ``pos``, ``pc``, ``prog``, ``own``, ``function`` and ``func_start``. ``pos``
    counts frames from 0, the faulting instruction. ``pc`` is an address inside the executing
    instruction: the return address of the frame minus 1, except at ``pos`` 0. A frame belongs to
    the function whose JITed range contained ``pc`` at the time of the fault. Ranges are reused
    after a program is unloaded; of several matches the latest loaded program wins.

    Args:
        faults: rows with ``fault``, ``ts_ns``, ``ip`` and ``stack``.
        stacks: the table ``stacks``.
        programs: the table ``programs``.
    """
    frames = _frames(faults, stacks)
    functions = _functions(programs)
    # Few distinct addresses repeat many times: search the ranges once per address.
    candidates = (
        frames.select("pc")
        .unique()
        .join_where(
            functions, pl.col("pc") >= pl.col("func_start"), pl.col("pc") < pl.col("func_end")
        )
        .select("pc", "prog", "own", "function", "func_start", "load_ts_ns", "unload_ts_ns")
    )
    was_loaded = (pl.col("load_ts_ns").is_null() | (pl.col("load_ts_ns") <= pl.col("ts_ns"))) & (
        pl.col("unload_ts_ns").is_null()
        | (pl.col("ts_ns") <= pl.col("unload_ts_ns") + STILL_RUNNING_NS)
    )
    return (
        frames.join(candidates, on="pc")
        .filter(was_loaded)
        .sort("fault", "pos", "load_ts_ns", "prog", nulls_last=False)
        .group_by("fault", "pos", maintain_order=True)
        .agg(pl.col("pc", "prog", "own", "function", "func_start").last())
    )


def _frames(faults: pl.LazyFrame, stacks: pl.LazyFrame) -> pl.LazyFrame:
    """Return one row per frame: ``fault``, ``ts_ns``, ``pos``, ``pc``.

    The faulting ip is always the innermost frame, even without a stack:
    ``bpf_prog_report_arena_violation`` finds the program of a program-side fault by it.
    """
    frames = pl.col("frames").fill_null(pl.lit([], pl.List(pl.UInt64)))
    starts_at_ip = (frames.list.first() == pl.col("ip")).fill_null(value=False)
    addresses = (
        pl.when(pl.col("ip").is_null() | starts_at_ip)
        .then(frames)
        .otherwise(pl.concat_list(pl.col("ip"), frames))
    )
    return (
        faults.select("fault", "ts_ns", "ip", "stack")
        .join(stacks, on="stack", how="left")
        .select("fault", "ts_ns", addresses.alias("address"))
        .with_columns(pl.int_ranges(pl.col("address").list.len(), dtype=pl.UInt32).alias("pos"))
        .explode("pos", "address")
        .filter(pl.col("address").is_not_null())
        .select(
            "fault",
            "ts_ns",
            "pos",
            pl.when(pl.col("pos") == 0)
            .then(pl.col("address"))
            .otherwise(pl.col("address") - 1)
            .alias("pc"),
        )
    )


def _functions(programs: pl.LazyFrame) -> pl.LazyFrame:
    """Return one row per JITed function; ``function`` lacks the kallsyms prefix."""
    member = pl.col("funcs").struct
    return (
        programs.select("prog", "own", "load_ts_ns", "unload_ts_ns", "funcs")
        .explode("funcs")
        .select(
            "prog",
            pl.col("own").fill_null(value=False),
            "load_ts_ns",
            "unload_ts_ns",
            member.field("name").str.replace(r"^bpf_prog_[0-9a-f]{16}_", "").alias("function"),
            member.field("start").alias("func_start"),
            member.field("end").alias("func_end"),
        )
        .filter(pl.col("func_start") < pl.col("func_end"))
    )
