"""Faults as a table for other tools: CSV and Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import polars as pl

from arenatrace.report.json_output import ADDRESSES, INTERNAL
from arenatrace.report.units import address


def write_csv(faults: pl.DataFrame, file: IO[str]) -> None:
    """Write ``faults`` as CSV with a header: addresses in hex, a struct as columns of its own.

    ``evidence`` is one text, its sentences separated by "; ". Null is an empty field.
    """
    flat = faults.drop(INTERNAL, strict=False)
    for name in ADDRESSES:
        texts = [address(value) for value in flat[name]]
        flat = flat.with_columns(pl.Series(name, texts, dtype=pl.String))
    flat = flat.with_columns(pl.col("evidence").list.join("; "))
    for name, dtype in flat.schema.items():
        if isinstance(dtype, pl.Struct):
            parts = [f"{name}_{field.name}" for field in dtype.fields]
            flat = flat.with_columns(pl.col(name).struct.rename_fields(parts)).unnest(name)
    file.write(flat.write_csv())


def write_parquet(faults: pl.DataFrame, path: Path) -> None:
    """Write ``faults`` as Parquet, with addresses as integers. Raises OSError."""
    faults.drop(INTERNAL, strict=False).write_parquet(path)
