"""Compare best fit, including ties, with two independent oracles."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from arenatrace.model.kernel import range_tree
from arenatrace.model.kernel.range_tree import LowestFit, RangeTree
from tests.runs import runs
from tests.unit.model.oracles import NaiveFree, SizeTree

_OPERATION = st.tuples(
    st.sampled_from(("take", "take", "clear", "set", "set")),
    st.integers(0, 63),
    st.integers(1, 9),
)


@settings(max_examples=runs(1500), deadline=None)
@given(st.integers(1, 64), st.lists(_OPERATION, max_size=60), st.sampled_from((1, 4, 4096)))
def test_range_tree_equals_both_oracles(
    pages: int, operations: list[tuple[str, int, int]], large: int
) -> None:
    with patch.object(range_tree, "LARGE", large):
        _follow(pages, operations)


def _follow(pages: int, operations: list[tuple[str, int, int]]) -> None:
    tree, kernel, naive = RangeTree(), SizeTree(), NaiveFree(pages)
    tree.give(0, pages)
    kernel.insert(0, pages - 1)
    for name, start, count in operations:
        start %= pages
        count = min(count, pages - start)
        if name == "take":
            found = tree.find(count)
            assert found == kernel.find(count) == naive.find(count)
            assert tree.take(found, count) is (found >= 0)
            if found >= 0:
                kernel.clear(found, count)
                naive.clear(found, count)
        else:
            for one in (tree, kernel, naive):
                getattr(one, name)(start, count)
        assert tree.by_size() == [(node.start, node.size) for node in kernel.in_order()]
        assert tree.ranges() == sorted((one, end - one) for one, end, _ in naive.ranges)


def test_find_takes_the_last_inserted_of_equal_ranges() -> None:
    tree = RangeTree()
    tree.give(0, 32)
    tree.clear(0, 32)
    for start in (8, 0, 24, 16):
        tree.set(start, 2)
    assert tree.find(2) == 16
    tree.clear(0, 2)
    tree.set(0, 2)
    assert tree.find(1) == 0


def test_split_range_inserts_its_right_part_last() -> None:
    tree = RangeTree()
    tree.give(0, 9)
    tree.clear(4, 1)
    assert tree.by_size() == [(0, 4), (5, 4)]
    assert tree.find(4) == 5


def test_set_of_free_pages_keeps_the_order() -> None:
    tree = RangeTree()
    tree.give(0, 2)
    tree.give(4, 2)
    tree.set(0, 2)
    assert tree.find(2) == 4


def test_take_of_other_pages_than_the_best_fit_changes_nothing() -> None:
    tree = RangeTree()
    tree.give(0, 2)
    tree.give(4, 2)
    assert not tree.take(0, 2)
    assert not tree.take(-1, 2)
    assert tree.find(2) == 4
    assert not tree.take(4, 3)


def test_removed_ranges_leave_no_entries() -> None:
    tree = RangeTree(4096)
    tree.set_all()
    for round_ in range(9000):
        assert tree.take(tree.find(1 + round_ % 3), 1)
        tree.give(0, 1)
    assert tree.ranges() == [(0, 4096)]
    assert tree.buckets == {4096: {0: None}}
    assert tree.large == [4096]
    assert not any(tree.small)


def test_maple_tree_takes_the_lowest_gap() -> None:
    tree = LowestFit()
    tree.give(0, 3)
    tree.give(8, 1)
    tree.give(16, 2)
    assert tree.find(2) == 0
    assert tree.take(0, 2)
    assert tree.find(2) == 16
    assert tree.find(3) == -1
    assert not tree.take(2, 2)
