"""Probe points: what each provides, and what a recording lacks without it."""

from __future__ import annotations

from dataclasses import dataclass

from arenatrace.capture.kernel import machine
from arenatrace.capture.kernel.btf import Btf
from arenatrace.capture.kernel.struct_offsets import OPTIONAL
from arenatrace.errors import UnsupportedError
from arenatrace.schema import Level


@dataclass(frozen=True)
class Point:
    """A kernel function that the probes hook, or a BPF iterator that they run.

    ``params`` are the parameter names that the probe expects: a function of the same name with
    other parameters is not probed.
    """

    function: str
    params: tuple[str, ...]
    gives: str
    #: A recording is impossible without it.
    essential: bool = False
    #: It fires for every allocation or free: attached from level ``pages`` on, not at ``faults``.
    per_page_operation: bool = False
    #: Machine, as uname -m prints it, that has this function; empty: all.
    arch: str = ""
    #: Another point that provides the same and more; if that exists, this one is not used.
    instead_of: str = ""

    @property
    def is_iterator(self) -> bool:
        """Return whether this is a BPF iterator, which is run instead of attached."""
        return self.function.startswith("bpf_iter_")

    @property
    def macro(self) -> str:
        """The macro that compiles this probe in."""
        return f"AT_PROBE_{self.function.replace('bpf_iter_', 'iter_')}"


POINTS: tuple[Point, ...] = (
    Point(
        "bpf_arena_handle_page_fault",
        ("addr", "is_write", "fault_ip"),
        "kernel-side faults and whether they were recovered",
        essential=True,
    ),
    Point("bpf_prog_find_from_stack", (), "the program the kernel blames for a kernel-side fault"),
    Point(
        "page_fault_oops",
        ("regs", "error_code", "address"),
        "the error code of kernel-side faults, and oopses that bypass the arena handler",
        arch="x86_64",
    ),
    Point(
        "__do_kernel_fault",
        ("addr", "esr", "regs"),
        "the syndrome (ESR) of kernel-side faults",
        arch="aarch64",
    ),
    Point(
        "apply_range_set_scratch_cb",
        ("pte", "addr", "data"),
        "scratch installs, as opposed to pages already mapped",
    ),
    Point(
        "bpf_prog_report_arena_violation",
        ("write", "addr", "fault_ip"),
        "program-side faults",
    ),
    Point(
        "fixup_exception",
        ("regs", "trapnr", "error_code", "fault_addr"),
        "the address of program-side faults that the kernel does not report",
        instead_of="bpf_prog_report_arena_violation",
        arch="x86_64",
    ),
    Point(
        "ex_handler_bpf",
        ("x", "regs"),
        "program-side faults that the kernel does not report",
        instead_of="bpf_prog_report_arena_violation",
        arch="x86_64",
    ),
    Point(
        "bpf_prog_ksym_find", ("addr",), "the program the kernel blames for a program-side fault"
    ),
    Point(
        "arena_alloc_pages",
        ("arena", "uaddr", "page_cnt", "node_id", "sleepable"),
        "page allocations",
        per_page_operation=True,
    ),
    Point(
        "arena_free_pages",
        ("arena", "uaddr", "page_cnt", "sleepable"),
        "page frees",
        per_page_operation=True,
    ),
    Point(
        "bpf_arena_alloc_pages",
        ("p__map", "addr__ign", "page_cnt", "node_id", "flags"),
        "page allocations, if arena_alloc_pages cannot be probed",
        per_page_operation=True,
        instead_of="arena_alloc_pages",
    ),
    Point(
        "bpf_arena_free_pages",
        ("p__map", "ptr__ign", "page_cnt"),
        "page frees, if arena_free_pages cannot be probed",
        per_page_operation=True,
        instead_of="arena_free_pages",
    ),
    Point(
        "bpf_arena_reserve_pages",
        ("p__map", "ptr__ign", "page_cnt"),
        "page reservations",
        per_page_operation=True,
    ),
    Point(
        "arena_free_worker",
        ("work",),
        "times at which deferred frees take effect",
        per_page_operation=True,
    ),
    Point(
        "scx_arena_alloc",
        ("sch", "size"),
        "arena memory that sched_ext allocates",
    ),
    Point("scx_arena_free", ("sch", "kern_va", "size"), "arena memory that sched_ext frees"),
    Point("arena_vm_fault", ("vmf",), "user-space page faults in arenas"),
    Point("arena_map_alloc", ("attr",), "arenas created while recording"),
    Point("arena_map_mmap", ("map", "vma"), "user ranges of arenas mapped while recording"),
    Point("arena_map_free", ("map",), "destruction of arenas"),
    Point("bpf_prog_kallsyms_add", ("fp",), "programs loaded while recording, with line tables"),
    Point("bpf_prog_kallsyms_del_all", ("fp",), "unloading of programs"),
    Point("free_module", ("mod",), "module unloads, to keep symbols correct"),
    Point("bpf_iter_bpf_map", ("meta", "map"), "arenas created before the recording"),
    Point("bpf_iter_bpf_prog", ("meta", "prog"), "programs loaded before the recording"),
)


@dataclass(frozen=True)
class PointState:
    """Whether this kernel has a point, and if not, why."""

    point: Point
    present: bool
    why_not: str = ""


def survey(btf: Btf, offsets: dict[str, int], arch: str | None = None) -> list[PointState]:
    """Return the state of every point in this kernel.

    Points of machines other than ``arch``, by default this one, are left out. ``offsets`` comes
    from ``struct_offsets.offsets``: a probe whose optional members are missing is not present.
    """
    needs = {
        function: "AT_OFF_" + "__".join((struct_name, *path))
        for (struct_name, path), functions in OPTIONAL.items()
        for function in functions
    }
    states: list[PointState] = []
    for point in POINTS:
        if point.arch not in ("", arch or machine.arch()):
            continue
        function = btf.function(point.function)
        if any(state.present and state.point.function == point.instead_of for state in states):
            # not missing: the other point provides it
            continue
        if function is None:
            states.append(PointState(point, False, "this kernel has no such function"))
        elif function.params != point.params:
            found = ", ".join(function.params) or "none"
            states.append(PointState(point, False, f"other parameters in this kernel: {found}"))
        elif needs.get(point.function, "") not in ("", *offsets):
            states.append(
                PointState(point, False, "a struct member that it reads is missing in this kernel")
            )
        else:
            states.append(PointState(point, True))
    return states


def require_essential(states: list[PointState]) -> None:
    """Raise UnsupportedError if an essential point is missing."""
    for state in states:
        if state.point.essential and not state.present:
            raise UnsupportedError(
                f"no arena fault recovery in this kernel: {state.point.function}: {state.why_not}",
                "Linux 7.2 and later recover from faults; on older kernels use --without-recovery",
            )


def level_macros(level: str) -> tuple[str, ...]:
    """Return the macros of ``level``."""
    return ("AT_STACKS",) if level == Level.STACKS else ()


def at_level(states: list[PointState], level: str) -> list[PointState]:
    """Return the ``states`` of the points that ``level``, a ``schema.Level``, uses."""
    return [
        state for state in states if level != Level.FAULTS or not state.point.per_page_operation
    ]
