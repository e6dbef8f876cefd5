// SPDX-License-Identifier: GPL-2.0
/* Operations on an arena as the loader asks for them, one by one or in a burst. */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "call.h"

#define __arena __attribute__((address_space(1)))

char LICENSE[] SEC("license") = "GPL";

/* Size, flags and place are the loader's to choose. */
struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
} ops_arena SEC(".maps");

void __arena *bpf_arena_alloc_pages(void *map, void __arena *addr, __u32 pages, int node,
				    __u64 flags) __ksym;
void bpf_arena_free_pages(void *map, void __arena *addr, __u32 pages) __ksym;
void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym;
/* Not in 6.12. */
int bpf_arena_reserve_pages(void *map, void __arena *addr, __u32 pages) __ksym __weak;
/* The loader does not load ops_burst where these, or operations that cannot sleep, are not. */
void bpf_preempt_disable(void) __ksym __weak;
void bpf_preempt_enable(void) __ksym __weak;
/* Only with the module. */
__u64 arenapoke_read64(__u64 kaddr) __ksym __weak;
void arenapoke_write64(__u64 kaddr, __u64 value) __ksym __weak;

/* Members that not every kernel has. */
struct bpf_arena___queue {
	struct llist_head free_spans;
} __attribute__((preserve_access_index));

struct bpf_arena___zaps {
	u64 zap_gen;
} __attribute__((preserve_access_index));

static __always_inline struct bpf_arena *arena(void)
{
	return bpf_rdonly_cast(&ops_arena, bpf_core_type_id_kernel(struct bpf_arena));
}

static __always_inline void look(struct burst *b)
{
	struct bpf_arena___queue *queue = (void *)arena();
	struct bpf_arena___zaps *zaps = (void *)arena();

	b->kern_vm_start = (__u64)arena()->kern_vm->addr + CALL_GUARD;
	b->pending = 0;
	if (bpf_core_field_exists(queue->free_spans))
		b->pending = queue->free_spans.first != 0;
	b->zaps = 0;
	if (bpf_core_field_exists(zaps->zap_gen))
		b->zaps = zaps->zap_gen;
}

static __always_inline void one(struct call *c)
{
	void __arena *at = (void __arena *)c->uaddr;

	switch (c->op) {
	case CALL_ALLOC:
		c->ret = (__s64)bpf_arena_alloc_pages(&ops_arena, at, c->pages, c->node,
						      c->flags);
		break;
	case CALL_FREE:
		bpf_arena_free_pages(&ops_arena, at, c->pages);
		break;
	case CALL_RESERVE:
		if (bpf_ksym_exists(bpf_arena_reserve_pages))
			c->ret = bpf_arena_reserve_pages(&ops_arena, at, c->pages);
		break;
	case CALL_KERNEL_READ:
		if (bpf_ksym_exists(arenapoke_read64))
			c->value = arenapoke_read64(c->kaddr);
		break;
	case CALL_KERNEL_WRITE:
		if (bpf_ksym_exists(arenapoke_write64))
			arenapoke_write64(c->kaddr, c->value);
		break;
	case CALL_PROG_READ:
		c->value = *(volatile __u64 __arena *)at;
		break;
	case CALL_PROG_WRITE:
		*(volatile __u64 __arena *)at = c->value;
		break;
	}
}

SEC("syscall")
int ops(struct burst *b)
{
	look(b);
	one(&b->calls[0]);
	return 0;
}

/*
 * Nothing else runs on this CPU between the calls, not the worker that frees what was queued
 * either: the frees stay pending while later calls see it. Without preemption the verifier
 * picks the variants that cannot sleep, whose frees are the queued ones. A program of its own
 * has to do that, because 7.2 makes the choice once per program.
 */
SEC("syscall")
int ops_burst(struct burst *b)
{
	look(b);
	bpf_preempt_disable();
#pragma unroll
	for (int i = 0; i < CALL_BURST; i++)
		if (i < b->count)
			one(&b->calls[i]);
	bpf_preempt_enable();
	return 0;
}
