"""Dictionary codes: equal rows get equal codes, for any number of values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenatrace.capture.decode.dictionary_codes import dictionary_codes

_PAIRS = st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2)), max_size=60)


@given(_PAIRS | st.lists(st.tuples(st.integers(0, 40), st.integers(0, 1)), max_size=200))
def test_codes_differ_exactly_when_rows_differ(rows: list[tuple[int, int]]) -> None:
    columns = [np.array([row[at] for row in rows], np.uint64) for at in (0, 1)]
    codes, firsts = dictionary_codes(*columns)
    each = codes.tolist() if codes is not None else [0] * len(rows)
    assert [rows[firsts[code]] for code in each] == rows
    assert len({rows[first] for first in firsts}) == len(firsts)
    assert sorted(set(each)) == list(range(len(firsts)))
    assert (codes is None) == (len(set(rows)) <= 1)


@pytest.mark.parametrize("different", [2, 12, 13, 100])
def test_any_number_of_values(different: int) -> None:
    values = np.arange(1000, dtype=np.uint64) % different
    codes, firsts = dictionary_codes(values)
    assert codes is not None
    assert len(firsts) == different
    assert (values[firsts][codes] == values).all()
