"""Explanation of one fault as text: access, program, cause, page history, consequences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from arenatrace.report.memory_map import LEGEND, UNSURE_LEGEND, memory_map
from arenatrace.report.sanitize import harmless
from arenatrace.report.units import address, count, duration, origin, since
from arenatrace.schema import Cause, Level

#: Limits of arena faults that no recording level removes.
_BLIND_SPOTS = (
    (
        "Only the first kernel-side access to an empty page faults. Once the scratch page is "
        "installed, later accesses are silent until an allocation or a free removes it."
    ),
    (
        "Accesses inside mapped pages never fault. Overruns and use after free within a page "
        "are not detected."
    ),
)

_TITLES: dict[str, str] = {
    Cause.USE_AFTER_FREE: "use after free",
    Cause.NEVER_ALLOCATED: "access to a never-allocated page",
    Cause.OUT_OF_BOUNDS: "out of bounds",
    Cause.NULL_PAGE: "NULL pointer",
    Cause.RESERVED_GUARD: "access to a reserved page",
    Cause.OUTSIDE_USER_RANGE: "access outside the arena's pages",
    Cause.GUARD_BAND: "access to the guard of the arena",
    Cause.ALLOC_RACE: "race with an allocation",
    Cause.FREE_RACE: "race with a free",
    Cause.REFAULT: "repeated fault on the same page",
    Cause.UNKNOWN: "cause unknown",
}

_CONFIDENCE = {
    "certain": "certain",
    "likely": "likely",
    "unknown": "the trace does not show it",
}

_ENDS = {
    "alloc": "replaced by an allocation",
    "free": "removed by a free",
    "destroy": "removed with the arena",
}

_OUTCOMES = {
    "scratch-installed": "The kernel installed the scratch page and retried the access.",
    "already-mapped": "The kernel found the page already mapped and retried the access.",
    "oops": "The kernel did not recover: the access caused an oops.",
    "zeroed": "The load returned 0 and the program continued.",
    "ignored": "The store was dropped and the program continued.",
}


def print_explanation(explanation: Mapping[str, Any], console: Console) -> None:
    """Write an explanation of ``analysis.explanation`` to ``console``."""
    for line in explanation_lines(explanation):
        console.print(line, soft_wrap=False)


def explanation_lines(explanation: Mapping[str, Any]) -> Iterator[Text]:
    """Yield the lines of the report."""
    for title, lines in sections(explanation):
        if title:
            yield Text()
            yield Text(f"{title}:", "bold")
        yield from lines


def sections(explanation: Mapping[str, Any], columns: int = 80) -> Iterator[tuple[str, list[Text]]]:
    """Yield title and lines of each section that is not empty.

    The first section, with access and location, has an empty title. Sentences are wrapped at
    ``columns``; a word that does not fit makes its line longer.
    """
    fault = explanation["fault"]
    bodies: list[tuple[str, Iterable[Text]]] = [
        ("", [*_headline(explanation), *_location(explanation)]),
        ("Call stack, innermost first", _stack(explanation["stack"])),
        ("Evidence", _sentences(fault["evidence"], columns)),
        ("Allocated by", _operation(explanation["allocated"], fault, columns)),
        ("Freed by", _operation(explanation["freed"], fault, columns)),
        ("History of the page", _history(explanation)),
        ("Neighbouring pages just before the fault", _map(explanation)),
        ("Consequences", _consequences(explanation, columns)),
        ("Limits", _wrapped(_limits(explanation), "- ", columns)),
    ]
    for title, lines in bodies:
        body = list(lines)
        if body:
            yield title, body


def _headline(explanation: Mapping[str, Any]) -> Iterator[Text]:
    fault = explanation["fault"]
    oops = fault["outcome"] == "oops"
    title = f"{_TITLES[fault['cause']]} ({_CONFIDENCE[fault['confidence']]})"
    title = f"kernel oops: {title}" if oops else title
    yield Text(title[0].upper() + title[1:], "bold red" if oops else "bold yellow")
    yield Text(harmless(fault["title"]), "bold")


def _field(label: str, value: str) -> Text:
    return Text.assemble((f"{label:<10}", "dim"), value)


def _location(explanation: Mapping[str, Any]) -> Iterator[Text]:
    fault, arena = explanation["fault"], explanation["arena"]
    when = since(fault["ts_ns"], explanation["trace"]["start_ts_ns"])
    side = "kernel-side" if fault["side"] == "kernel" else "program-side"
    number = f"#{fault['fault']} of {explanation['total']:,}"
    yield _field("fault", f"{number}, {when}, {side}")
    others = explanation["same_signature"] - 1
    also = f", {count(others, 'other fault')} with it" if others else ""
    yield _field("signature", f"{harmless(fault['signature'])}{also}")
    yield _field("address", f"{fault['access'] or 'access'} at {_address(fault)}")
    if arena is not None:
        name = harmless(arena["name"] or "unnamed")
        age = f", {origin(lost=explanation['trace']['lost'])}" if arena["preexisting"] else ""
        number = "?" if arena["map_id"] is None else arena["map_id"]
        size = (
            "unknown size" if arena["max_entries"] is None else count(arena["max_entries"], "page")
        )
        yield _field("arena", f"{name}, map id {number}, {size}{age}")
    prog = fault["prog"]
    if prog is None:
        yield _field("program", "unknown")
    else:
        number = "?" if prog["id"] is None else prog["id"]
        kind = harmless(prog["type"] or "unknown type")
        yield _field("program", f"{harmless(prog['name'] or 'unnamed')}, id {number}, {kind}")
    source = fault["source"]
    if source is not None:
        yield _field("source", f"{harmless(source['file'] or '?')}:{source['line'] or '?'}")
        if source["text"]:
            yield _field("", f"  {harmless(source['text'].replace(chr(9), ' '))}")
    task = fault["task"]
    comm = "unknown" if task["comm"] is None else harmless(task["comm"])
    yield _field("task", f"{comm}, pid {_known(task['pid'])}, tid {_known(task['tid'])}")


def _address(fault: Mapping[str, Any]) -> str:
    parts = [address(fault["uaddr"]) or address(fault["kaddr"]) or "an unknown address"]
    if fault["page"] is not None:
        offset = "" if fault["offset"] is None else f" + {fault['offset']} bytes"
        parts.append(f"page {fault['page']}{offset}")
    if fault["band"] is not None:
        parts.append(fault["band"])
    return ", ".join(parts)


def _known(number: int | None) -> str:
    return "unknown" if number is None else str(number)


def _stack(frames: Iterable[Mapping[str, Any]]) -> Iterator[Text]:
    for frame in frames:
        name = harmless(frame["function"] or "?")
        if frame["prog"] is not None:
            file = harmless((frame["file"] or "").rsplit("/", 1)[-1])
            source = f" at {file}:{frame['line']}" if file else ""
            yield Text(f"  {name}() of program {harmless(frame['prog'])}{source}", "bold")
            continue
        if frame["function"] is None:
            name = address(frame["address"]) or "?"
        elif frame["offset"] is not None:
            name += f"+0x{frame['offset']:x}"
            if frame["size"] is not None:
                name += f"/0x{frame['size']:x}"
        module = f" [{harmless(frame['module'])}]" if frame["module"] else ""
        yield Text(f"  {name}{module}")


def _sentences(sentences: Iterable[str], columns: int) -> Iterator[Text]:
    return _wrapped((harmless(sentence) for sentence in sentences), "- ", columns)


def _wrapped(sentences: Iterable[str], mark: str, columns: int) -> Iterator[Text]:
    """Yield each sentence after a mark, wrapped at ``columns`` with a hanging indent."""
    for sentence in sentences:
        line = f"  {mark}"
        for word in sentence.split(" "):
            if len(line) + len(word) + 1 > columns and line.strip() not in ("", mark.strip()):
                yield Text(line.rstrip())
                line = "    "
            line += word + " "
        yield Text(line.rstrip())


def _operation(
    operation: Mapping[str, Any] | None, fault: Mapping[str, Any], columns: int
) -> Iterator[Text]:
    if operation is None:
        return
    last = operation["pgoff"] + operation["pages"] - 1
    pages = (
        f"page {operation['pgoff']}"
        if operation["pages"] == 1
        else f"pages {operation['pgoff']}-{last}"
    )
    age = ""
    if fault["ts_ns"] is not None:
        ago = fault["ts_ns"] - operation["called_ts_ns"]
        age = f", {duration(abs(ago))} {'before' if ago >= 0 else 'after'} the fault"
    who = f"{harmless(operation['comm'] or 'an unknown task')} (tid {_known(operation['tid'])})"
    if operation["program"]:
        who = f"program {harmless(operation['program'])} in {who}"
    touched = " touched by user space" if operation["by_user"] else ""
    yield from _wrapped([f"{who}: {pages}{touched}{age}"], "", columns)
    yield from _stack(operation["stack"])


def _history(explanation: Mapping[str, Any]) -> Iterator[Text]:
    if explanation["earlier"]:
        yield Text(f"  ({count(explanation['earlier'], 'entry', 'entries')} not shown)", "dim")
    number = explanation["fault"]["fault"]
    for entry in explanation["history"]:
        at = "" if entry["at_ns"] is None else relative(entry["at_ns"])
        is_current = entry["fault"] == number
        mark = ">" if is_current else " "
        yield Text(
            f" {mark}{at:>12}  {''.join(history_entry(entry))}", "bold" if is_current else ""
        )


def history_entry(entry: Mapping[str, Any]) -> tuple[str, str]:
    """Return the event and the task of one entry of a page's history."""
    what = entry["what"]
    if entry["drained"]:
        what = "freed (deferred free completed)"
    if entry["pages"] != 1:
        what += f", with pages {entry['first']}-{entry['first'] + entry['pages'] - 1}"
    if entry["fault"] is not None:
        what += f" #{entry['fault']}"
    who = "" if entry["comm"] is None else f" by {harmless(entry['comm'])}"
    return what, who + ("" if entry["tid"] is None else f" ({entry['tid']})")


