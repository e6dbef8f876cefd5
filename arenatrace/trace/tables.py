"""Tables of a trace: compatibility of columns, opening a Parquet file, merging rows by key."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from arenatrace.errors import TraceError
from arenatrace.schema import KEYED, TABLES
from arenatrace.trace.checksum import open_regular
from arenatrace.trace.polars_schema import polars_schema

DAMAGED = "the file is damaged; copy or record the trace again"

#: Metadata keys that sealing writes into a Parquet file and that other writers leave out.
_SEALED_KEYS = (b"arenatrace.table", b"arenatrace.format")
#: End of a Parquet file: length of the footer (4 bytes), and the magic.
_TAIL_BYTES = 8
_MAGIC = b"PAR1"

_METADATA_BYTES = 1 << 20
_POLARS_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)


class Field(NamedTuple):
    """A column of a table: its type, of any library, and whether it may contain nulls."""

    name: str
    dtype: Any
    nullable: bool


def column_mismatch(found: Iterable[Field], expected: Iterable[Field]) -> str | None:
    """Return why columns ``found`` cannot be read as ``expected``; None if they can.

    Unknown columns are ignored. A nullable column that is missing is read as null. A missing
    column that cannot be null, and a column of another type, are mismatches. Members of a struct
    are part of its type.
    """
    by_name: dict[str, list[Field]] = {}
    for field in found:
        by_name.setdefault(field.name, []).append(field)
    for field in expected:
        own = by_name.get(field.name, [])
        if len(own) > 1:
            return f"has two columns {field.name}"
        if not own:
            if not field.nullable:
                return f"has no column {field.name}"
            continue
        if own[0].dtype != field.dtype or (own[0].nullable and not field.nullable):
            return f"has a column {field.name} of another type"
    return None


def merge_rows(table: str, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Merge rows with the same key; in each column the last non-null value wins.

    A recorder learns an arena's map id or a program's unload time after it wrote the row, and
    appends what it learned. Rows come back in key order. Tables without a key are unchanged.
    """
    key = KEYED.get(table)
    if key is None:
        return rows
    return (
        rows.group_by(key, maintain_order=True)
        .agg(pl.all().drop_nulls().last())
        .sort(key)
        .select(rows.collect_schema().names())
    )


def is_rewritten(file: Path) -> bool:
    """Return whether another program wrote this Parquet file; False if it has no footer.

    Sealing writes the table's name and the format version into the file's metadata. polars and
    DuckDB write neither. The bytes of the footer are searched without a parser: in a damaged
    footer a parser may miss the keys, and that of polars prints its panics.
    """
    footer = _footer(file)
    return footer is not None and not any(key in footer for key in _SEALED_KEYS)


def _footer(file: Path) -> bytes | None:
    """Return the last 1 MiB, at most, of a Parquet file's footer; None without a footer.

    Raises OSError.
    """
    with open_regular(file) as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(max(0, size - _TAIL_BYTES))
        tail = opened.read(_TAIL_BYTES)
        length = int.from_bytes(tail[:4], "little")
        if not tail.endswith(_MAGIC) or length + _TAIL_BYTES > size:
            return None
        # the metadata is at the end of the footer; a crafted length must not read a whole file
        length = min(length, _METADATA_BYTES)
        opened.seek(size - _TAIL_BYTES - length)
        return opened.read(length)


def open_parquet(table: str, file: Path, *, verified: bool = False) -> pl.LazyFrame:
    """Open a Parquet file as ``table``, with the columns and types of the schema.

    Other writers declare every column nullable, so values decide whether a column has nulls.
    Text is accepted where the schema has a dictionary.

    Args:
        table: a key of ``schema.TABLES``.
        file: the Parquet file.
        verified: sealing wrote the file and its checksum matches. Such a file has no null in
            these columns, so they are not read for the count.

    Raises TraceError for a damaged file, for other columns, and for a null where the schema
    allows none.
    """
    expected = polars_schema(table)
    try:
        # read_parquet_schema() would read brackets in the name as a pattern
        rows = pl.scan_parquet(file, glob=False)
        found = rows.collect_schema()
        required = [c.name for c in TABLES[table] if not c.nullable and c.name in found]
        nulls: dict[str, int] = {}
        if not verified:
            nulls = rows.select(pl.col(required).null_count()).collect().row(0, named=True)
    except (*_POLARS_ERRORS, ValueError, OSError) as error:
        raise TraceError(f"{file}: not a complete Parquet file", DAMAGED) from error
    dtypes = {name: _accepted(dtype, expected.get(name)) for name, dtype in found.items()}
    reason = column_mismatch(
        [Field(name, dtype, nulls.get(name, 0) > 0) for name, dtype in dtypes.items()],
        [Field(column.name, expected[column.name], column.nullable) for column in TABLES[table]],
    )
    contains_null = next((name for name, count in nulls.items() if count), None)
    if contains_null is not None:
        reason = f"has a null in column {contains_null}"
    if reason is not None:
        raise TraceError(
            f"{file}: its columns are not those of this version's table: it {reason}", DAMAGED
        )
    if found == expected:
        return rows
    return rows.select(
        (pl.col(name) if found[name] == dtype else pl.col(name).cast(dtype))
        if name in found
        else pl.lit(None, dtype).alias(name)
        for name, dtype in expected.items()
    )


def _accepted(found: pl.DataType, expected: pl.DataType | None) -> pl.DataType:
    """Return ``expected`` where ``found`` holds the same values in another encoding."""
    texts = (pl.String, pl.Categorical, pl.Enum)
    if expected is not None and isinstance(expected, pl.Categorical) and isinstance(found, texts):
        return expected
    return found
