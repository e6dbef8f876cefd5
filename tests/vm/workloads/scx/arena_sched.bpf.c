// SPDX-License-Identifier: GPL-2.0
/*
 * The smallest scheduler for which sched_ext allocates arena memory: it gets CPUs by their
 * ids, and one of its programs has an arena. It leaves all decisions to the kernel.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 64);
} sched_arena SEC(".maps");

SEC("struct_ops.s/arena_sched_init")
int BPF_PROG(arena_sched_init)
{
	/* a program has the arena whose map it loads */
	asm volatile("" ::"r"(&sched_arena));
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops_cid arena_sched = {
	.init = (void *)arena_sched_init,
	.name = "arena_sched",
};
