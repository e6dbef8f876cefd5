"""The assembled C source: each header once, with its own line numbers; the wheel ships it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from arenatrace.capture.probes import source
from arenatrace.capture.probes.source import MAIN, probe_source, probes_dir
from arenatrace.errors import UnsupportedError
from tests.paths import ROOT
from tests.unit.capture.probes.probe_source import DIRECTORY

HEADERS = sorted(path.name for path in DIRECTORY.glob("*.h"))


def test_checkout_has_the_source() -> None:
    assert probes_dir() == DIRECTORY


def test_missing_source_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAIN", "no-such-file.c")
    with pytest.raises(UnsupportedError, match=r"no-such-file\.c is not installed"):
        probes_dir()


def test_every_header_is_included_once() -> None:
    included = Counter(
        re.findall(r'^#include "(.+)"$', (DIRECTORY / MAIN).read_text(), re.MULTILINE)
    )
    assert included == Counter(HEADERS)
    assert len(HEADERS) > 12


def test_no_quoted_include_is_left() -> None:
    """BCC compiles quoted includes without rewriting their map accesses."""
    assert '#include "' not in probe_source()
    assert all('#include "' not in (DIRECTORY / name).read_text() for name in HEADERS)


def test_files_fit_a_few_screens() -> None:
    lengths = {path.name: path.read_text().count("\n") for path in DIRECTORY.glob("*.[ch]")}
    assert {name: n for name, n in lengths.items() if n > 350} == {}


@pytest.mark.slow
def test_wheel_ships_every_file_of_the_source(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for name in (MAIN, *HEADERS):
            assert archive.read(f"arenatrace/probes/{name}") == (DIRECTORY / name).read_bytes()


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_compiler_errors_name_the_header_and_its_line(tmp_path: Path) -> None:
    """An #error at a known line of one header, as a compiler reports it."""
    broken = tmp_path / "probes"
    shutil.copytree(DIRECTORY, broken)
    header = broken / "at_pages.h"
    lines = header.read_text().splitlines()
    lines.insert(9, "#error here")
    header.write_text("\n".join(lines))
    (tmp_path / "text.c").write_text(probe_source(broken).replace("#include <", "// <"))
    command = ["cc", "-E", "-o", "/dev/null", str(tmp_path / "text.c")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "at_pages.h:10:" in result.stderr
