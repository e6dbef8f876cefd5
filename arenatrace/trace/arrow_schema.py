"""Arrow schema of each table, built from ``arenatrace.schema``.

Field metadata has the unit, the meaning and, for code columns, the labels of the codes. Any Arrow
or Parquet reader can show them.
"""

from __future__ import annotations

import json
from enum import IntEnum
from functools import cache

import pyarrow as pa

from arenatrace import schema

#: Arrow types by the names used in ``schema.Column.dtype``.
_SCALARS: dict[str, pa.DataType] = {
    "bool": pa.bool_(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "uint8": pa.uint8(),
    "uint16": pa.uint16(),
    "uint32": pa.uint32(),
    "uint64": pa.uint64(),
    "string": pa.string(),
    "dictionary<string>": pa.dictionary(pa.int32(), pa.string()),
    "list<uint64>": pa.list_(pa.uint64()),
}

_CODES: dict[str, type[IntEnum]] = {
    "schema.Kind": schema.Kind,
    "schema.Outcome": schema.Outcome,
    "schema.OopsReason": schema.OopsReason,
}


def _labels(codes: type[IntEnum]) -> str:
    return json.dumps({str(int(code)): getattr(code, "label", code.name) for code in codes})


def _field(column: schema.Column) -> pa.Field:
    metadata = {"unit": column.unit, "meaning": column.meaning}
    if column.unit in _CODES:
        metadata["unit"] = "code"
        metadata["labels"] = _labels(_CODES[column.unit])
    if column.dtype == "list<struct>":
        dtype = pa.list_(pa.struct([_field(member) for member in column.fields]))
    else:
        dtype = _SCALARS[column.dtype]
    return pa.field(column.name, dtype, nullable=column.nullable, metadata=metadata)


@cache
def arrow_schema(table: str) -> pa.Schema:
    """Return the Arrow schema of ``table``, a key of ``schema.TABLES`` (KeyError: unknown table).

    ``dictionary<string>`` has int32 indices. Field metadata has the keys ``unit``, ``meaning``
    and ``labels``.
    """
    fields = [_field(column) for column in schema.TABLES[table]]
    return pa.schema(
        fields,
        metadata={"arenatrace.table": table, "arenatrace.format": str(schema.FORMAT_VERSION)},
    )
