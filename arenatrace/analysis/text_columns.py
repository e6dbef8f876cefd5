"""Text made of columns."""

from __future__ import annotations

import polars as pl


def formatted(template: str, *parts: pl.Expr | str) -> pl.Expr:
    """``template`` with each ``{}`` replaced by a column, null where one of them is.

    What ``pl.format`` does. That panics once in many thousand times, on rows that are whole:
    https://github.com/pola-rs/polars/issues/25525.
    """
    texts = template.split("{}")
    if len(texts) != len(parts) + 1:
        raise ValueError(f"{template!r} has not {len(parts)} places")
    pieces: list[pl.Expr] = []
    for text, part in zip(texts, (*parts, None), strict=True):
        if text:
            pieces.append(pl.lit(text))
        if part is not None:
            column = pl.col(part) if isinstance(part, str) else part
            pieces.append(column.cast(pl.String))
    return pl.concat_str(pieces)
