// SPDX-License-Identifier: GPL-2.0
/* Programs that access an address through a kfunc: one with an arena, one without. */
#include "oops.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 4);
} oops_mine SEC(".maps");

SEC("syscall")
int with_mine(struct touch *t)
{
	t->start = start_of(&oops_mine);
	if (t->kaddr)
		t->value = arenapoke_read64(t->kaddr);
	return 0;
}

SEC("syscall")
int with_none(struct touch *t)
{
	if (t->kaddr)
		t->value = arenapoke_read64(t->kaddr);
	return 0;
}
