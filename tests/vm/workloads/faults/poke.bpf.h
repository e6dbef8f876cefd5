/* SPDX-License-Identifier: GPL-2.0 */
/* Shared by the BPF programs of the workload; every access site is in their own files. */
#ifndef POKE_BPF_H
#define POKE_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "poke.h"

#define __arena __attribute__((address_space(1)))

void __arena *bpf_arena_alloc_pages(void *map, void __arena *addr, __u32 pages, int node,
				    __u64 flags) __ksym;
void bpf_arena_free_pages(void *map, void __arena *addr, __u32 pages) __ksym;
int bpf_arena_reserve_pages(void *map, void __arena *addr, __u32 pages) __ksym;
void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym;
void bpf_rcu_read_lock(void) __ksym;
void bpf_rcu_read_unlock(void) __ksym;
__u64 arenapoke_read64(__u64 kaddr) __ksym;
__u32 arenapoke_read32(__u64 kaddr) __ksym;
void arenapoke_write64(__u64 kaddr, __u64 value) __ksym;
void arenapoke_write32(__u64 kaddr, __u32 value) __ksym;

/*
 * Make an access and store its line: __LINE__ does not depend on
 * the kernel. The store of the line is volatile so that it stays in front of the access,
 * and the empty asm, another one on each line, keeps the compiler from merging the
 * accesses of two lines into one.
 */
#define ACCESS(c, access)                                                        \
	do {                                                                     \
		HERE(c);                                                         \
		access;                                                          \
		LINE_END();                                                      \
	} while (0)

#define HERE(c) HERE_LINES(c, __LINE__, __LINE__)

#define HERE_LINES(c, access_line, named_line)                                   \
	do {                                                                     \
		_Static_assert(sizeof(__func__) <= sizeof((c)->func), "func");    \
		_Static_assert(sizeof(__FILE_NAME__) <= sizeof((c)->file), "file"); \
		__builtin_memcpy((c)->func, __func__, sizeof(__func__));         \
		__builtin_memcpy((c)->file, __FILE_NAME__, sizeof(__FILE_NAME__)); \
		*(volatile __u32 *)&(c)->line = (access_line);                   \
		*(volatile __u32 *)&(c)->stream_line = (named_line);             \
	} while (0)

#define LINE_END() asm volatile("" ::"i"(__LINE__))

/* The exact kernel address of an access by the program itself. */
#define KERNEL_OF(c, displacement) ((c)->kern_vm_start + (__u32)(c)->uaddr + (displacement))

#define AT(c, type) ((volatile type __arena *)(c)->uaddr)
#define BACK(c, type) ((volatile type __arena *)((char __arena *)(c)->uaddr - POKE_BACK))
#define FAR(c, type) ((volatile type __arena *)((char __arena *)(c)->uaddr + POKE_FAR))

static __always_inline struct bpf_arena *arena_of(void *map)
{
	return bpf_rdonly_cast(map, bpf_core_type_id_kernel(struct bpf_arena));
}

/* Everything that is not an access: the page operations of @map. */
static __always_inline void pages_op(struct poke_call *c, void *map)
{
	switch (c->op) {
	case POKE_ALLOC:
		c->ret = (__s64)bpf_arena_alloc_pages(map, (void __arena *)c->uaddr, c->pages,
						      -1, 0);
		break;
	case POKE_FREE:
		bpf_arena_free_pages(map, (void __arena *)c->uaddr, c->pages);
		break;
	case POKE_RESERVE:
		c->ret = bpf_arena_reserve_pages(map, (void __arena *)c->uaddr, c->pages);
		break;
	case POKE_PENDING:
		c->ret = arena_of(map)->free_spans.first != 0;
		break;
	}
}

/*
 * Under RCU the verifier picks the non-sleepable variant, which queues the pages. A
 * program of its own has to do that: 7.2 keeps the choice per kfunc and program, so that
 * calls further down get the queued variant as well, whether they can sleep or not.
 */
static __always_inline void free_deferred(struct poke_call *c, void *map)
{
	bpf_rcu_read_lock();
	bpf_arena_free_pages(map, (void __arena *)c->uaddr, c->pages);
	bpf_rcu_read_unlock();
}

static __always_inline void start(struct poke_call *c, void *map)
{
	c->kern_vm_start = (__u64)arena_of(map)->kern_vm->addr + POKE_GUARD;
	c->cpu = bpf_get_smp_processor_id();
}

#endif
