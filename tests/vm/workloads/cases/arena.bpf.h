/* SPDX-License-Identifier: GPL-2.0 */
/* Declarations that both cases share. */
#ifndef ARENA_BPF_H
#define ARENA_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define __arena __attribute__((address_space(1)))
#define ARENA_GUARD 0x8000

void __arena *bpf_arena_alloc_pages(void *map, void __arena *addr, __u32 pages, int node,
				    __u64 flags) __ksym;
void bpf_arena_free_pages(void *map, void __arena *addr, __u32 pages) __ksym;
void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym;

/* The kernel address of an arena pointer, as a kfunc needs it. */
static __always_inline __u64 kernel_address(void *map, void __arena *pointer)
{
	struct bpf_arena *arena = bpf_rdonly_cast(map, bpf_core_type_id_kernel(struct bpf_arena));

	return (__u64)arena->kern_vm->addr + ARENA_GUARD + (__u32)(__u64)pointer;
}

#endif
