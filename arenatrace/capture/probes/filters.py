"""Filters of a recording: arenas, programs, cgroups.

The probes filter in the kernel, so an event that is filtered out costs one lookup. They know arenas
and programs by pointer, and compare id and name of each object when it is enumerated or created.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from arenatrace.capture.kernel.cgroup import Cgroup
from arenatrace.capture.ring.notes import ArenaNote, ProgNote
from arenatrace.errors import UsageError

#: Bytes of the name of a map or program in the kernel (BPF_OBJ_NAME_LEN without the zero).
NAME_BYTES = 15
#: Existing objects that an error lists at most.
MAX_LISTED = 20
#: Filters of one kind, at most: the size of the probes' maps.
MAX_FILTERS = 64

_TAG = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Filters:
    """Arenas by id or name, programs by id, name or tag, and cgroups. Empty: record everything.

    An event passes if it matches one filter of each given kind. With ``later``, a name that no
    object has yet is accepted. Raises UsageError for too many filters and impossible names.
    """

    arenas: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    cgroups: tuple[Cgroup, ...] = ()
    later: bool = False

    def __post_init__(self) -> None:
        for option, given in (
            ("--arena", self.arenas),
            ("--program", self.programs),
            ("--cgroup", self.cgroups),
        ):
            if len(given) > MAX_FILTERS:
                raise UsageError(
                    f"{option} given {len(given)} times", f"{MAX_FILTERS} times is the most"
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
        """Return the macros that compile the filters into the probes."""
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
        """Return the filters as ``meta.json`` records them."""
        found = {
            "arena": self.arenas,
            "program": self.programs,
            "cgroup": tuple(each.path for each in self.cgroups),
        }
        return {kind: given for kind, given in found.items() if given}

    def check(self, notes: Sequence[ArenaNote | ProgNote]) -> None:
        """Raise UsageError, with a list of existing objects, for a filter that matches none."""
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
        self, option: str, what: str, given: tuple[str, ...], existing: list[tuple[int, str, str]]
    ) -> None:
        for word in given:
            wanted_id = as_id(word)
            if wanted_id is not None:
                found = any(number == wanted_id for number, _, _ in existing)
            else:
                name = kernel_name(word)
                found = self.later or any(
                    name == kernel_name(known) or word == tag for _, known, tag in existing
                )
            if not found:
                later = "" if wanted_id is not None else "; --later waits for one of that name"
                raise UsageError(
                    f"{option} {word}: no such {what}", _listing(what, existing) + later
                )


#: Everything is recorded.
NO_FILTERS = Filters()


def as_id(word: str) -> int | None:
    """Return ``word`` as an id, 1 to 2**32 - 1; None if it is a name or tag."""
    if not word.isascii() or not word.isdecimal() or len(word) > 10:
        return None
    number = int(word)
    return number if 0 < number < 1 << 32 else None


def as_tag(word: str) -> int | None:
    """Return ``word`` as a program tag, its 8 bytes read as the probes do; None if it is none."""
    return int.from_bytes(bytes.fromhex(word), "little") if _TAG.fullmatch(word) else None


def kernel_name(word: str) -> bytes:
    """Return a name as the kernel truncates it."""
    return word.encode("utf-8", "surrogateescape")[:NAME_BYTES]


def _listing(what: str, existing: list[tuple[int, str, str]]) -> str:
    if not existing:
        return f"no {what} exists now"
    shown = [f"{name or '(no name)'} (id {number})" for number, name, _ in existing[:MAX_LISTED]]
    rest = len(existing) - len(shown)
    more = f" and {rest} more" if rest else ""
    return f"existing: {', '.join(shown)}{more}"
