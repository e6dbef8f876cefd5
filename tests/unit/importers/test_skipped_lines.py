"""Skipping lines far from every report does not change the result."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from arenatrace.importers.wrappers.detect import unwrap
from tests.runs import runs
from tests.unit.importers.collect import STREAMS, capture, collect

#: All lines are of one writer: with several writers an unfinished report stays open longer.
_TEXTS = [capture(name) for name in STREAMS]
_NOISE = (
    "",
    "nothing to see here",
    "usb 1-1: new high-speed USB device number 2 using xhci_hcd",
    "ERROR: something else",
    # several of these exceed a block
    "y" * 1000,
    "  indented",
    "Call trace:",
    "bpf_prog_0123456789abcdef_x+0x1/0x2",
)


def _mixed(dice: random.Random) -> str:
    """Return reports among noise, some truncated, with split or joined lines."""
    lines: list[str] = []
    for _ in range(dice.randint(1, 6)):
        lines += [dice.choice(_NOISE)] * dice.choice([0, 1, 2, 3, 4, 5, 30, 200])
        report = dice.choice(_TEXTS).splitlines()
        first = dice.randrange(len(report)) if dice.random() < 0.3 else 0
        last = dice.randrange(first, len(report)) if dice.random() < 0.5 else len(report)
        for line in report[first:last]:
            chance = dice.random()
            cut = dice.randrange(len(line)) if line else 0
            if chance < 0.04:
                lines += [line[:cut], line[cut:]]
            elif chance < 0.06:
                lines += [line[:cut], dice.choice(_NOISE), line[cut:]]
            elif chance < 0.08 and lines:
                lines[-1] += line
            else:
                lines.append(line)
    lines += [dice.choice(_NOISE)] * dice.choice([0, 3, 200])
    return "\n".join(lines) + dice.choice(["", "\n"])


@settings(max_examples=runs(100), deadline=None)
@given(st.integers(0, 2**64))
def test_skipping_lines_does_not_change_the_reports(seed: int) -> None:
    text = _mixed(random.Random(seed))  # noqa: S311
    every, near = collect(text), collect(text, listed=False)
    # Skipping closes truncated reports earlier, so the order differs.
    assert Counter(map(repr, near.faults)) == Counter(map(repr, every.faults))
    assert Counter(near.other_reports) == Counter(every.other_reports)
    assert Counter(near.stamps) == Counter(every.stamps)
    # A line with only a timestamp counts as empty only when it is parsed.
    bare = sum(bool(line) and not unwrap(line).text for line in text.split("\n"))
    assert 0 <= near.text.unparsed - every.text.unparsed <= bare
    assert replace(near.text, unparsed=0) == replace(every.text, unparsed=0)
