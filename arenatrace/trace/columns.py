"""Tables may grow: which columns a table may lack or have more of and still be read."""

from __future__ import annotations

import pyarrow as pa


def misfit(found: pa.Schema, expected: pa.Schema) -> str | None:
    """Why a table with the columns ``found`` cannot be read as ``expected``; None if it can.

    Columns that ``expected`` does not know are ignored, nullable ones that ``found`` lacks
    are read as null. A missing column that cannot be null and a column of another type,
    which includes other members of a struct, are misfits.
    """
    for field in expected:
        indices = found.get_all_field_indices(field.name)
        if len(indices) > 1:
            return f"has two columns {field.name}"
        if not indices:
            if not field.nullable:
                return f"has no column {field.name}"
            continue
        own = found.field(indices[0])
        # A nullable column in the file could hold nulls that the readers rely on not being there.
        if own.type != field.type or (own.nullable and not field.nullable):
            return f"has a column {field.name} of another type"
    return None


def conform(batch: pa.RecordBatch, expected: pa.Schema) -> pa.RecordBatch:
    """``batch``, which is no misfit, with exactly the columns of ``expected``."""
    if batch.schema.equals(expected, check_metadata=False):
        return batch
    columns = [
        batch.column(field.name)
        if field.name in batch.schema.names
        else pa.nulls(batch.num_rows, field.type)
        for field in expected
    ]
    return pa.RecordBatch.from_arrays(columns, schema=expected)
