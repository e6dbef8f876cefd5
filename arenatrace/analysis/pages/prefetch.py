"""Make the next item while the last one is being used."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """``items``, of which one is made in advance by another thread.

    Worth it where both sides spend their time in numpy and polars, which let go of the
    interpreter meanwhile. What ``items`` raises is raised here.
    """
    with ThreadPoolExecutor(1, "ahead") as thread:
        following = thread.submit(next, items, None)
        while (item := following.result()) is not None:
            following = thread.submit(next, items, None)
            yield item
