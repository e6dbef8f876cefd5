"""Event records as the ring reader returns them."""

from __future__ import annotations

from typing import Any

import numpy as np

from arenatrace.capture.ring.ring_buffer import RECORD, Records
from arenatrace.schema import Kind

#: Non-zero defaults, so that a member decoded by mistake is visible.
_NOISE: dict[str, int | bytes] = {
    "ts_ns": 1000,
    "arena": 0,
    "addr": 0x7F00_1000_3000,
    "ret": 0,
    "ip": 0xFFFF_FFFF_8100_1234,
    "pid": 40,
    "tid": 41,
    "pages": 3,
    "error_code": 2,
    "stack": 0,
    "cpu": 6,
    "flags": 0,
    "comm": b"task",
}


def event(kind: Kind, **values: int | bytes) -> dict[str, Any]:
    """Return one event; members not given have a non-zero value where possible."""
    return {**_NOISE, "kind": int(kind), **values}


def records(*events: dict[str, Any]) -> Records:
    """The events as the array the ring reader returns."""
    array = np.zeros(len(events), RECORD)
    for at, values in enumerate(events):
        for name, value in values.items():
            if name in ("addr", "arena"):
                value &= 0xFFFF_FFFF_FFFF_FFFF
            if name == "ret" and value >= 1 << 63:
                value -= 1 << 64
            array[name][at] = value
    return array
