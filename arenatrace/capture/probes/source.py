"""The C source of the probes as one text."""

from __future__ import annotations

import importlib.resources
import re
from pathlib import Path

from arenatrace.errors import UnsupportedError

MAIN = "arena.bpf.c"
_INCLUDE = re.compile(r'^#include "([\w.]+)"$')


def probes_dir() -> Path:
    """Return the directory of the C files: in an installed wheel, else in the checkout.

    Raises UnsupportedError if neither has them.
    """
    wheel = Path(str(importlib.resources.files("arenatrace"))) / "probes"
    checkout = Path(__file__).resolve().parents[3] / "probes"
    for directory in (wheel, checkout):
        if (directory / MAIN).is_file():
            return directory
    raise UnsupportedError(
        f"the probes' source {MAIN} is not installed with this package",
        "reinstall arenatrace from its wheel or run it from a checkout",
    )


def probe_source(directory: Path | None = None) -> str:
    """Return the main file with the text of each quoted header in place of its #include.

    BCC rewrites map accesses and finds probes in the main file alone
    (src/cc/frontends/clang/b_frontend_action.cc), so headers with probes cannot be included.
    ``#line`` lines make compiler errors name the header.
    """
    directory = directory or probes_dir()
    lines = [f'#line 1 "{MAIN}"']
    for number, line in enumerate((directory / MAIN).read_text().splitlines(), 1):
        header = _INCLUDE.match(line)
        if header is None:
            lines.append(line)
            continue
        lines.append(f'#line 1 "{header[1]}"')
        lines += (directory / header[1]).read_text().splitlines()
        lines.append(f'#line {number + 1} "{MAIN}"')
    return "\n".join(lines) + "\n"
