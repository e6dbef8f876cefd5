"""Memory of the import is independent of the text size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.importers.collect import capture, collect

pytestmark = pytest.mark.slow

_MIB = 1 << 20
_BYTES = 200 * _MIB

# Prints the peak RSS before and after, in KiB.
_CODE = """
import resource, sys, pyarrow.parquet, polars
from arenatrace.cli.app import run
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
assert run(["import", "-", "-o", sys.argv[1]]) == 0
print(before, peak())
"""


def test_import_memory_does_not_grow_with_the_text(tmp_path: Path) -> None:
    line = b"Nov 21 02:37:01 host systemd[1]: nothing to see here, and that many times over\n"
    quiet = line * (4 * _MIB // len(line))
    report = capture("stream-7.3-rc7.txt").encode()
    rounds = _BYTES // (len(quiet) + len(report))
    process = subprocess.Popen(
        [sys.executable, "-c", _CODE, str(tmp_path / "big.atrace")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for _ in range(rounds):
        process.stdin.write(quiet)
        process.stdin.write(report)
    process.stdin.close()
    before, after = map(int, process.stdout.read().split())
    process.stdout.close()
    assert process.wait() == 0
    assert (after - before) * 1024 < 64 * _MIB


def test_overlong_line_is_split() -> None:
    text = capture("stream-7.3-rc7.txt")
    found = collect(b"x" * (2 * _MIB) + b"\n" + text.encode(), listed=False)
    assert len(found.faults) == 4


def test_report_is_found_at_any_offset_among_skipped_blocks() -> None:
    text = capture("stream-7.3-rc7.txt")
    want = collect(text).faults
    for lead in range(65_000, 68_000, 97):
        filler = ("y" * 79 + "\n") * (lead // 80) + "z" * (lead % 80) + "\n"
        found = collect(filler + text + filler * 3 + text, listed=False)
        assert found.faults == want * 2
        lines = (filler + text + filler * 3 + text).splitlines()
        assert found.text.lines == len(lines)
        assert found.text.unparsed == len(filler.splitlines()) * 4
