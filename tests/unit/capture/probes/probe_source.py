"""Probes and macros of the assembled C source, found by its text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from arenatrace.capture.probes.source import probe_source
from tests.paths import ROOT

DIRECTORY = ROOT / "probes"

_GUARDED = re.compile(r"^#ifdef (AT_PROBE_\w+)\n(.*?)^#endif", re.DOTALL | re.MULTILINE)
_PROBE = re.compile(r"^(KFUNC|KRETFUNC)_PROBE\(([^)]*)\)", re.MULTILINE)


@dataclass(frozen=True)
class Probe:
    """One probe: the macro that compiles it in, its type, function and parameters."""

    guard: str
    type: str
    function: str
    params: tuple[str, ...]


def text() -> str:
    """Return the assembled source without comments."""
    return re.sub(r"/\*.*?\*/", "", probe_source(DIRECTORY), flags=re.DOTALL)


def guarded() -> dict[str, str]:
    """Return AT_PROBE_* macro to the text that it compiles in."""
    return dict(_GUARDED.findall(text()))


def unguarded() -> str:
    """Return the text that is always compiled."""
    return _GUARDED.sub("", text())


def probes() -> list[Probe]:
    """Return every KFUNC_PROBE and KRETFUNC_PROBE."""
    found = []
    for guard, body in guarded().items():
        for kind, arguments in _PROBE.findall(body):
            function, *params = (part.strip() for part in arguments.split(","))
            found.append(Probe(guard, kind, function, tuple(params)))
    return found


def offset_macros(part: str) -> set[str]:
    """Return the AT_OFF_* macros that a text uses, directly or through AT_U64 and AT_U32."""
    direct = set(re.findall(r"AT_OFF_(\w+)", part))
    by_field = {
        _last_argument(part, match.end()) for match in re.finditer(r"AT_U(?:64|32)\(", part)
    }
    # "base, field" is the definition of the two macros themselves
    return {f"AT_OFF_{name}" for name in direct | by_field - {"field"}}


def _last_argument(part: str, start: int) -> str:
    depth, last = 1, start
    for at in range(start, len(part)):
        depth += {"(": 1, ")": -1}.get(part[at], 0)
        if depth == 0:
            return part[last:at].strip()
        if part[at] == "," and depth == 1:
            last = at + 1
    raise AssertionError("unbalanced parentheses")
