"""Dictionary-encode low-cardinality columns."""

from __future__ import annotations

import numpy as np

from arenatrace.capture.decode.arrays import Ints, Mask

#: Values that are searched one by one; the rest is sorted.
_ONE_BY_ONE = 12


def dictionary_codes(*columns: Ints) -> tuple[Ints | None, list[int]]:
    """Return a code from 0 for each row, and for each code a row that has it.

    Rows equal in all ``columns`` have the same code. If all rows are equal, there are no codes.
    There are few tasks and arenas: comparing with each is several times faster than sorting.
    """
    count = len(columns[0])
    if not count:
        return None, []
    same = _like(columns, 0)
    if same.all():
        return None, [0]
    todo = ~same
    # bytes while they suffice: one instruction handles four times as many
    codes = np.zeros(count, np.uint8)
    rows = [0]
    while len(rows) < _ONE_BY_ONE:
        row = int(todo.argmax())
        if not todo[row]:
            return codes.astype(np.int32), rows
        same = _like(columns, row)
        codes |= same.view(np.uint8) * np.uint8(len(rows))
        todo &= ~same
        rows.append(row)
    wide = codes.astype(np.int32)
    left = np.flatnonzero(todo)
    if left.size:
        packed = np.stack([column[left] for column in columns], axis=1)
        _, first, which = np.unique(packed, axis=0, return_index=True, return_inverse=True)
        wide[left] = which.reshape(-1) + len(rows)
        rows += left[first].tolist()
    return wide, rows


def _like(columns: tuple[Ints, ...], row: int) -> Mask:
    """Return which rows equal ``row``."""
    same: Mask = columns[0] == columns[0][row]
    for column in columns[1:]:
        same &= column == column[row]
    return same
