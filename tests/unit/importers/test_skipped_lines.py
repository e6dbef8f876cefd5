"""Lines far from every report are not looked at one by one: that must not change what is found."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from arenatrace.importers.wrappers.detect import unwrap
from tests.runs import runs
from tests.unit.importers.collect import STREAMS, capture, collect

#: All lines are of one writer: what one leaves unfinished waits longer where others write.
_TEXTS = [capture(name) for name in STREAMS]
_NOISE = (
    "",
    "nothing to see here",
    "usb 1-1: new high-speed USB device number 2 using xhci_hcd",
    "ERROR: something else",
    # many of these fill more than a block
    "y" * 1000,
    "  indented",
    "Call trace:",
    "bpf_prog_0123456789abcdef_x+0x1/0x2",
)


def _mixed(dice: random.Random) -> str:
    """Reports among noise, some of them broken off, with lines torn in two or glued."""
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
def test_what_is_found_does_not_depend_on_what_is_skipped(seed: int) -> None:
    text = _mixed(random.Random(seed))  # noqa: S311
    every, near = collect(text), collect(text, listed=False)
    # A report that broke off is handed out when that is noticed: sooner where lines are skipped.
    assert Counter(map(repr, near.faults)) == Counter(map(repr, every.faults))
    assert Counter(near.notes) == Counter(every.notes)
    assert Counter(near.stamps) == Counter(every.stamps)
    # A time without a text is an empty line only to one who looks at it.
    bare = sum(bool(line) and not unwrap(line).text for line in text.split("\n"))
    assert 0 <= near.text.unparsed - every.text.unparsed <= bare
    assert replace(near.text, unparsed=0) == replace(every.text, unparsed=0)
