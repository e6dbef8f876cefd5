"""A decoder with one arena and one program, and its rows."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from arenatrace.capture.decode.decoder import Decoder
from arenatrace.capture.identity.ledger import Ledger
from arenatrace.schema import GUARD_SZ, Kind
from arenatrace.trace.arrow_schema import arrow_schema
from tests.unit.capture.decode.make_records import event, records
from tests.unit.capture.ring.make_notes import (
    KERN_VM,
    PTR,
    START,
    arena_note,
    prog_note,
)

KERN = KERN_VM + GUARD_SZ // 2


USER = 0x7F00_1000_0000


IP = 0xFFFF_FFFF_8100_1234


def new_ledger() -> Ledger:
    """One arena, mapped, and one program, both enumerated."""
    ledger = Ledger({31: "syscall"}, set())
    ledger.note(arena_note(1, preexisting=True, user_vm_start=USER, id=3))
    ledger.note(prog_note(2, preexisting=True, arena=PTR))
    return ledger


def new_decoder() -> Decoder:
    return Decoder(new_ledger())


def decode_rows(batch: pa.RecordBatch | None) -> list[dict[str, Any]]:
    assert batch is not None
    batch.validate(full=True)
    assert batch.schema.equals(arrow_schema("events"))
    rows: list[dict[str, Any]] = batch.to_pylist()
    return rows


def decode_one(decoder: Decoder, values: dict[str, Any]) -> dict[str, Any]:
    (row,) = decode_rows(decoder.batch(records(values)))
    return row


KERNEL = event(Kind.KERNEL_FAULT, arena=PTR, addr=KERN, ret=START)
