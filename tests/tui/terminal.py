"""A tmux terminal under test control. Needs only the standard library.

The lab copies this file into the guest, see tests/vm/guest_jobs/drive_tui.py.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType


class NotSeenError(AssertionError):
    """Something did not come onto the screen; the message has the screen."""


class Terminal:
    """A tmux server of its own with one window, in which a shell runs."""

    def __init__(
        self, socket: Path, size: tuple[int, int], environment: Mapping[str, str] | None = None
    ) -> None:
        self._tmux = ["tmux", "-u", "-S", str(socket), "-f", "/dev/null"]
        settings = [f"{name}={value}" for name, value in (environment or {}).items()]
        variables = [word for one in settings for word in ("-e", one)]
        shape = ["-x", str(size[0]), "-y", str(size[1])]
        # COLUMNS and LINES of the caller would override the size of the window
        shell = ["env", "-u", "COLUMNS", "-u", "LINES", "PS1=ready> ", "sh"]
        self._run("new-session", "-d", "-s", "test", *shape, *variables, *shell)
        # otherwise a key right after Escape counts as Alt plus that key
        self._run("set-option", "-s", "escape-time", "0")

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)

    def _run(self, *words: str) -> str:
        done = subprocess.run([*self._tmux, *words], check=True, capture_output=True, text=True)
        return done.stdout

    def type(self, line: str) -> None:
        """Type a line into the shell."""
        self._run("send-keys", "-l", line)
        self._run("send-keys", "Enter")

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        self._run("send-keys", *keys)

    def screen(self) -> str:
        """Return the screen."""
        return self._run("capture-pane", "-p")

    def see(self, *wanted: str, timeout_s: float = 60.0) -> str:
        """Wait until all of ``wanted`` is on the screen; return the screen."""
        end = time.monotonic() + timeout_s
        while True:
            screen = self.screen()
            if all(one in screen for one in wanted):
                return screen
            if time.monotonic() > end:
                raise NotSeenError(f"not seen: {wanted}\n{screen}")
            time.sleep(0.1)

    def resize(self, columns: int, lines: int) -> None:
        """Change the size of the window."""
        self._run("resize-window", "-x", str(columns), "-y", str(lines))

    def sane(self) -> bool:
        """Return whether alternate screen and mouse are off and the cursor is on."""
        state = self._run(
            "display-message",
            "-p",
            "#{alternate_on}#{mouse_any_flag}#{mouse_button_flag}#{mouse_all_flag}#{cursor_flag}",
        )
        return state.strip() == "00001"

    def wait_for_shell(self, timeout_s: float = 60.0) -> str:
        """Wait for the shell and a restored terminal; return the screen."""
        end = time.monotonic() + timeout_s
        while self._run("display-message", "-p", "#{alternate_on}").strip() != "0":
            if time.monotonic() > end:
                raise NotSeenError(f"the alternate screen stays\n{self.screen()}")
            time.sleep(0.1)
        self.type("echo status $?-$((6 * 7))")
        screen = self.see("-42", timeout_s=timeout_s)
        # with echo on, the typed command is on the screen as well
        if "echo status" not in screen or not self.sane():
            raise NotSeenError(f"the terminal is not sane\n{screen}")
        return screen
