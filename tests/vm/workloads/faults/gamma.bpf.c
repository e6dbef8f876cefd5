// SPDX-License-Identifier: GPL-2.0
/* Program gamma: one side of a race for a page. The other is gamma too, on another CPU. */
#include "poke.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 509);
} gamma_arena SEC(".maps");

int arenarace_hold_fault(void) __ksym;
int arenarace_hold_worker(void) __ksym;
int arenarace_await_armed(void) __ksym;
int arenarace_worker_runs(void) __ksym;
int arenarace_await_held(void) __ksym;
void arenarace_announce(void) __ksym;
void arenarace_release(void) __ksym;
int arenarace_await_unmapped(__u64 kaddr) __ksym;
void bpf_local_irq_save(unsigned long *flags) __ksym;
void bpf_local_irq_restore(unsigned long *flags) __ksym;

static __always_inline void access(struct poke_call *c)
{
	switch (c->op) {
	case POKE_K_READ64:
		ACCESS(c, c->value = arenapoke_read64(c->kaddr));
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
	}
}

SEC("syscall")
int gamma(struct poke_call *c)
{
	start(c, &gamma_arena);
	c->kaddr = c->op < POKE_P_READ64 ? c->kern_vm_start + c->koff : KERNEL_OF(c, 0);
	switch (c->race) {
	case POKE_STOP_IN_FAULT:
		c->late = arenarace_hold_fault();
		break;
	case POKE_UNTIL_UNMAPPED:
		arenarace_announce();
		c->late = arenarace_await_unmapped(c->kaddr);
		break;
	case POKE_WHILE_STOPPED:
		c->late = arenarace_await_held();
		break;
	case POKE_WORKER_RUNS:
		c->ret = arenarace_worker_runs();
		break;
	}
	if (c->late)
		return 0;
	pages_op(c, &gamma_arena);
	if (c->race == POKE_WHILE_STOPPED)
		arenarace_release();
	access(c);
	return 0;
}

SEC("syscall")
int gamma_defer(struct poke_call *c)
{
	if (c->race == POKE_STOP_WORKER)
		c->late = arenarace_await_armed();
	if (!c->late)
		free_deferred(c, &gamma_arena);
	return 0;
}

/*
 * Queue a free while the worker, on another CPU, has started and not yet read the queue, then
 * access the page when the worker has unmapped it. Interrupts are off: the worker cannot flush
 * this CPU's TLB, so this program ends first.
 */
SEC("syscall")
int gamma_late(struct poke_call *c)
{
	unsigned long flags;

	start(c, &gamma_arena);
	c->kaddr = c->op < POKE_P_READ64 ? c->kern_vm_start + c->koff : KERNEL_OF(c, 0);
	c->late = arenarace_hold_worker();
	bpf_local_irq_save(&flags);
	if (!c->late)
		c->late = arenarace_await_held();
	if (!c->late) {
		bpf_arena_free_pages(&gamma_arena, (void __arena *)c->uaddr, 1);
		arenarace_release();
		c->late = arenarace_await_unmapped(c->kaddr);
	}
	if (!c->late)
		access(c);
	bpf_local_irq_restore(&flags);
	return 0;
}
