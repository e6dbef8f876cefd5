"""What a recording is narrowed down to: arenas, programs, cgroups.

User space only says what is wanted; the probes decide, so that nothing else costs more than a
lookup. Arenas and programs are known to the probes by pointer: they find out for each one that
they enumerate, and for each that is made later, whether its id or name is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from arenatrace.capture.kernel.cgroup import Cgroup
from arenatrace.capture.ring.notes import ArenaNote, ProgNote
from arenatrace.errors import UsageError

#: Bytes of a name the kernel keeps of a map or program (BPF_OBJ_NAME_LEN without the zero).
NAME_BYTES = 15
#: How many of what there is are listed when something is not there.
MAX_LISTED = 20
#: Of each kind of filter; the probes' maps have room for them.
MAX_FILTERS = 64

_TAG = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Filters:
    """Arenas by id or name, programs by id, name or tag, and cgroups; empty: all.

    Different kinds narrow each other down, several of one kind add up. ``later``: a name that
    nothing has yet is no mistake.
    """

    arenas: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    cgroups: tuple[Cgroup, ...] = ()
    later: bool = False

    def __post_init__(self) -> None:
        for option, words in (
            ("--arena", self.arenas),
            ("--program", self.programs),
            ("--cgroup", self.cgroups),
        ):
            if len(words) > MAX_FILTERS:
                raise UsageError(
                    f"{option} given {len(words)} times", f"{MAX_FILTERS} times is the most"
                )
        for option, name in (
            *(("--arena", word) for word in self.arenas),
            *(("--program", word) for word in self.programs),
        ):
            if not name or "\0" in name:
                raise UsageError(f"{option} needs an id or a name", "bpftool map; bpftool prog")

    def __bool__(self) -> bool:
        return bool(self.arenas or self.programs or self.cgroups)

    def macros(self) -> tuple[str, ...]:
        """What compiles them into the probes."""
        found: list[str] = []
        if self.arenas:
            found.append("AT_FILTER_ARENA")
        if self.programs:
            found.append("AT_FILTER_PROG")
        if self.cgroups:
            tests = "||".join(
                f"bpf_get_current_ancestor_cgroup_id({each.level})=={each.id}ULL"
                for each in self.cgroups
            )
            found.append(f"AT_FILTER_CGROUP=({tests})")
        return tuple(found)

    def as_meta(self) -> dict[str, tuple[str, ...]]:
        """The filters as ``meta.json`` keeps them."""
        found = {
            "arena": self.arenas,
            "program": self.programs,
            "cgroup": tuple(each.path for each in self.cgroups),
        }
        return {kind: words for kind, words in found.items() if words}

    def check(self, notes: Sequence[ArenaNote | ProgNote]) -> None:
        """Raise UsageError, with a list of what there is, for what none of ``notes`` is about."""
        arenas = [note for note in notes if isinstance(note, ArenaNote)]
        programs = [note for note in notes if isinstance(note, ProgNote)]
        self._check("--arena", "arena", self.arenas, [(each.id, each.name, "") for each in arenas])
        self._check(
            "--program",
            "program",
            self.programs,
            [(each.id, each.name, each.tag) for each in programs],
        )

    def _check(
        self, option: str, what: str, words: tuple[str, ...], there: list[tuple[int, str, str]]
    ) -> None:
        for word in words:
            wanted_id = as_id(word)
            if wanted_id is not None:
                found = any(number == wanted_id for number, _, _ in there)
            else:
                name = kept_name(word)
                found = self.later or any(
                    name == kept_name(known) or word == tag for _, known, tag in there
                )
            if not found:
                later = "" if wanted_id is not None else "; --later waits for one of that name"
                raise UsageError(
                    f"{option} {word}: there is no such {what}", _listing(what, there) + later
                )


#: Everything is recorded.
NO_FILTERS = Filters()


def as_id(word: str) -> int | None:
    """The id that ``word`` is, None if it is a name or tag. Ids are 32 bits and not 0."""
    if not word.isascii() or not word.isdecimal() or len(word) > 10:
        return None
    number = int(word)
    return number if 0 < number < 1 << 32 else None


def as_tag(word: str) -> int | None:
    """The program tag that ``word`` is, as the probes read its 8 bytes; None if it is none."""
    return int.from_bytes(bytes.fromhex(word), "little") if _TAG.fullmatch(word) else None


def kept_name(word: str) -> bytes:
    """What the kernel keeps of a name that long."""
    return word.encode("utf-8", "surrogateescape")[:NAME_BYTES]


def _listing(what: str, there: list[tuple[int, str, str]]) -> str:
    if not there:
        return f"there is no {what} at all now"
    shown = [f"{name or '(no name)'} (id {number})" for number, name, _ in there[:MAX_LISTED]]
    rest = len(there) - len(shown)
    more = f" and {rest} more" if rest else ""
    return f"there are: {', '.join(shown)}{more}"
