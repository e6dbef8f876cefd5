"""Escaping of untrusted text for the terminal.

Users choose task names, map names, program names and source lines. Printed raw, they could move
the cursor, change colors, fake further lines or reorder text.
"""

from __future__ import annotations

_LAST_BYTE = 0xFF
_LAST_BMP = 0xFFFF


def harmless(text: str) -> str:
    r"""Return ``text`` with an escape for each non-printable character.

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
