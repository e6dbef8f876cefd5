"""What was lost on the way, by kind of event and in time; BCC itself reports no loss."""

from __future__ import annotations

from dataclasses import dataclass

from arenatrace.capture.probes.loader import Probes
from arenatrace.schema import Kind
from arenatrace.trace.losses import MISSED_BY, label_of

#: Probes that send an event themselves, and its kind: each run the kernel skips is one lost.
#: The other probes only add to somebody else's event.
_EVENT_OF = {
    "kretfunc__vmlinux__arena_map_alloc": Kind.ARENA_CREATE,
    "kretfunc__vmlinux__arena_map_mmap": Kind.ARENA_MMAP,
    "kfunc__vmlinux__arena_map_free": Kind.ARENA_DESTROY,
    "kretfunc__vmlinux__arena_alloc_pages": Kind.PAGE_ALLOC,
    "kretfunc__vmlinux__bpf_arena_alloc_pages": Kind.PAGE_ALLOC,
    "kfunc__vmlinux__arena_free_pages": Kind.PAGE_FREE,
    "kfunc__vmlinux__bpf_arena_free_pages": Kind.PAGE_FREE,
    "kretfunc__vmlinux__bpf_arena_reserve_pages": Kind.PAGE_RESERVE,
    "kfunc__vmlinux__arena_free_worker": Kind.FREE_DRAIN,
    "kretfunc__vmlinux__scx_arena_alloc": Kind.KERNEL_ALLOC,
    "kfunc__vmlinux__scx_arena_free": Kind.KERNEL_FREE,
    "kretfunc__vmlinux__arena_vm_fault": Kind.USER_FAULT,
    "kretfunc__vmlinux__bpf_arena_handle_page_fault": Kind.KERNEL_FAULT,
    "kretfunc__vmlinux__bpf_prog_report_arena_violation": Kind.PROG_FAULT,
    "kfunc__vmlinux__ex_handler_bpf": Kind.PROG_FAULT,
    "kretfunc__vmlinux__bpf_prog_kallsyms_add": Kind.PROG_LOAD,
    "kfunc__vmlinux__bpf_prog_kallsyms_del_all": Kind.PROG_UNLOAD,
}


@dataclass(frozen=True)
class Loss:
    """``count`` events of one kind, the first and last of them lost at these times (ns).

    ``kind`` is the wire value; one that this version does not know is possible.
    """

    kind: int
    count: int
    first_ns: int
    last_ns: int


class LossCounter:
    """Finds what was lost since it last looked, and keeps the totals."""

    def __init__(self, probes: Probes, start_ns: int) -> None:
        self._probes = probes
        self._looked_ns = start_ns
        self._per_cpu: dict[tuple[int, int], tuple[int, int]] = {}
        # before all probes were in place nothing was to be recorded, so nothing was missed
        self._missed = probes.recursion_misses()
        #: Losses so far, by kind of event or by what lost them.
        self.totals: dict[str, int] = {}
        #: Of these, what was not for want of room but skipped by the kernel, by probe.
        self.skipped: dict[str, int] = {}

    def look(self, now_ns: int) -> list[Loss]:
        """The losses since the last look, each with the stretch of time it is in."""
        found = [*self._no_room(), *self._recursion(now_ns)]
        self._looked_ns = now_ns
        for loss in found:
            self._add(label_of(loss.kind), loss.count)
        self.totals |= self._probes.lost_notes()
        return found

    def _add(self, label: str, count: int) -> None:
        self.totals[label] = self.totals.get(label, 0) + count

    def _no_room(self) -> list[Loss]:
        """Each CPU counts up; the times are those of its losses since the counts were read.

        A loss between the reading and its end belongs to the next look, but the probe still
        takes it for one of the last: the times of the last look bound it from below.
        """
        found: dict[int, Loss] = {}
        for kind, cpus in self._probes.lost_events().items():
            for cpu, (count, first_ns, last_ns) in enumerate(cpus):
                seen, seen_ns = self._per_cpu.get((kind, cpu), (0, 0))
                if count == seen:
                    continue
                self._per_cpu[kind, cpu] = (count, last_ns)
                fresh = Loss(kind, count - seen, max(first_ns, seen_ns), last_ns)
                found[kind] = _joined(found[kind], fresh) if kind in found else fresh
        return list(found.values())

    def _recursion(self, now_ns: int) -> list[Loss]:
        """Events whose probe was running on that CPU already; the kernel counts, without times."""
        found = []
        for name, total in self._probes.recursion_misses().items():
            fresh = total - self._missed.get(name, 0)
            if fresh <= 0:
                continue
            self._missed[name] = total
            self.skipped[name] = self.skipped.get(name, 0) + fresh
            if name in _EVENT_OF:
                found.append(Loss(_EVENT_OF[name], fresh, self._looked_ns, now_ns))
            else:
                self._add(f"{MISSED_BY}{name}", fresh)
        return found


def _joined(one: Loss, other: Loss) -> Loss:
    return Loss(
        one.kind,
        one.count + other.count,
        min(one.first_ns, other.first_ns),
        max(one.last_ns, other.last_ns),
    )
