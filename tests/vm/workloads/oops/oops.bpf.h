/* SPDX-License-Identifier: GPL-2.0 */
/* A BPF object can have one arena only: each has its own file. */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "oops.h"

char LICENSE[] SEC("license") = "GPL";

void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym;
__u64 arenapoke_read64(__u64 kaddr) __ksym;

static __always_inline __u64 start_of(void *map)
{
	struct bpf_arena *arena = bpf_rdonly_cast(map, bpf_core_type_id_kernel(struct bpf_arena));

	return (__u64)arena->kern_vm->addr + OOPS_GUARD;
}
