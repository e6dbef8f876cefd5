"""Faults as CSV and Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import polars as pl

from arenatrace.report.json_output import ADDRESSES, INTERNAL
from arenatrace.report.units import address


def write_csv(faults: pl.DataFrame, file: IO[str]) -> None:
    """Write ``faults`` as CSV with a header.

    Addresses are in hex. A struct becomes one column for each field. ``evidence`` is one text,
    its sentences joined by "; ". Null is an empty field.
    """
    flat = faults.drop(INTERNAL, strict=False)
    for name in ADDRESSES:
        hex_addresses = [address(value) for value in flat[name]]
        flat = flat.with_columns(pl.Series(name, hex_addresses, dtype=pl.String))
    flat = flat.with_columns(pl.col("evidence").list.join("; "))
    for name, dtype in flat.schema.items():
        if isinstance(dtype, pl.Struct):
            parts = [f"{name}_{field.name}" for field in dtype.fields]
            flat = flat.with_columns(pl.col(name).struct.rename_fields(parts)).unnest(name)
    file.write(flat.write_csv())


def write_parquet(faults: pl.DataFrame, path: Path) -> None:
    """Write ``faults`` as Parquet with addresses as integers.

    Raises:
        OSError: ``path`` cannot be written.
    """
    faults.drop(INTERNAL, strict=False).write_parquet(path)
