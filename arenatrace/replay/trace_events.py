"""Read the events of a trace as segments for the model."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import polars as pl

from arenatrace.model import ops
from arenatrace.replay.encode import COLUMNS, FILLED, Ints, arrays, encode_columns
from arenatrace.replay.survey import Survey
from arenatrace.schema import Kind, OopsReason
from arenatrace.trace.reader import Trace

#: Rows per batch: one row group of a sealed trace.
BATCH_ROWS = 128 * 1024

_KINDS = [int(kind) for kind in ops.REPLAYED_KINDS]


def segments(
    trace: Trace, survey: Survey, arenas: Collection[int]
) -> Iterator[tuple[int, ops.Segment]]:
    """Yield (arena, segment) for each batch of the trace and each of ``arenas`` in it."""
    events = trace.scan("events").select(*COLUMNS, "oops_reason")
    programs = trace.scan("programs").select("prog", "arena").collect()
    owner = _owners(programs)
    wanted = (
        pl.col("kind").is_in(_KINDS)
        # A protection fault is not about a missing page: the model cannot check it.
        & pl.col("oops_reason").ne_missing(int(OopsReason.PROTECTION))
    ) & (pl.col("arena").is_in(list(arenas)) | (pl.col("kind") == int(Kind.LOST)))
    lost = pl.col("kind") == int(Kind.LOST)
    total = int(trace.scan("events").select(pl.len()).collect().item())
    for offset in range(0, total, BATCH_ROWS):
        rows = events.slice(offset, BATCH_ROWS).collect().filter(wanted).select(*FILLED)
        present = rows["arena"].unique().sort().to_list()
        if (rows["kind"] == int(Kind.LOST)).any():
            present = list(arenas)
        for arena in present:
            mine = rows.filter((pl.col("arena") == arena) | lost) if len(present) > 1 else rows
            if mine.height:
                yield arena, encode_columns(survey.arenas[arena], arrays(mine), owner, survey)


def _owners(programs: pl.DataFrame) -> Ints:
    """Return the arena of each program by index, -1 without a known arena."""
    owner = np.full(int(programs["prog"].max() or 0) + 1 if len(programs) else 1, -1, np.int64)  # type: ignore[arg-type]
    for prog, arena in programs.iter_rows():
        owner[prog] = -1 if arena is None else arena
    return owner
