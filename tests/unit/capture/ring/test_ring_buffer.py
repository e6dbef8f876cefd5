"""The ring reader takes every finished record once, in order, and nothing else."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenatrace.capture.decode.decoder import Decoder
from arenatrace.capture.identity.ledger import Ledger
from arenatrace.capture.ring.ring_buffer import HEADER_BYTES, RECORD, MappedRing
from arenatrace.schema import EVENT_SIZE, Kind
from tests.unit.capture.decode.make_records import event, records
from tests.unit.capture.ring.ring_file import RingFile

SIZE = 4096
#: Whole events that fit; the rest of the ring is too short for another.
ROOM = SIZE // RECORD.itemsize


def _event(number: int) -> bytes:
    record = np.zeros(1, RECORD)
    record["ts_ns"] = number
    record["comm"] = f"n{number}".encode()
    return record.tobytes()[HEADER_BYTES:]


def _take(ring: MappedRing) -> list[int]:
    records, position = ring.events(ring.produced)
    numbers = [int(number) for number in records["ts_ns"]]
    ring.advance(position)
    return numbers


@pytest.fixture
def file() -> Iterator[RingFile]:
    ring_file = RingFile(SIZE)
    yield ring_file
    ring_file.close()


def test_event_has_the_wire_size() -> None:
    assert len(_event(1)) == EVENT_SIZE


def test_empty(file: RingFile) -> None:
    ring = file.open()
    records, position = ring.events(ring.produced)
    assert (len(records), position) == (0, 0)
    assert list(ring.notes()) == []


def test_every_field_is_read(file: RingFile) -> None:
    record = np.zeros(1, RECORD)
    names = [name for name in RECORD.names or () if name != "header"]
    for number, name in enumerate(names, 1):
        record[name] = f"c{number}".encode() if name == "comm" else number
    file.produce(record.tobytes()[HEADER_BYTES:])
    ring = file.open()
    records, _ = ring.events(ring.produced)
    assert len(records) == 1
    for name in names:
        assert records[name] == record[name]


def test_full_ring_is_read(file: RingFile) -> None:
    for number in range(ROOM):
        assert file.produce(_event(number))
    assert not file.produce(_event(ROOM))
    assert _take(file.open()) == list(range(ROOM))
    assert file.consumed == ROOM * RECORD.itemsize


def test_record_across_the_end_is_contiguous(file: RingFile) -> None:
    """Every possible alignment of the wrap-around inside a record."""
    ring = file.open()
    for number in range(20 * ROOM):
        file.produce(_event(number))
        assert _take(ring) == [number]
        assert ring.consumed == ring.produced == file.produced


def test_full_ring_is_read_from_the_middle(file: RingFile) -> None:
    file.start_at(5 * RECORD.itemsize + 7 * SIZE // 8 * 8)
    before = file.produced
    while file.produce(_event(file.produced - before)):
        pass
    ring = file.open()
    assert _take(ring) == [n * RECORD.itemsize for n in range(ROOM)]
    assert ring.consumed == file.produced


def test_positions_past_four_gibibytes(file: RingFile) -> None:
    file.start_at((1 << 33) + 16)
    file.produce(_event(1))
    ring = file.open()
    assert _take(ring) == [1]
    assert ring.consumed == (1 << 33) + 16 + RECORD.itemsize


def test_events_stop_at_the_given_position(file: RingFile) -> None:
    """Records produced after the producer position was read wait for the next read."""
    file.produce(_event(1))
    ring = file.open()
    until = ring.produced
    file.produce(_event(2))
    records, position = ring.events(until)
    assert records["ts_ns"].tolist() == [1]
    assert position == until


def test_decoded_rows_outlive_the_ring(file: RingFile) -> None:
    """Producers may overwrite records after the reader has advanced past them."""
    for record in records(event(Kind.PAGE_ALLOC, ret=0x1000), event(Kind.PAGE_FREE)):
        file.produce(record.tobytes()[HEADER_BYTES:])
    ring = file.open()
    taken, position = ring.events(ring.produced)
    batch = Decoder(Ledger({}, set())).batch(taken)
    assert batch is not None
    rows = batch.to_pylist()
    ring.advance(position)
    file._put(0, b"\xff" * 2 * RECORD.itemsize)
    assert (taken["ts_ns"] != 1000).all()
    assert batch.to_pylist() == rows


def test_space_is_not_freed_before_advance(file: RingFile) -> None:
    file.produce(_event(1))
    ring = file.open()
    ring.events(ring.produced)
    assert file.consumed == 0


def test_busy_record_stops_the_reader_until_committed(file: RingFile) -> None:
    file.produce(_event(1))
    busy = file.reserve(EVENT_SIZE)
    file.produce(_event(3))
    assert busy is not None
    ring = file.open()
    assert _take(ring) == [1]
    assert file.consumed == busy
    assert _take(ring) == []
    file.commit(busy, _event(2))
    assert _take(ring) == [2, 3]


def test_discarded_records_are_skipped(file: RingFile) -> None:
    for number in range(6):
        file.produce(_event(number), discard=number in (0, 3, 5))
    ring = file.open()
    assert _take(ring) == [1, 2, 4]
    assert ring.consumed == file.produced


def test_only_discarded_records(file: RingFile) -> None:
    file.produce(_event(1), discard=True)
    ring = file.open()
    assert _take(ring) == []
    assert ring.consumed == file.produced


def test_notes_of_any_length(file: RingFile) -> None:
    bodies = [bytes([n]) * n for n in (1, 7, 8, 9, 200, 152, 16)]
    for body in bodies:
        file.produce(body)
    ring = file.open()
    assert list(ring.notes()) == bodies
    assert ring.consumed == file.produced


def test_notes_skip_discarded_and_stop_at_busy_records(file: RingFile) -> None:
    file.produce(b"first")
    file.produce(b"given up", discard=True)
    busy = file.reserve(12)
    file.produce(b"last")
    assert busy is not None
    ring = file.open()
    assert list(ring.notes()) == [b"first"]
    assert file.consumed == busy
    file.commit(busy, b"done at last")
    assert list(ring.notes()) == [b"done at last", b"last"]
    assert ring.consumed == file.produced


def test_note_is_consumed_after_it_is_handled(file: RingFile) -> None:
    file.produce(b"first")
    file.produce(b"second")
    ring = file.open()
    notes = ring.notes()
    assert next(notes) == b"first"
    assert file.consumed == 0
    assert next(notes) == b"second"
    assert file.consumed == 16


class _Model:
    """Records in flight as plain Python: (place in the file, body or None, discarded)."""

    def __init__(self) -> None:
        self.queue: deque[tuple[int, bytes | None, bool]] = deque()

    def finish(self, which: int, body: bytes, *, discard: bool) -> None:
        at, _, _ = self.queue[which]
        self.queue[which] = (at, body, discard)

    def busy(self) -> list[int]:
        return [n for n, (_, body, _) in enumerate(self.queue) if body is None]

    def take(self) -> list[bytes]:
        taken = []
        while self.queue and self.queue[0][1] is not None:
            _, body, discarded = self.queue.popleft()
            if body is not None and not discarded:
                taken.append(body)
        return taken


def _play(data: st.DataObject, *, events: bool) -> None:
    """Random reserve, commit, discard and take, against the model."""
    file, model = RingFile(SIZE), _Model()
    file.start_at(data.draw(st.integers(0, 1 << 20)) * 8)
    ring = file.open()
    serial = 0
    for action in data.draw(st.lists(st.sampled_from(["make", "start", "end", "take"]))):
        serial += 1
        if action in ("make", "start"):
            length = EVENT_SIZE if events else data.draw(st.integers(1, 900))
            at = file.reserve(length)
            if at is None:
                continue
            model.queue.append((at, None, False))
        if action == "make" or (action == "end" and model.busy()):
            # the newest one, or any that is still being written
            which = len(model.queue) - 1
            if action == "end":
                which = data.draw(st.sampled_from(model.busy()))
            at = model.queue[which][0]
            length = file.length_of(at)
            body = _event(serial) if events else bytes([serial % 256]) * length
            discard = data.draw(st.booleans())
            file.commit(at, body, discard=discard)
            model.finish(which, body, discard=discard)
        if action == "take":
            if events:
                records, position = ring.events(ring.produced)
                ring.advance(position)
                found = [record.tobytes()[HEADER_BYTES:] for record in records]
            else:
                found = list(ring.notes())
            assert found == model.take()
            assert file.consumed == (model.queue[0][0] if model.queue else file.produced)
    file.close()


@settings(deadline=None)
@given(st.data())
def test_events_against_a_list(data: st.DataObject) -> None:
    _play(data, events=True)


@settings(deadline=None)
@given(st.data())
def test_notes_against_a_list(data: st.DataObject) -> None:
    _play(data, events=False)
