"""Draw docs/pictures/*.svg: real output of the command line on the bundled samples.

Usage: python docs/generate_pictures.py
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

_ROOT = Path(__file__).parents[1]
_PICTURES = Path(__file__).parent / "pictures"
_WIDTH = 100
#: Picture to the command it shows, and how many lines of its output.
_SHOWN = {
    "summary": (("summary", "sample_traces/two-programs.atrace"), 40),
    "faults": (("faults", "sample_traces/two-programs.atrace", "--limit", "3"), 40),
}


def output(words: tuple[str, ...]) -> str:
    """What the command prints on a colour terminal of our width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, _WIDTH, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": ""}
    environment.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "arenatrace.cli", *words]
    with subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=theirs) as process:
        os.close(theirs)
        said = b""
        # a terminal whose other side is closed answers with EIO
        with contextlib.suppress(OSError):
            while data := os.read(ours, 65536):
                said += data
    os.close(ours)
    if process.returncode > 1:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return said.decode().replace("\r\n", "\n")


def draw(name: str, words: tuple[str, ...], lines: int) -> None:
    """Write one picture."""
    console = Console(record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.assemble(("$ ", "bold green"), f"arenatrace {' '.join(words)}"))
    shown = output(words).splitlines()[:lines]
    console.print(Text.from_ansi("\n".join(shown)))
    svg = console.export_svg(title="arenatrace", theme=MONOKAI, unique_id=name)
    # the font is fetched from elsewhere otherwise; the reader's own monospace does as well
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    _PICTURES.mkdir(exist_ok=True)
    (_PICTURES / f"{name}.svg").write_text(svg.replace("Fira Code", "DejaVu Sans Mono"))


if __name__ == "__main__":
    for picture, (command, count) in _SHOWN.items():
        draw(picture, command, count)
