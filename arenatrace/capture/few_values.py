"""Number the different values of a column that has few of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[Any]

#: Values looked for one by one; what is left after that is sorted.
_ONE_BY_ONE = 12


def codes_of(*columns: Ints) -> tuple[Ints, list[int]]:
    """A code from 0 for each row, and for each code a row that has it.

    Rows that are alike in all ``columns`` have the same code.
    Tasks and arenas are few: comparing with each is several times faster than sorting.
    """
    count = len(columns[0])
    codes = np.zeros(count, np.int32)
    todo = np.ones(count, np.bool_)
    rows: list[int] = []
    while len(rows) < _ONE_BY_ONE:
        row = int(np.argmax(todo)) if count else 0
        if not count or not todo[row]:
            return codes, rows
        same = columns[0] == columns[0][row]
        for column in columns[1:]:
            same &= column == column[row]
        if not rows and same.all():
            return codes, [row]
        np.copyto(codes, len(rows), where=same)
        todo &= ~same
        rows.append(row)
    left = np.flatnonzero(todo)
    if left.size:
        packed = np.stack([column[left] for column in columns], axis=1)
        _, first, which = np.unique(packed, axis=0, return_index=True, return_inverse=True)
        codes[left] = which.reshape(-1) + len(rows)
        rows += left[first].tolist()
    return codes, rows
