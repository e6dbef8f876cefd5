"""Draw docs/pictures/*.svg from command output on the bundled samples.

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
#: Picture name to command and number of output lines.
_COMMANDS = {
    "summary": (("summary", "sample_traces/two-programs.atrace"), 40),
    "faults": (("faults", "sample_traces/two-programs.atrace", "--limit", "3"), 40),
}


def output(arguments: tuple[str, ...]) -> str:
    """Return the output of a command on a color terminal of ``_WIDTH`` columns."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, _WIDTH, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": ""}
    environment.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "arenatrace.cli", *arguments]
    with subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=slave) as process:
        os.close(slave)
        received = b""
        # Reading from a terminal with a closed other side fails with EIO.
        with contextlib.suppress(OSError):
            while data := os.read(master, 65536):
                received += data
    os.close(master)
    if process.returncode > 1:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return received.decode().replace("\r\n", "\n")


def draw(name: str, arguments: tuple[str, ...], lines: int) -> None:
    """Write one picture."""
    console = Console(record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.assemble(("$ ", "bold green"), f"arenatrace {' '.join(arguments)}"))
    visible = output(arguments).splitlines()[:lines]
    console.print(Text.from_ansi("\n".join(visible)))
    svg = console.export_svg(title="arenatrace", theme=MONOKAI, unique_id=name)
    # Without this the SVG downloads a font.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    _PICTURES.mkdir(exist_ok=True)
    (_PICTURES / f"{name}.svg").write_text(svg.replace("Fira Code", "DejaVu Sans Mono"))


if __name__ == "__main__":
    for picture, (command, count) in _COMMANDS.items():
        draw(picture, command, count)
