"""Signatures that group faults of the same bug."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any

import polars as pl

from arenatrace.analysis.text_columns import formatted

_HEX_DIGITS = 12


def with_signature(faults: pl.LazyFrame) -> pl.LazyFrame:
    """Add ``signature`` (12 hex digits) and ``title`` to ``faults``.

    The signature is a BLAKE2 hash of program name, function, source file without its directory,
    source text, callee symbol and cause. It contains no address, id, tag or line number, so it
    survives reloads, reboots and edits elsewhere in the file. ``title`` is one line of text; within
    a signature it may differ in its line number.
    """
    base = pl.col("file").str.split("/").list.last()
    parts = pl.struct("prog_name", "function", base.alias("file"), "text", "symbol", "cause")
    actor = pl.coalesce(
        "prog_name", formatted("program {}", pl.col("prog_id")), pl.lit("unknown program")
    )
    callee = pl.coalesce(formatted(" in {}", pl.col("symbol")), pl.lit(""))
    where = pl.coalesce(
        formatted(" from {}() {}:{}", pl.col("function"), base, pl.col("line")),
        formatted(" from {}()", pl.col("function")),
        pl.lit(""),
    )
    # A program-side fault has no callee: "read in touch()", not "read from touch()".
    where = (
        pl.when(pl.col("side") == "prog")
        .then(where.str.replace(" from ", " in ", literal=True))
        .otherwise(where)
    )
    access = pl.col("access").fill_null("access")
    return faults.with_columns(
        signature=parts.map_batches(_hashes, return_dtype=pl.String),
        title=formatted("{}: {}{}{}", actor, access, callee, where),
    )


def _hashes(parts: pl.Series) -> pl.Series:
    """Return the hash of each struct; each distinct struct is hashed once."""
    known: dict[tuple[Any, ...], str] = {}
    hashes = []
    for row in parts:
        key = tuple(row.values())
        if key not in known:
            known[key] = _hash(key)
        hashes.append(known[key])
    return pl.Series(hashes, dtype=pl.String)


def _hash(key: tuple[Any, ...]) -> str:
    return blake2b(json.dumps(key).encode(), digest_size=_HEX_DIGITS // 2).hexdigest()
