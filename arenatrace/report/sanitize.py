"""Text from a kernel or a trace, made safe to show.

Task names, map names, program names and source lines are chosen by whoever ran the
program. Shown as they are they could move the cursor, recolour the terminal, fake further
lines or reorder what is read.
"""

from __future__ import annotations

_LAST_BYTE = 0xFF
_LAST_BMP = 0xFFFF


def harmless(text: str) -> str:
    r"""``text`` with everything that is not a printable character shown as an escape.

    Control characters, newlines, escape sequences, bidirectional overrides, zero-width and
    unassigned characters and lone surrogates become ``\x1b``, ``\u202e``, ``\U000e0001``.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(ord(char)) for char in text)


def _escape(code: int) -> str:
    if code <= _LAST_BYTE:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= _LAST_BMP else f"\\U{code:08x}"
