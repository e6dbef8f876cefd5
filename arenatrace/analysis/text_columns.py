"""Text columns from a template."""

from __future__ import annotations

import polars as pl


def formatted(template: str, *parts: pl.Expr | str) -> pl.Expr:
    """Replace each ``{}`` in ``template`` by a column; null where one of them is null.

    ``pl.format`` does the same but panics once in many thousand calls on valid rows:
    https://github.com/pola-rs/polars/issues/25525. Raises ValueError if the numbers differ.
    """
    texts = template.split("{}")
    if len(texts) != len(parts) + 1:
        raise ValueError(f"{template!r} needs {len(texts) - 1} columns, not {len(parts)}")
    pieces: list[pl.Expr] = []
    for text, part in zip(texts, (*parts, None), strict=True):
        if text:
            pieces.append(pl.lit(text))
        if part is not None:
            column = pl.col(part) if isinstance(part, str) else part
            pieces.append(column.cast(pl.String))
    return pl.concat_str(pieces)
