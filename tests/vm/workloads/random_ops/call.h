/* SPDX-License-Identifier: GPL-2.0 */
/* What the loader asks of a BPF program, and what came of it. */
#ifndef CALL_H
#define CALL_H

#define CALL_PAGE 4096ULL
#define CALL_GUARD 32768ULL /* half of the guard area around the kernel band */
#define CALL_BURST 6 /* most operations that run without anything in between */

enum call_op {
	CALL_INFO,
	CALL_ALLOC,
	CALL_FREE,
	CALL_RESERVE,
	CALL_KERNEL_READ,
	CALL_KERNEL_WRITE,
	CALL_PROG_READ,
	CALL_PROG_WRITE,
};

struct call {
	/* asked */
	__u32 op;
	__u32 pages;
	__s32 node;
	__u32 flags; /* of alloc */
	__u64 uaddr;
	__u64 kaddr; /* of a touch by the kernel */
	__u64 value; /* stored, or what was loaded */
	/* answered */
	__s64 ret; /* of alloc, reserve */
};

/* The context of a syscall program, copied back after the run. */
struct burst {
	__u32 count;
	__u32 pending; /* frees are still queued */
	__u64 kern_vm_start;
	__u64 zaps; /* ranges taken out of user mappings since the arena was made */
	struct call calls[CALL_BURST];
};

#endif
