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

/* A program has the arena whose map it loads, and only such a program can hold its pointers. */
#define USE_ARENA(map) asm volatile("" ::"r"(&(map)))

/* The kernel address of an arena pointer, as a kfunc needs it. */
static __always_inline __u64 kernel_address(void *map, void __arena *pointer)
{
	struct bpf_arena *arena = bpf_rdonly_cast(map, bpf_core_type_id_kernel(struct bpf_arena));
	__u64 vm_start = 0;

	/* a copy, so that the verifier sees a number and not a pointer */
	bpf_probe_read_kernel(&vm_start, sizeof(vm_start), &arena->kern_vm->addr);
	return vm_start + ARENA_GUARD + (__u32)(__u64)pointer;
}

#endif
