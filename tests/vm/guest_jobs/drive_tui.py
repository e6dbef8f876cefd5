"""Live, in a real terminal, while the workload faults: run in the guest by test_tui.py.

usage: python drive_tui.py BUILD

Leaves SCENE.txt, the screen at each scene, in $LAB_OUT, and live.atrace, what was recorded.
Ends with a traceback if something does not come onto the screen.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import terminal as beside  # type: ignore[import-not-found]

#: The file terminal.py lies beside this one in the guest.
Terminal: Any = beside.Terminal

OUT = Path(os.environ["LAB_OUT"])
TRACE = OUT / "live.atrace"
#: Everything is emulated; compiling the probes alone takes most of a minute.
PATIENT_S = 360.0


def keep(scene: str, screen: str) -> None:
    """Leave a screen for the test."""
    (OUT / f"{scene}.txt").write_text(screen, encoding="utf-8")


def live(terminal: Any, build: Path) -> None:
    """The fault appears, is opened, tells its program and line; then the end."""
    terminal.type(f"arenatrace tui --live -o {TRACE}")
    keep("waiting", terminal.see("● recording ", "faults appear here", timeout_s=PATIENT_S))
    told = ["--truth", str(OUT / "two.json"), "--streams", str(OUT / "two.streams")]
    workload = [str(build / "wl"), "two", *told]
    subprocess.run(workload, check=True, stdout=subprocess.DEVNULL)
    terminal.see("25 arena faults", "use-after-free", timeout_s=PATIENT_S)
    keep("overview", terminal.see("alpha_arena", "beta_arena", timeout_s=PATIENT_S))
    terminal.press("Enter")
    keep("faults", terminal.see("2 of 25 faults", timeout_s=PATIENT_S))
    terminal.press("Enter")
    keep("fault", terminal.see("because", "Call stack", timeout_s=PATIENT_S))
    terminal.press("q")
    keep("after-quit", terminal.wait_for_shell(timeout_s=PATIENT_S))


def killed(terminal: Any) -> None:
    """SIGTERM while a recording runs: the terminal is sane, the recorder gone, the trace kept."""
    folder = OUT / "killed"
    folder.mkdir()
    pid = folder / "pid"
    terminal.type(
        f"sh -c 'echo $$ > {pid}; exec arenatrace tui --live -o {folder}/run.atrace --level faults'"
    )
    terminal.see("● recording ", "faults appear here", timeout_s=PATIENT_S)
    subprocess.run(["kill", "-TERM", pid.read_text().strip()], check=True)
    keep("after-term", terminal.wait_for_shell(timeout_s=PATIENT_S))
    left = subprocess.run(
        ["pgrep", "-f", "cli record"], check=False, capture_output=True, text=True
    )
    keep("recorders-left", left.stdout)


def main() -> int:
    """Both scenes, each in a terminal of its own."""
    build = Path(sys.argv[1])
    subprocess.run(["insmod", build / "arenapoke.ko"], check=True)
    environment = {"TERM": "tmux-256color", "LANG": "C.UTF-8", "PATH": os.environ["PATH"]}
    scenes: dict[str, Callable[[Any], None]] = {
        "live": partial(live, build=build),
        "killed": killed,
    }
    for name, scene in scenes.items():
        with Terminal(Path(f"/run/tmux-{name}"), (120, 40), environment) as terminal:
            terminal.see("ready>")
            try:
                scene(terminal)
            finally:
                keep(f"{name}-last", terminal.screen())
                listing = ["ps", "-eLo", "pid,tid,stat,time,wchan:24,args"]
                told = subprocess.run(listing, check=False, capture_output=True, text=True)
                keep(f"{name}-processes", told.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
