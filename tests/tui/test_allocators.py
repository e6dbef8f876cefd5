"""Memory that a diagnosis gave back leaves the process soon; nothing else is changed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_USE = """
import os, sys
before = dict(os.environ)
from arenatrace.tui.allocators import return_memory_early
assert "polars" not in sys.modules
return_memory_early()
assert dict(os.environ) == before
import polars
polars.DataFrame({"a": [2, 1]}).sort("a")
"""


@pytest.mark.parametrize(("own", "arenas"), [("", 2), ("narenas:3,", 3)])
def test_polars_takes_two_pools_unless_told_otherwise(own: str, arenas: int) -> None:
    environment = {**os.environ, "_RJEM_MALLOC_CONF": f"{own}stats_print:true"}
    done = subprocess.run(
        [sys.executable, "-c", _USE], env=environment, capture_output=True, text=True, check=True
    )
    said = done.stdout + done.stderr
    if "jemalloc statistics" not in said:
        pytest.skip("this polars was built without jemalloc")
    assert f"opt.narenas: {arenas}" in said
    assert "opt.dirty_decay_ms: 100 " in said
    assert "opt.muzzy_decay_ms: 0 " in said


def test_the_environment_is_as_it_was_when_nothing_was_set() -> None:
    environment = {**os.environ}
    environment.pop("_RJEM_MALLOC_CONF", None)
    subprocess.run([sys.executable, "-c", _USE], env=environment, check=True)


@pytest.mark.parametrize("start", ["_look(Path('none'))", "_live((), {})"])
def test_the_program_sets_them_before_anything_brings_polars(start: str) -> None:
    words = f"""
import sys
from pathlib import Path
from arenatrace.cli import tui
from arenatrace.tui import allocators
def set_them():
    assert "polars" not in sys.modules
    sys.exit(33)
allocators.return_memory_early = set_them
tui.no_terminal = lambda: ""
tui.{start}
"""
    done = subprocess.run(
        [sys.executable, "-c", words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 33, done.stderr
