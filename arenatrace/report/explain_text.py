"""One fault explained, as text: what, who, where, why, what came of it, what nobody can see."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from arenatrace.report.memory_map import LEGEND, UNSURE_LEGEND, memory_map
from arenatrace.report.sanitize import harmless
from arenatrace.report.units import address, count, duration, origin, since
from arenatrace.schema import Cause, Level

#: What a kernel-side or a program-side fault cannot show, whatever is recorded.
_BLIND_SPOTS = (
    (
        "Only the first touch of a page faults on the kernel side: once the scratch page is in "
        "place, further stray accesses are silent until an allocation or a free removes it."
    ),
    (
        "Accesses inside mapped pages never fault: overruns and use after free within a page "
        "are not seen by this tool."
    ),
)

_TITLES: dict[str, str] = {
    Cause.USE_AFTER_FREE: "use after free",
    Cause.NEVER_ALLOCATED: "access to a page that was never allocated",
    Cause.OUT_OF_BOUNDS: "out of bounds",
    Cause.NULL_PAGE: "NULL pointer",
    Cause.RESERVED_GUARD: "access to a reserved page",
    Cause.OUTSIDE_USER_RANGE: "access outside of the arena's pages",
    Cause.GUARD_BAND: "access to the guard around the arena",
    Cause.ALLOC_RACE: "race with an allocation",
    Cause.FREE_RACE: "race with a free",
    Cause.REFAULT: "fault again on a page that had faulted",
    Cause.UNKNOWN: "cause unknown",
}

_HOW_SURE = {
    "certain": "certain",
    "likely": "likely",
    "unknown": "the trace cannot tell",
}

_ENDS = {
    "alloc": "replaced by an allocation",
    "free": "taken away by a free",
    "destroy": "there until the arena was destroyed",
}

_RESULTS = {
    "scratch-installed": "The kernel put the arena's scratch page there and let the access run.",
    "already-mapped": "The page was mapped by the time the kernel looked; the access was retried.",
    "oops": "The kernel did not recover: the access was an oops.",
    "zeroed": "The load gave 0 and the program went on.",
    "ignored": "The store was dropped and the program went on.",
}


def print_explanation(told: Mapping[str, Any], console: Console) -> None:
    """Write the explanation ``told``, as the analysis gives it, to ``console``."""
    for line in explanation_lines(told):
        console.print(line, soft_wrap=False)


def explanation_lines(told: Mapping[str, Any]) -> Iterator[Text]:
    """The whole report, line by line."""
    for title, lines in sections(told):
        if title:
            yield Text()
            yield Text(f"{title}:", "bold")
        yield from lines


def sections(told: Mapping[str, Any], columns: int = 80) -> Iterator[tuple[str, list[Text]]]:
    """The parts of the report that have anything in them: title and lines.

    The first, who and where, has no title. Sentences are folded at ``columns``; a line that
    cannot be folded may be longer.
    """
    fault = told["fault"]
    parts: list[tuple[str, Iterable[Text]]] = [
        ("", [*_headline(told), *_place(told)]),
        ("Call stack, innermost first", _stack(told["stack"])),
        ("Why", _sentences(fault["evidence"], columns)),
        ("Allocated by", _operation(told["allocated"], fault, columns)),
        ("Freed by", _operation(told["freed"], fault, columns)),
        ("History of the page", _history(told)),
        ("Pages around it, just before", _map(told)),
        ("Consequences", _consequences(told, columns)),
        ("What is not seen", _wrapped(_limits(told), "- ", columns)),
    ]
    for title, lines in parts:
        body = list(lines)
        if body:
            yield title, body


def _headline(told: Mapping[str, Any]) -> Iterator[Text]:
    fault = told["fault"]
    oops = fault["outcome"] == "oops"
    title = f"{_TITLES[fault['cause']]} ({_HOW_SURE[fault['confidence']]})"
    title = f"kernel oops: {title}" if oops else title
    yield Text(title[0].upper() + title[1:], "bold red" if oops else "bold yellow")
    yield Text(harmless(fault["title"]), "bold")


def _field(label: str, value: str) -> Text:
    return Text.assemble((f"{label:<10}", "dim"), value)


def _place(told: Mapping[str, Any]) -> Iterator[Text]:
    fault, arena = told["fault"], told["arena"]
    when = since(fault["ts_ns"], told["trace"]["start_ts_ns"])
    yield _field("fault", f"#{fault['fault']} of {told['total']:,}, {when}, {fault['side']} side")
    same = told["same_signature"] - 1
    also = f", {count(same, 'other fault')} like it" if same else ""
    yield _field("signature", f"{harmless(fault['signature'])}{also}")
    yield _field("address", f"{fault['access'] or 'access'} at {_address(fault)}")
    if arena is not None:
        name = harmless(arena["name"] or "unnamed")
        old = f", {origin(lost=told['trace']['lost'])}" if arena["preexisting"] else ""
        number = "?" if arena["map_id"] is None else arena["map_id"]
        size = (
            "unknown size" if arena["max_entries"] is None else count(arena["max_entries"], "page")
        )
        yield _field("arena", f"{name}, map id {number}, {size}{old}")
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
    words = [address(fault["uaddr"]) or address(fault["kaddr"]) or "an unknown address"]
    if fault["page"] is not None:
        inside = "" if fault["offset"] is None else f" + {fault['offset']} bytes"
        words.append(f"page {fault['page']}{inside}")
    if fault["band"] is not None:
        words.append(fault["band"])
    return ", ".join(words)


def _known(number: int | None) -> str:
    return "unknown" if number is None else str(number)


def _stack(frames: Iterable[Mapping[str, Any]]) -> Iterator[Text]:
    for frame in frames:
        name = harmless(frame["function"] or "?")
        if frame["prog"] is not None:
            file = harmless((frame["file"] or "").rsplit("/", 1)[-1])
            place = f" at {file}:{frame['line']}" if file else ""
            yield Text(f"  {name}() of program {harmless(frame['prog'])}{place}", "bold")
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
    """Each sentence after a mark, folded under itself at ``columns``."""
    for sentence in sentences:
        line = f"  {mark}"
        for word in sentence.split(" "):
            if len(line) + len(word) + 1 > columns and line.strip() not in ("", mark.strip()):
                yield Text(line.rstrip())
                line = "    "
            line += word + " "
        yield Text(line.rstrip())


def _operation(
    done: Mapping[str, Any] | None, fault: Mapping[str, Any], columns: int
) -> Iterator[Text]:
    if done is None:
        return
    last = done["pgoff"] + done["pages"] - 1
    pages = f"page {done['pgoff']}" if done["pages"] == 1 else f"pages {done['pgoff']}-{last}"
    age = ""
    if fault["ts_ns"] is not None:
        ago = fault["ts_ns"] - done["called_ts_ns"]
        age = f", {duration(abs(ago))} {'before' if ago >= 0 else 'after'} the fault"
    who = f"{harmless(done['comm'] or 'an unknown task')} (tid {_known(done['tid'])})"
    if done["program"]:
        who = f"program {harmless(done['program'])} in {who}"
    touched = " touched by user space" if done["by_user"] else ""
    yield from _wrapped([f"{who}: {pages}{touched}{age}"], "", columns)
    yield from _stack(done["stack"])


def _history(told: Mapping[str, Any]) -> Iterator[Text]:
    if told["earlier"]:
        yield Text(f"  ({count(told['earlier'], 'entry', 'entries')} not shown)", "dim")
    number = told["fault"]["fault"]
    for entry in told["history"]:
        at = "" if entry["at_ns"] is None else relative(entry["at_ns"])
        here = entry["fault"] == number
        mark = ">" if here else " "
        yield Text(f" {mark}{at:>12}  {''.join(history_words(entry))}", "bold" if here else "")


def history_words(entry: Mapping[str, Any]) -> tuple[str, str]:
    """What an entry of a page's history says happened, and by whom."""
    what = entry["what"]
    if entry["drained"]:
        what = "freed (deferred free done)"
    if entry["pages"] != 1:
        what += f", with pages {entry['first']}-{entry['first'] + entry['pages'] - 1}"
    if entry["fault"] is not None:
        what += f" #{entry['fault']}"
    who = "" if entry["comm"] is None else f" by {harmless(entry['comm'])}"
    return what, who + ("" if entry["tid"] is None else f" ({entry['tid']})")


