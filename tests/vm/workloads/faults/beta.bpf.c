// SPDX-License-Identifier: GPL-2.0
/* Program beta: accesses in the main program and two calls deep. */
#include "poke.bpf.h"

char LICENSE[] SEC("license") = "GPL";

/* No map_extra: the first mmap places the user range, so NULL is outside of it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 769);
} beta_arena SEC(".maps");

static __noinline int beta_leaf(struct poke_call *c)
{
	switch (c->op) {
	case POKE_K_LEAF_WRITE32:
		ACCESS(c, arenapoke_write32(c->kaddr, c->value));
		break;
	case POKE_K_LEAF_READ64:
		ACCESS(c, c->value = arenapoke_read64(c->kaddr));
		break;
	case POKE_P_LEAF_WRITE64:
		ACCESS(c, *AT(c, __u64) = c->value);
		break;
	case POKE_P_LEAF_READ32:
		ACCESS(c, c->value = *AT(c, __u32));
		break;
	}
	return 0;
}

static __noinline int beta_middle(struct poke_call *c)
{
	beta_leaf(c);
	c->pad++; /* keeps the call above from being a jump */
	return 0;
}

SEC("syscall")
int beta(struct poke_call *c)
{
	volatile __u64 __arena *pointer;

	start(c, &beta_arena);
	c->kaddr = c->op < POKE_P_READ64 ? c->kern_vm_start + c->koff : KERNEL_OF(c, 0);
	switch (c->op) {
	case POKE_P_FAR_WRITE64:
		c->kaddr = KERNEL_OF(c, POKE_FAR);
		ACCESS(c, *FAR(c, __u64) = c->value);
		break;
	case POKE_P_FAR_READ64:
		c->kaddr = KERNEL_OF(c, POKE_FAR);
		ACCESS(c, c->value = *FAR(c, __u64));
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
	case POKE_P_WRITE32:
		ACCESS(c, *AT(c, __u32) = c->value);
		break;
	case POKE_P_READ64:
		ACCESS(c, c->value = *AT(c, __u64));
		break;
	case POKE_K_WRITE32:
		ACCESS(c, arenapoke_write32(c->kaddr, c->value));
		break;
	case POKE_K_WRITE64:
		ACCESS(c, arenapoke_write64(c->kaddr, c->value));
		break;
	case POKE_K_READ32:
		ACCESS(c, c->value = arenapoke_read32(c->kaddr));
		break;
	case POKE_K_READ64:
		ACCESS(c, c->value = arenapoke_read64(c->kaddr));
		break;
	default:
		pages_op(c, &beta_arena);
		beta_middle(c);
		break;
	}
	return 0;
}

SEC("syscall")
int beta_defer(struct poke_call *c)
{
	free_deferred(c, &beta_arena);
	return 0;
}
