"""Polars schema of each table, built from ``arenatrace.schema``."""

from __future__ import annotations

import polars as pl

from arenatrace import schema

#: polars types by the names used in ``schema.Column.dtype``.
_SCALARS: dict[str, pl.DataType] = {
    "bool": pl.Boolean(),
    "int32": pl.Int32(),
    "int64": pl.Int64(),
    "uint8": pl.UInt8(),
    "uint16": pl.UInt16(),
    "uint32": pl.UInt32(),
    "uint64": pl.UInt64(),
    "string": pl.String(),
    "dictionary<string>": pl.Categorical(),
    "list<uint64>": pl.List(pl.UInt64()),
}


def polars_schema(table: str) -> pl.Schema:
    """Return the columns of ``table``, a key of ``schema.TABLES`` (KeyError: unknown table)."""
    return pl.Schema({column.name: _dtype(column) for column in schema.TABLES[table]})


def _dtype(column: schema.Column) -> pl.DataType:
    if column.dtype == "list<struct>":
        return pl.List(pl.Struct({member.name: _dtype(member) for member in column.fields}))
    return _SCALARS[column.dtype]
