"""Numbers of rows: the same whether or not all of them are one number."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from arenatrace.capture.decode.index_column import NONE, IndexColumn

_COUNT = 8
_WRITES = st.lists(
    st.tuples(st.integers(0, _COUNT), st.integers(0, _COUNT), st.sampled_from([NONE, 0, 3])),
    max_size=6,
)


@given(_WRITES, st.lists(st.booleans(), min_size=_COUNT, max_size=_COUNT))
def test_put_values_are_returned(writes: list[tuple[int, int, int]], keep: list[bool]) -> None:
    numbers, expected = IndexColumn(_COUNT), [NONE] * _COUNT
    for start, end, number in writes:
        numbers.put(slice(start, end), number)
        expected[start:end] = [number] * len(expected[start:end])
    assert numbers.each().tolist() == expected
    rows = np.array([0, 5])
    assert np.broadcast_to(numbers.of(rows), 2).tolist() == [expected[0], expected[5]]
    selected = [number for number, wanted in zip(expected, keep, strict=True) if wanted]
    assert numbers.only(np.array(keep)).each().tolist() == selected
    if numbers.constant is not None:
        assert set(expected) == {numbers.constant}


def test_single_row_takes_a_number_or_an_array() -> None:
    numbers = IndexColumn(3)
    numbers.put(slice(0, 3), 7)
    assert numbers.constant_or_each() == 7
    numbers.put(1, 2)
    numbers.put(slice(1, 3), np.array([5, 6], np.int32))
    assert not isinstance(numbers.constant_or_each(), int)
    assert numbers.each().tolist() == [7, 5, 6]
