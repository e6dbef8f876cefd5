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
def test_polars_uses_two_pools_unless_the_user_sets_more(own: str, arenas: int) -> None:
    environment = {**os.environ, "_RJEM_MALLOC_CONF": f"{own}stats_print:true"}
    done = subprocess.run(
        [sys.executable, "-c", _USE], env=environment, capture_output=True, text=True, check=True
    )
    output = done.stdout + done.stderr
    if "jemalloc statistics" not in output:
        pytest.skip("this polars was built without jemalloc")
    assert f"opt.narenas: {arenas}" in output
    assert "opt.dirty_decay_ms: 100 " in output
    assert "opt.muzzy_decay_ms: 0 " in output


def test_environment_is_restored() -> None:
    environment = {**os.environ}
    environment.pop("_RJEM_MALLOC_CONF", None)
    subprocess.run([sys.executable, "-c", _USE], env=environment, check=True)


@pytest.mark.parametrize("start", ["_browse(Path('none'))", "_live((), {})"])
def test_command_sets_allocators_before_polars_is_imported(start: str) -> None:
    script = f"""
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
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 33, done.stderr
