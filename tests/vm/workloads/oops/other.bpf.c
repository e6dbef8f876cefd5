// SPDX-License-Identifier: GPL-2.0
/* A second arena: an access to it is outside of the first program's arena. */
#include "oops.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 4);
} oops_other SEC(".maps");

SEC("syscall")
int with_other(struct touch *t)
{
	t->start = start_of(&oops_other);
	if (t->kaddr)
		t->value = arenapoke_read64(t->kaddr);
	return 0;
}
