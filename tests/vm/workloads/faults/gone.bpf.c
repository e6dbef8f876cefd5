// SPDX-License-Identifier: GPL-2.0
/* Program gone: faults once and is unloaded at once, before the recorder can query it. */
#include "poke.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 13);
} gone_arena SEC(".maps");

SEC("syscall")
int gone(struct poke_call *c)
{
	start(c, &gone_arena);
	c->kaddr = c->kern_vm_start + c->koff;
	if (c->op == POKE_K_READ64) {
		ACCESS(c, c->value = arenapoke_read64(c->kaddr));
	} else if (c->op == POKE_K_WRITE64) {
		ACCESS(c, arenapoke_write64(c->kaddr, c->value));
	}
	return 0;
}
