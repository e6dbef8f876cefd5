"""Arrow columns over numpy memory without extra copies; constant columns are cached."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from arenatrace.capture.decode.arrays import Ints, Mask
from arenatrace.capture.decode.index_column import NONE, IndexColumn

_UINT32 = np.dtype(np.uint32)


def non_null(values: Ints) -> pa.Array:
    """Return a column without nulls over the memory of ``values``."""
    return pa.Array.from_buffers(
        _arrow_type(values.dtype), len(values), [None, pa.py_buffer(values)], 0
    )


def nullable(values: Ints, known: Mask) -> pa.Array:
    """Return a column over the memory of ``values``, null where not ``known``."""
    count = int(np.count_nonzero(known))
    if not count and len(known):
        return nulls(len(known), values.dtype)
    if count == len(known):
        return non_null(values)
    return pa.Array.from_buffers(
        _arrow_type(values.dtype),
        len(values),
        [_bits(known), pa.py_buffer(values)],
        len(known) - count,
    )


def flags(values: Mask, known: Mask) -> pa.Array:
    """Return a boolean column, null where not ``known``."""
    count = int(np.count_nonzero(known))
    if not count:
        return nulls(len(known), np.dtype(np.bool_))
    bitmap = None if count == len(known) else _bits(known)
    return pa.Array.from_buffers(
        pa.bool_(), len(known), [bitmap, _bits(values)], len(known) - count
    )


def index(numbers: IndexColumn, count: int) -> pa.Array:
    """Return an index column with ``count`` rows."""
    if numbers.constant is None:
        each = numbers.each()
        return nullable(each.view(np.uint32), each != NONE)
    if numbers.constant == NONE:
        return nulls(count, _UINT32)
    return pa.Array.from_buffers(
        _arrow_type(_UINT32), count, [None, _constant(numbers.constant, _room(count))], 0
    )


def nulls(count: int, dtype: np.dtype[Any]) -> pa.Array:
    """Return a column of nulls; all of them share one zeroed buffer."""
    zeros = _constant(0, _room(count * 2))
    return pa.Array.from_buffers(_arrow_type(dtype), count, [zeros, zeros], count)


def zeros(count: int) -> pa.Array:
    """Return an int32 column of zeros."""
    return pa.Array.from_buffers(pa.int32(), count, [None, _constant(0, _room(count))], 0)


def _bits(mask: Mask) -> pa.Buffer:
    return pa.py_buffer(np.packbits(mask, bitorder="little"))


def _room(count: int) -> int:
    """Round up to a power of two so that buffers are reused."""
    return 1 << max(10, (count - 1).bit_length())


@lru_cache(maxsize=16)
def _constant(number: int, room: int) -> pa.Buffer:
    """Return ``room`` copies of the 32-bit ``number``; read-only."""
    return pa.py_buffer(np.full(room, number, np.uint32))


@cache
def _arrow_type(dtype: np.dtype[Any]) -> pa.DataType:
    return pa.from_numpy_dtype(dtype)