def relative(ns: int) -> str:
    """A time in ns before or after something, with its sign."""
    if not ns:
        return "0"
    return f"{'-' if ns < 0 else '+'}{duration(abs(ns))}"


def _map(told: Mapping[str, Any]) -> Iterator[Text]:
    fault, arena = told["fault"], told["arena"]
    if not told["space"] or arena is None or fault["page"] is None:
        return
    for line in memory_map(told["space"], fault["page"], arena["user_vm_start"]):
        yield Text(line)
    yield Text(f"  {LEGEND}", "dim")
    if any(not one["sure"] and one["state"] != "unknown" for one in told["space"]):
        yield Text(f"  {UNSURE_LEGEND}", "dim")


def _consequences(told: Mapping[str, Any], columns: int) -> Iterator[Text]:
    fault = told["fault"]
    sentences = [_RESULTS.get(fault["outcome"], "What became of the access is not known.")]
    if fault["outcome"] == "scratch-installed":
        sentences.append(_lifetime(fault))
    if fault["user_sigsegv"]:
        times = count(fault["user_sigsegv"], "time")
        sentences.append(f"User space touched the scratch page and got SIGSEGV {times}.")
    if fault["allocs_refused"]:
        refused = count(fault["allocs_refused"], "allocation")
        sentences.append(f"While it stood {refused} that asked for the page by address failed.")
    yield from _wrapped(sentences, "- ", columns)
    for victim in told["victims"]:
        who = harmless(victim["comm"] or "unknown")
        yield Text(f"      {relative(victim['at_ns'])}: SIGSEGV of {who}, tid {victim['tid']}")


def _lifetime(fault: Mapping[str, Any]) -> str:
    if fault["ended_by"] == "open":
        return "The scratch page was still there when the recording ended."
    if fault["ended_by"] is None:
        return "How long the scratch page stood is not recorded."
    lasted = "" if fault["lifetime_ns"] is None else f"{duration(fault['lifetime_ns'])}, "
    return f"The scratch page stood {lasted}{_ENDS[fault['ended_by']]}."


def _limits(told: Mapping[str, Any]) -> Iterator[str]:
    if not told["trace"]["has_stacks"]:
        yield "No stack was recorded with this fault."
    if told["trace"]["level"] == Level.FAULTS:
        yield "Recorded at level faults: without allocations and frees there is no history."
    done = [told[member] for member in ("allocated", "freed") if told[member] is not None]
    if any(not operation["stack"] for operation in done):
        yield "Allocations and frees have a call stack only where level stacks recorded one."
    yield from _BLIND_SPOTS
