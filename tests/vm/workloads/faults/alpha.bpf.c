// SPDX-License-Identifier: GPL-2.0
/* Program alpha: accesses in the main program and in one subprogram. */
#include "poke.bpf.h"

char LICENSE[] SEC("license") = "GPL";

/* The low half of map_extra is 0: the NULL arena pointer is page 0 of the user range. */
struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1021);
	__ulong(map_extra, 0x1a5UL << 32);
} alpha_arena SEC(".maps");

static __noinline int alpha_leaf(struct poke_call *c)
{
	switch (c->op) {
	case POKE_K_LEAF_READ64:
		ACCESS(c, c->value = arenapoke_read64(c->kaddr));
		break;
	case POKE_K_LEAF_WRITE32:
		ACCESS(c, arenapoke_write32(c->kaddr, c->value));
		break;
	case POKE_P_LEAF_READ32:
		ACCESS(c, c->value = *AT(c, __u32));
		break;
	case POKE_P_LEAF_WRITE64:
		ACCESS(c, *AT(c, __u64) = c->value);
		break;
	}
	return 0;
}

SEC("syscall")
int alpha(struct poke_call *c)
{
	volatile __u64 __arena *pointer;

	start(c, &alpha_arena);
	c->kaddr = c->op < POKE_P_READ64 ? c->kern_vm_start + c->koff : KERNEL_OF(c, 0);
	switch (c->op) {
	case POKE_K_READ64:
		ACCESS(c, c->value = arenapoke_read64(c->kaddr));
		break;
	case POKE_K_READ32:
		ACCESS(c, c->value = arenapoke_read32(c->kaddr));
		break;
	case POKE_K_WRITE64:
		ACCESS(c, arenapoke_write64(c->kaddr, c->value));
		break;
	case POKE_K_WRITE32:
		ACCESS(c, arenapoke_write32(c->kaddr, c->value));
		break;
	case POKE_P_READ64:
		ACCESS(c, c->value = *AT(c, __u64));
		break;
	case POKE_P_WRITE32:
		ACCESS(c, *AT(c, __u32) = c->value);
		break;
	case POKE_P_FAR_READ64:
		c->kaddr = KERNEL_OF(c, POKE_FAR);
		ACCESS(c, c->value = *FAR(c, __u64));
		break;
	case POKE_P_FAR_WRITE64:
		c->kaddr = KERNEL_OF(c, POKE_FAR);
		ACCESS(c, *FAR(c, __u64) = c->value);
		break;
	case POKE_P_BACK_READ64:
		c->kaddr = KERNEL_OF(c, -(__u64)POKE_BACK);
		ACCESS(c, c->value = *BACK(c, __u64));
		break;
	case POKE_P_BACK_WRITE64:
		c->kaddr = KERNEL_OF(c, -(__u64)POKE_BACK);
		ACCESS(c, *BACK(c, __u64) = c->value);
		break;
	case POKE_P_FIRST_READ64:
		/*
		 * 7.2 looks for the last line that starts before the faulting instruction.
		 * A load that is the first of its line is reported on the line before.
		 */
		pointer = AT(c, __u64);
		HERE_LINES(c, __LINE__ + 2, __LINE__);
		c->value =
			*pointer;
		break;
	default:
		pages_op(c, &alpha_arena);
		alpha_leaf(c);
		break;
	}
	return 0;
}

SEC("syscall")
int alpha_defer(struct poke_call *c)
{
	free_deferred(c, &alpha_arena);
	return 0;
}
