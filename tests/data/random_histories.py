"""Random histories of many arenas in one trace, as toolkit rows and as oracle worlds."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from arenatrace.schema import Kind, Outcome
from arenatrace.trace.meta import Probes
from tests.data.trace_builder import KERN, TraceBuilder, sample_meta
from tests.unit.analysis.oracle.world import BAND, GUARD, PAGE, RACE, Event, World

#: User addresses of page 0: NULL is page 0, NULL lies outside, NULL is the page before page 0.
USERS = (0x7F00_0000_0000, 0x7F00_1000_0000, 0x7F00_0000_1000)
SIZE = 6
START = 10_000_000_000
CREATED = 9_000_000_000
_U32 = (1 << 32) - 1
_PROBES_WITHOUT_USER_FAULTS = (
    "arena_alloc_pages",
    "arena_free_pages",
    "bpf_arena_reserve_pages",
)

GAPS = [0, 1, 700, RACE // 2, RACE, RACE + 1, 10 * RACE, 100 * RACE, 4_999_999_999, 5_000_000_000]
WHATS = [
    *["alloc"] * 4, *["free"] * 3, *["free-later"] * 2, *["drain"] * 2,
    *["reserve"] * 2, *["user"] * 3, *["fault"] * 8,
]  # fmt: skip
ODD_PLACES = ["null", "past", "before", "far", "upper-guard", "lower-guard"]
OFFSETS = [0, 8, 2048, 4095]
#: First page and number of pages of rows that no kernel produces.
ODD_RANGES = [(_U32, 1), (SIZE, 3), (1 << 20, _U32), (None, 2), (1, 0), (1, None), (0, _U32)]

_KINDS = {
    "alloc": Kind.PAGE_ALLOC,
    "free": Kind.PAGE_FREE,
    "free-later": Kind.PAGE_FREE,
    "drain": Kind.FREE_DRAIN,
    "reserve": Kind.PAGE_RESERVE,
    "user": Kind.USER_FAULT,
}


def random_history(dice: random.Random, most: int) -> dict[str, Any]:
    """Return one arena with up to ``most`` operations."""
    chance = dice.random
    operations = []
    for _ in range(dice.randint(5, most)):
        operations.append(_random_operation(dice))
        if chance() < 0.04:
            operations.append({**operations[-1], "gap": 0})
    return {
        "operations": operations,
        "user": dice.choice(USERS),
        "old": chance() < 0.3,
        "destroyed": chance() < 0.5,
    }


def _random_operation(dice: random.Random) -> dict[str, Any]:
    chance = dice.random
    place = dice.randrange(SIZE) if chance() < 0.8 else dice.choice(ODD_PLACES)
    pages = (dice.randrange(SIZE), dice.choice([1, 1, 1, 2, 3]))
    return {
        "gap": dice.choice(GAPS if chance() < 0.3 else GAPS[:5]),
        "what": dice.choice(WHATS),
        "range": pages if chance() < 0.97 else dice.choice(ODD_RANGES),
        "ok": chance() < 0.75,
        "tid": dice.randint(1, 2),
        "side": dice.choice(["kernel", "kernel", "prog"]),
        "already": chance() < 0.3,
        "place": place,
        "offset": dice.choice(OFFSETS),
    }


def _random_loss(dice: random.Random) -> tuple[int, int | None, bool]:
    """Return the time of the mark, the start if known, and whether pages are concerned."""
    mark = START + dice.randrange(60) * RACE * 1000
    since = mark - dice.randrange(3_000) * RACE if dice.random() < 0.5 else None
    return mark, since, dice.random() < 0.7


def random_trace(dice: random.Random, *, arenas: int, most: int) -> dict[str, Any]:
    """Return many arenas and the conditions of their recording."""
    chance = dice.random
    marks = dice.randint(1, 3) if chance() < 0.4 else 0
    return {
        "histories": [random_history(dice, most) for _ in range(arenas)],
        "lost": [_random_loss(dice) for _ in range(marks)],
        "undated_losses": chance() < 0.1,
        "level": "faults" if chance() < 0.08 else "pages",
        "lacks_user_faults": chance() < 0.2,
        "sticky": chance() < 0.15,
        "shuffled": chance() < 0.3,
    }


class RandomTrace:
    """A drawn trace, as rows for the toolkit and as one oracle world per arena."""

    def __init__(self, drawn: dict[str, Any]) -> None:
        self._drawn = drawn
        self.builder = TraceBuilder(
            meta=sample_meta(
                level=drawn["level"],
                lost={"ring": 1000} if drawn["undated_losses"] else {},
                probes=Probes(
                    attached=_PROBES_WITHOUT_USER_FAULTS if drawn["lacks_user_faults"] else ()
                ),
                profile="scratch-sticky" if drawn["sticky"] else None,
            )
        )
        self.arenas: list[dict[str, Any]] = []
        per_arena = [_Timeline(i, h).rows for i, h in enumerate(drawn["histories"])]
        lost = [
            _lost_row(ts, since, concerns_pages=concerns_pages)
            for ts, since, concerns_pages in sorted(drawn["lost"], key=lambda loss: loss[0])
        ]
        rows = sorted((row for rows in [*per_arena, lost] for row in rows), key=_time)
        for kind, event, columns in rows:
            ts, arena = event["ts"], event["arena"]
            event["seq"] = self.builder.event(
                kind, ts_ns=ts, arena=arena, tid=event.get("tid"), **columns
            )
        for index, history in enumerate(drawn["histories"]):
            self._arena(history, per_arena[index])
        self._losses = [event for _, event, _ in lost]
        self._events = [[event for _, event, _ in rows] for rows in per_arena]
        if drawn["shuffled"]:
            random.Random(1).shuffle(self.builder.rows["events"])  # noqa: S311

    def _arena(self, history: dict[str, Any], rows: list[Row]) -> None:
        end = max([START, *(event["ts"] for _, event, _ in rows)])
        row = {
            "preexisting": history["old"],
            "created": None if history["old"] else CREATED,
            "destroyed": end + 5 if history["destroyed"] else None,
        }
        self.builder.arena(
            user_vm_start=history["user"],
            max_entries=SIZE,
            preexisting=row["preexisting"],
            create_ts_ns=row["created"],
            destroy_ts_ns=row["destroyed"],
        )
        self.arenas.append(row)

    def world(self, arena: int) -> World:
        """Return the oracle world of one arena, its events in time order."""
        events = sorted([*self._events[arena], *self._losses], key=lambda e: (e["ts"], e["seq"]))
        return World(
            events,
            self.arenas,
            level=self._drawn["level"],
            lacks_user_faults=self._drawn["lacks_user_faults"],
            has_undated_losses=self._drawn["undated_losses"],
            sticky=self._drawn["sticky"],
        )

    def write(self, directory: str) -> Path:
        """Write the trace below ``directory``."""
        return self.builder.write(Path(directory) / "t", seal=False, batch_rows=100_000)


Row = tuple[Kind, Event, dict[str, Any]]


def _time(row: Row) -> int:
    ts: int = row[1]["ts"]
    return ts


def _lost_row(ts: int, since: int | None, *, concerns_pages: bool) -> Row:
    kind = Kind.PAGE_FREE if concerns_pages else Kind.KERNEL_FAULT
    event = {
        "arena": None,
        "what": "lost",
        "concerns_pages": concerns_pages,
        "ts": ts,
        "since": since,
    }
    return Kind.LOST, event, {"ret": int(kind), "since_ts_ns": since}


class _Timeline:
    """Events of one arena, timed by their gaps."""

    def __init__(self, index: int, history: dict[str, Any]) -> None:
        self._index = index
        self._user = history["user"]
        self._ts = START
        self.rows: list[Row] = []
        for operation in history["operations"]:
            self._ts += operation["gap"]
            if operation["what"] == "fault":
                self._fault(operation)
            else:
                self._operation(operation)

    def _add(self, kind: Kind, event: Event, columns: dict[str, Any]) -> None:
        self.rows.append((kind, {**event, "arena": self._index, "ts": self._ts}, columns))

    def _operation(self, drawn: dict[str, Any]) -> None:
        first, count = drawn["range"]
        what, ok = drawn["what"], drawn["ok"]
        if what == "user":
            count = 1
        addr = self._user + (first or 0) * PAGE
        columns: dict[str, Any] = {"addr": addr, "pgoff": first, "pages": count}
        if what == "alloc":
            columns["ret"] = addr if ok else 0
        elif what == "reserve":
            columns["ret"] = 0 if ok else -16
        elif what == "user":
            columns["outcome"] = int(Outcome.MAPPED if ok else Outcome.SIGSEGV)
            columns["pages"] = None
        elif what in ("free", "free-later"):
            columns["sleepable"] = what == "free"
        elif what == "drain":
            columns = {}
        # Without a number it is one page. No range reaches past the end of the arena.
        count = 1 if count is None else count
        count = 0 if first is None else max(0, min(count, SIZE - first))
        event = {"what": what, "first": first, "count": count, "ok": ok, "tid": drawn["tid"]}
        if not count and what != "drain":
            event["what"] = "nothing"
        self._add(_KINDS[what], event, columns)

    def _fault(self, drawn: dict[str, Any]) -> None:
        low = self._user & (BAND - 1)
        place, offset = drawn["place"], drawn["offset"]
        starts = {
            "null": 0,
            "past": (low + SIZE * PAGE) % BAND,
            "before": (low - PAGE) % BAND,
            "far": (low + 5000 * PAGE) % BAND,
            "upper-guard": BAND + PAGE,
            "lower-guard": -GUARD,
        }
        start = starts[place] if isinstance(place, str) else low + place * PAGE
        inside = 0 <= start < BAND
        page = (start - low) % BAND // PAGE if inside else None
        position = page if page is None or page < BAND // PAGE - 8 else page - BAND // PAGE
        outcome = _outcome(drawn)
        event = {
            "what": "fault",
            "tid": drawn["tid"],
            "side": drawn["side"],
            "page": page,
            "position": position,
            "offset": offset,
            "size": SIZE,
            "null": inside and start < PAGE,
            "outcome": outcome.label,
        }
        kind = Kind.KERNEL_FAULT if drawn["side"] == "kernel" else Kind.PROG_FAULT
        addr = KERN + self._index * (1 << 33) + start + offset
        columns = {"addr": addr, "pgoff": page, "write": False, "outcome": int(outcome)}
        self._add(kind, event, columns)


def _outcome(drawn: dict[str, Any]) -> Outcome:
    if drawn["side"] == "prog":
        return Outcome.ZEROED
    return Outcome.ALREADY_MAPPED if drawn["already"] else Outcome.SCRATCH_INSTALLED
