"""Symbolized frames of one stack."""

from __future__ import annotations

from typing import Any

import polars as pl

from arenatrace.analysis.attribution.bpf_frames import bpf_frames
from arenatrace.analysis.attribution.source_lines import with_source
from arenatrace.analysis.text_columns import formatted
from arenatrace.trace.reader import Trace


def call_stack(trace: Trace, stack: int | None, ip: int | None, ts_ns: int) -> list[dict[str, Any]]:
    """Return the frames of a stack, innermost first, symbolized as of ``ts_ns``.

    Each has ``address``, ``function``, ``offset`` and ``size`` (bytes, of kernel symbols),
    ``module``, ``prog`` (name of the BPF program, null in kernel code), ``file``, ``line`` and
    ``text``; unknown members are null.

    Args:
        trace: the trace.
        stack: id in the table ``stacks``; None: no stack.
        ip: faulting instruction; it becomes the first frame if the stack does not start with it.
        ts_ns: time of the stack, CLOCK_MONOTONIC ns.
    """
    one = pl.LazyFrame(
        {"fault": [1], "ts_ns": [ts_ns], "ip": [ip], "stack": [stack]},
        schema={"fault": pl.UInt32, "ts_ns": pl.Int64, "ip": pl.UInt64, "stack": pl.UInt32},
    )
    programs = trace.scan("programs")
    found = with_source(bpf_frames(one, trace.scan("stacks"), programs), programs)
    names = programs.select("prog", pl.coalesce("name", formatted("program {}", "id")).alias("of"))
    bpf = {row["pos"]: row for row in found.join(names, on="prog").collect().iter_rows(named=True)}
    addresses = [] if stack is None else _addresses(trace, stack)
    if ip is not None and addresses[:1] != [ip]:
        addresses = [ip, *addresses]
    symbols = _symbols(trace, addresses, ts_ns)
    return [
        _frame(address, bpf.get(position), symbols.get(address))
        for position, address in enumerate(addresses)
    ]


def _addresses(trace: Trace, stack: int) -> list[int]:
    rows = trace.scan("stacks").filter(pl.col("stack") == stack).collect()
    found: list[list[int] | None] = rows["frames"].to_list()
    return (found[0] or []) if found else []


def _symbols(trace: Trace, addresses: list[int], ts_ns: int) -> dict[int, dict[str, Any]]:
    """Return for each address the last symbol up to ``ts_ns``, or the first after it."""
    rows = (
        trace.scan("symbols")
        .filter(pl.col("addr").is_in(pl.lit(pl.Series(addresses, dtype=pl.UInt64)).implode()))
        .sort("ts_ns", maintain_order=True)
        .collect()
    )
    symbols: dict[int, dict[str, Any]] = {}
    for row in rows.iter_rows(named=True):
        if row["addr"] not in symbols or row["ts_ns"] <= ts_ns:
            symbols[row["addr"]] = row
    return symbols


def _frame(
    address: int, bpf: dict[str, Any] | None, symbol: dict[str, Any] | None
) -> dict[str, Any]:
    kernel = symbol or {}
    frame = {
        "address": address,
        "function": kernel.get("name"),
        "offset": kernel.get("offset"),
        "size": kernel.get("size"),
        "module": kernel.get("module"),
        "prog": None,
        "file": None,
        "line": None,
        "text": None,
    }
    if bpf is not None:
        names = {"function": "function", "prog": "of", "file": "file", "line": "line"}
        frame |= {name: bpf[source] for name, source in {**names, "text": "text"}.items()}
    return frame
