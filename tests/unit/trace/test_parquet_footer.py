"""The footer as this project reads it, against what pyarrow reads, and against damage."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arenatrace.schema import TABLES
from arenatrace.trace.arrow_schema import arrow_schema
from arenatrace.trace.parquet_footer import columns
from arenatrace.trace.polars_schema import polars_schema
from tests.paths import ROOT

_SAMPLES = ROOT / "sample_traces"


@pytest.mark.parametrize("table", TABLES)
def test_every_table_is_read_as_pyarrow_reads_it(table: str, tmp_path: Path) -> None:
    """Written here and recorded by an earlier version."""
    own = tmp_path / "own.parquet"
    pq.write_table(arrow_schema(table).empty_table(), own)
    for file in (own, *sorted(_SAMPLES.glob(f"*/{table}.parquet"))):
        schema = pq.read_schema(file)
        assert columns(file) == [(field.name, field.nullable) for field in schema]


@pytest.mark.parametrize("table", TABLES)
def test_the_polars_schema_is_the_arrow_schema(table: str) -> None:
    frame = pl.from_arrow(arrow_schema(table).empty_table())
    assert isinstance(frame, pl.DataFrame)
    assert frame.schema == polars_schema(table)


def test_columns_of_all_shapes(tmp_path: Path) -> None:
    """Nested ones, many, and two of one name."""
    file = tmp_path / "a.parquet"
    inner = pa.struct([pa.field("x", pa.list_(pa.struct([("y", pa.int8())]))), ("z", pa.string())])
    fields = [
        pa.field("deep", pa.list_(inner), nullable=False),
        pa.field("twice", pa.int64()),
        pa.field("twice", pa.decimal128(9, 2), nullable=False),
        *(
            pa.field(f"é{number}", pa.timestamp("ns"), nullable=number % 2 > 0)
            for number in range(99)
        ),
    ]
    schema = pa.schema(fields)
    pq.write_table(schema.empty_table(), file)
    assert columns(file) == [(field.name, field.nullable) for field in schema]


def test_damage_is_a_value_error(tmp_path: Path) -> None:
    """Whatever the bytes are; never another error, never without end."""
    file = tmp_path / "a.parquet"
    pq.write_table(arrow_schema("programs").empty_table(), file)
    whole = file.read_bytes()
    dice = random.Random(1)  # noqa: S311 -- the same damage in every run
    refused = 0
    for _ in range(1500):
        bad = bytearray(whole)
        if dice.random() < 0.2:
            bad = bad[: dice.randrange(len(bad))]
        for _ in range(dice.choice([1, 3, 40])):
            if bad:
                bad[dice.randrange(len(bad))] = dice.randrange(256)
        file.write_bytes(bad)
        try:
            columns(file)
        except ValueError:
            refused += 1
    assert refused > 100
    for text in (b"", b"PAR1", b"PAR1" + b"\xff" * 9000 + (9000).to_bytes(4, "little") + b"PAR1"):
        file.write_bytes(text)
        with pytest.raises(ValueError, match=r"short|footer|type|bits"):
            columns(file)
