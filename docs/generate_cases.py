"""Write the output of the commands in docs/cases/*.md, by running them.

A code block that begins with ``$ arenatrace`` holds one command and its output. All blocks of a
page run in one copy of docs/cases, in order, so a block may read what an earlier one wrote.

Usage: python docs/generate_cases.py [--check]
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_CASES = Path(__file__).parent / "cases"
_BLOCK = re.compile(r"```console\n\$ arenatrace ([^\n]*)\n(.*?)```", re.DOTALL)


def output(words: str, directory: Path) -> str:
    """Return what a command prints on 80 columns, stdout and stderr; exits on a failure."""
    command = [sys.executable, "-m", "arenatrace.cli", *shlex.split(words)]
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
    result = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    # 1 means that the trace has faults
    if result.returncode > 1:
        raise SystemExit(f"arenatrace {words}: exit status {result.returncode}\n{result.stdout}")
    return result.stdout


def rewritten(page: Path) -> str:
    """Return the page with the present output of its commands."""
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary) / "cases"
        shutil.copytree(_CASES, directory)

        def block(found: re.Match[str]) -> str:
            text = output(found[1], directory).rstrip()
            return f"```console\n$ arenatrace {found[1]}\n{text}\n```"

        return _BLOCK.sub(block, page.read_text(encoding="utf-8"))


def main() -> None:
    """Write the pages, or with ``--check`` fail if one differs."""
    stale = []
    for page in sorted(_CASES.glob("*.md")):
        text = rewritten(page)
        if text != page.read_text(encoding="utf-8"):
            stale.append(page.name)
            if "--check" not in sys.argv:
                page.write_text(text, encoding="utf-8")
    if stale and "--check" in sys.argv:
        raise SystemExit(f"docs/cases: {', '.join(stale)} differ; run docs/generate_cases.py")


if __name__ == "__main__":
    main()
