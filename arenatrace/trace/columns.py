"""Tables may grow: which columns a table may lack or have more of and still be read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple


class Field(NamedTuple):
    """A column of a table: its type, of whatever library, and whether it may hold nulls."""

    name: str
    dtype: Any
    nullable: bool


def misfit(found: Iterable[Field], expected: Iterable[Field]) -> str | None:
    """Why a table with the columns ``found`` cannot be read as ``expected``; None if it can.

    Columns that ``expected`` does not know are ignored, nullable ones that ``found`` lacks
    are read as null. A missing column that cannot be null and a column of another type,
    which includes other members of a struct, are misfits.
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
        # A nullable column in the file could hold nulls that the readers rely on not being there.
        if own[0].dtype != field.dtype or (own[0].nullable and not field.nullable):
            return f"has a column {field.name} of another type"
    return None
