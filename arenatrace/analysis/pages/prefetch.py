"""Prefetch of one item on a worker thread."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def prefetch(items: Iterator[Item]) -> Iterator[Item]:
    """Yield ``items`` while another thread computes the next one.

    This pays off where both sides spend their time in numpy and polars, which release the GIL.
    Exceptions from ``items`` are raised here.
    """
    with ThreadPoolExecutor(1, "prefetch") as thread:
        following = thread.submit(next, items, None)
        while (item := following.result()) is not None:
            following = thread.submit(next, items, None)
            yield item
