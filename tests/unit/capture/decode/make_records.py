"""Event records as the ring hands them out."""

from __future__ import annotations

from typing import Any

import numpy as np

from arenatrace.capture.ring.ring_buffer import RECORD, Records
from arenatrace.schema import Kind

#: Every member of a record has a value that shows where it must not.
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
    """One event; what is not given has a value that is not zero where that can be."""
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
