"""Kernel structure members that the probes read, and their offsets in the running kernel.

BCC does not relocate field accesses. The probes declare no kernel structure; they are compiled with
the offsets found here. A kernel that lacks a required member is refused by name before anything is
compiled.
"""

from __future__ import annotations

from arenatrace.capture.kernel.btf import Btf
from arenatrace.errors import UnsupportedError

#: (structure, path of members). The C macro is AT_OFF_<structure>__<member>[__<member>].
MEMBERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("bpf_arena", ("user_vm_start",)),
    ("bpf_arena", ("user_vm_end",)),
    ("bpf_arena", ("kern_vm",)),
    ("bpf_arena", ("free_work",)),
    ("bpf_attr", ("map_name",)),
    ("bpf_map", ("id",)),
    ("bpf_map", ("map_flags",)),
    ("bpf_map", ("map_type",)),
    ("bpf_map", ("max_entries",)),
    ("bpf_map", ("name",)),
    ("bpf_prog", ("aux",)),
    ("bpf_prog", ("tag",)),
    ("bpf_prog", ("type",)),
    ("bpf_prog_aux", ("arena",)),
    ("bpf_prog_aux", ("btf",)),
    ("bpf_prog_aux", ("func",)),
    ("bpf_prog_aux", ("func_cnt",)),
    ("bpf_prog_aux", ("func_idx",)),
    ("bpf_prog_aux", ("id",)),
    ("bpf_prog_aux", ("jited_linfo",)),
    ("bpf_prog_aux", ("ksym", "end")),
    ("bpf_prog_aux", ("ksym", "name")),
    ("bpf_prog_aux", ("ksym", "start")),
    ("bpf_prog_aux", ("linfo",)),
    ("bpf_prog_aux", ("main_prog_aux",)),
    ("bpf_prog_aux", ("name",)),
    ("bpf_prog_aux", ("nr_linfo",)),
    ("bpf_prog_aux", ("prog",)),
    ("btf", ("hdr", "str_len")),
    ("btf", ("id",)),
    ("btf", ("strings",)),
    ("file", ("private_data",)),
    ("pt_regs", ("ip",)),
    ("pt_regs", ("pc",)),
    ("scx_sched", ("arena_map",)),
    ("task_struct", ("comm",)),
    ("task_struct", ("stack",)),
    ("vm_area_struct", ("vm_file",)),
    ("vm_fault", ("address",)),
    ("vm_fault", ("flags",)),
    ("vm_fault", ("vma",)),
    ("vm_struct", ("addr",)),
)

#: Optional members: probes that use a missing one are left out.
OPTIONAL: dict[tuple[str, tuple[str, ...]], tuple[str, ...]] = {
    ("bpf_arena", ("free_work",)): ("arena_free_worker",),
    ("bpf_prog_aux", ("main_prog_aux",)): ("bpf_prog_ksym_find",),
    ("pt_regs", ("ip",)): ("page_fault_oops", "fixup_exception", "ex_handler_bpf"),
    ("pt_regs", ("pc",)): ("__do_kernel_fault",),
    ("scx_sched", ("arena_map",)): ("scx_arena_alloc", "scx_arena_free"),
}


def offsets(btf: Btf) -> dict[str, int]:
    """Return macro name to byte offset for every member that this kernel has.

    Raises:
        UnsupportedError: a required member is missing; the message names all of them.
    """
    found: dict[str, int] = {}
    missing: list[str] = []
    for struct_name, path in MEMBERS:
        offset = btf.offset_of(struct_name, *path)
        if offset is not None:
            found["AT_OFF_" + "__".join((struct_name, *path))] = offset
        elif (struct_name, path) not in OPTIONAL:
            missing.append(f"{struct_name}.{'.'.join(path)}")
    # the probes use the arena pointer as the map pointer
    if btf.offset_of("bpf_arena", "map") not in (0, None):
        missing.append("bpf_arena.map at offset 0")
    # the probes declare the iterators' contexts as two pointers
    for context, member in (("bpf_iter__bpf_map", "map"), ("bpf_iter__bpf_prog", "prog")):
        if btf.offset_of(context, member) not in (8, None):
            missing.append(f"{context}.{member} at offset 8")
    if missing:
        raise UnsupportedError(
            f"this kernel's structures differ from what the probes expect: no {', '.join(missing)}",
            "the kernel has no BPF arena, or a newer arenatrace is needed for it",
        )
    return found
