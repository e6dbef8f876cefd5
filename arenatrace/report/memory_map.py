"""Page states around an address as rows of letters, like KASAN's memory state dump."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from arenatrace.schema import PAGE_SIZE

#: Pages in a row, and rows before and after the row of the fault.
ROW = 16
ROWS_AROUND = 2

_LETTERS = {"free": ".", "allocated": "A", "reserved": "R", "scratched": "S", "unknown": "?"}
#: The same for pages with lost or unrecorded events since.
_UNSURE = {"free": ",", "allocated": "a", "reserved": "r", "scratched": "s", "unknown": "?"}
_OUTSIDE = " "

LEGEND = ". free  A allocated  R reserved  S scratch page  ? unknown   one letter: 4 KiB"
UNSURE_LEGEND = ", a r s: last recorded state; later events were lost or not recorded"


def memory_map(
    space: Sequence[dict[str, Any]], page: int, user_vm_start: int | None
) -> Iterator[str]:
    """Yield the rows of the map around ``page``, with a mark under it.

    Args:
        space: Page ranges in ascending order, with keys ``first``, ``pages``, ``state`` and
            ``sure``. Pages in no range are outside the arena.
        page: Page number of the fault.
        user_vm_start: User address of page 0; None leaves the addresses out.
    """
    row_of = page // ROW
    end = space[-1]["first"] + space[-1]["pages"] if space else 0
    for row in range(max(0, row_of - ROWS_AROUND), row_of + ROWS_AROUND + 1):
        first = row * ROW
        if first >= end and row != row_of:
            continue
        letters = " ".join(_letter(space, first + step) for step in range(ROW))
        row_address = "" if user_vm_start is None else f"0x{user_vm_start + first * PAGE_SIZE:x}  "
        head = f"  {row_address}page {first:>7}: "
        yield f"{head}{letters}".rstrip()
        if row == row_of:
            yield " " * (len(head) + 2 * (page - first)) + "^"


def _letter(space: Sequence[dict[str, Any]], page: int) -> str:
    for one in space:
        if one["first"] <= page < one["first"] + one["pages"]:
            return (_LETTERS if one["sure"] else _UNSURE)[one["state"]]
    return _OUTSIDE
