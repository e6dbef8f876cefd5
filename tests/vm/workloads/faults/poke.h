/* SPDX-License-Identifier: GPL-2.0 */
/* Calls from the loader to a BPF program, and their results. */
#ifndef POKE_H
#define POKE_H

#define POKE_PAGE 4096ULL
#define POKE_BAND (1ULL << 32) /* size of the kernel band of an arena */
#define POKE_GUARD 32768ULL /* half of the guard area around the band */
#define POKE_FAR 0x6ff8 /* displacement of the far accesses, fits a 16-bit offset */
#define POKE_BACK 0x7ff8 /* the same for those that go back, before the band */

enum poke_op {
	POKE_INFO,
	POKE_ALLOC,
	POKE_FREE,
	POKE_RESERVE,
	POKE_PENDING,
	/* Accesses. K: a kfunc touches; P: the program itself; LEAF: in a subprogram. */
	POKE_K_READ64,
	POKE_K_READ32,
	POKE_K_WRITE64,
	POKE_K_WRITE32,
	POKE_K_LEAF_READ64,
	POKE_K_LEAF_WRITE32,
	POKE_P_READ64,
	POKE_P_WRITE32,
	POKE_P_LEAF_READ32,
	POKE_P_LEAF_WRITE64,
	POKE_P_FAR_READ64,
	POKE_P_FAR_WRITE64,
	POKE_P_BACK_READ64,
	POKE_P_BACK_WRITE64,
	POKE_P_FIRST_READ64,
	POKE_OPS
};

/* Role of a call of gamma in a race; see arenarace.c. */
enum poke_race {
	POKE_ALONE,
	POKE_STOP_IN_FAULT, /* the access faults and is stopped before the fault is handled */
	POKE_UNTIL_UNMAPPED, /* waits for another CPU to unmap the page, then accesses */
	POKE_WHILE_STOPPED, /* waits until another CPU is stopped, operates, releases it */
	POKE_STOP_WORKER, /* frees, and stops the worker that the free starts */
	POKE_WORKER_RUNS, /* returns the number of runs */
};

/* One call: the context of a syscall program, copied back after the run. */
struct poke_call {
	/* input */
	__u32 op;
	__u32 pages; /* alloc, free, reserve */
	__u64 uaddr; /* alloc (0: anywhere), free, reserve, P accesses */
	__u64 koff; /* K accesses: distance from the arena's kern_vm_start */
	__u64 value; /* stored, or what was loaded */
	/* output */
	__u64 kern_vm_start;
	__u64 kaddr; /* exact kernel address of the access */
	__s64 ret; /* of alloc, reserve, pending */
	__u32 line; /* source line of the access */
	__u32 stream_line; /* the line the kernel's report names */
	__u32 cpu;
	__u32 race; /* input: enum poke_race */
	__u32 late; /* output: -errno of a wait that failed */
	__u32 pad;
	char func[24]; /* function that made the access */
	char file[24]; /* source file of the access */
};

#endif
