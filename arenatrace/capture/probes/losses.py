"""Losses between the probes and the recorder, by kind of event and time."""

from __future__ import annotations

from dataclasses import dataclass

from arenatrace.capture.probes.loader import Probes
from arenatrace.schema import Kind
from arenatrace.trace.losses import MISSED_BY, label_of

#: Probes that send an event, and its kind: each run that the kernel skips is one lost event.
#: The other probes only add to the event of another probe.
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
    """``count`` lost events of one kind, the first and the last of them at these times, ns.

    ``kind`` is the wire value, possibly of a newer probe.
    """

    kind: int
    count: int
    first_ns: int
    last_ns: int


class LossCounter:
    """Finds the losses since its last poll, and adds them up."""

    def __init__(self, probes: Probes, start_ns: int) -> None:
        self._probes = probes
        self._polled_ns = start_ns
        self._per_cpu: dict[tuple[int, int], tuple[int, int]] = {}
        # runs skipped before the recording are no losses
        self._missed = probes.recursion_misses()
        #: Losses so far, by kind of event or by label.
        self.totals: dict[str, int] = {}
        #: Of these, runs that the kernel skipped, by probe.
        self.skipped: dict[str, int] = {}

    def poll(self, now_ns: int) -> list[Loss]:
        """Return the losses since the last poll, each with its time stretch."""
        found = [*self._overflows(), *self._recursion(now_ns)]
        self._polled_ns = now_ns
        for loss in found:
            self._add(label_of(loss.kind), loss.count)
        self.totals |= self._probes.lost_notes()
        return found

    def _add(self, label: str, count: int) -> None:
        self.totals[label] = self.totals.get(label, 0) + count

    def _overflows(self) -> list[Loss]:
        """Return events that did not fit into the ring since the last poll.

        Each CPU has a running count, with the times of its losses since the previous read. A loss
        during a read counts in the next poll, although the probe dates it into the previous
        stretch: the last time of the previous poll is its lower bound.
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
        """Return events of skipped probe runs. The kernel counts them without times."""
        found = []
        for name, total in self._probes.recursion_misses().items():
            fresh = total - self._missed.get(name, 0)
            if fresh <= 0:
                continue
            self._missed[name] = total
            self.skipped[name] = self.skipped.get(name, 0) + fresh
            if name in _EVENT_OF:
                found.append(Loss(_EVENT_OF[name], fresh, self._polled_ns, now_ns))
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