def relative(ns: int) -> str:
    """Return a time difference in ns as signed text with a unit."""
    if not ns:
        return "0"
    return f"{'-' if ns < 0 else '+'}{duration(abs(ns))}"


def _map(explanation: Mapping[str, Any]) -> Iterator[Text]:
    fault, arena = explanation["fault"], explanation["arena"]
    if not explanation["space"] or arena is None or fault["page"] is None:
        return
    for line in memory_map(explanation["space"], fault["page"], arena["user_vm_start"]):
        yield Text(line)
    yield Text(f"  {LEGEND}", "dim")
    if any(not one["sure"] and one["state"] != "unknown" for one in explanation["space"]):
        yield Text(f"  {UNSURE_LEGEND}", "dim")


def _consequences(explanation: Mapping[str, Any], columns: int) -> Iterator[Text]:
    fault = explanation["fault"]
    sentences = [_OUTCOMES.get(fault["outcome"], "The outcome of the access is unknown.")]
    if fault["outcome"] == "scratch-installed":
        sentences.append(_lifetime(fault))
    if fault["user_sigsegv"]:
        times = count(fault["user_sigsegv"], "time")
        sentences.append(f"User space touched the scratch page and got SIGSEGV {times}.")
    if fault["allocs_refused"]:
        refused = count(fault["allocs_refused"], "allocation")
        sentences.append(f"{refused} of this page by address failed during that time.")
    yield from _wrapped(sentences, "- ", columns)
    for victim in explanation["victims"]:
        who = harmless(victim["comm"] or "unknown")
        yield Text(f"      {relative(victim['at_ns'])}: SIGSEGV of {who}, tid {victim['tid']}")


def _lifetime(fault: Mapping[str, Any]) -> str:
    if fault["ended_by"] == "open":
        return "The scratch page was still installed when the recording ended."
    if fault["ended_by"] is None:
        return "The lifetime of the scratch page was not recorded."
    end = _ENDS[fault["ended_by"]]
    if fault["lifetime_ns"] is None:
        return f"The scratch page was {end}."
    return f"The scratch page was {end} after {duration(fault['lifetime_ns'])}."


def _limits(explanation: Mapping[str, Any]) -> Iterator[str]:
    if not explanation["trace"]["has_stacks"]:
        yield "No stack was recorded with this fault."
    if explanation["trace"]["level"] == Level.FAULTS:
        yield "Level faults records no allocations and frees, so there is no page history."
    operations = [
        explanation[member] for member in ("allocated", "freed") if explanation[member] is not None
    ]
    if any(not operation["stack"] for operation in operations):
        yield "Only level stacks records call stacks of allocations and frees."
    yield from _BLIND_SPOTS
