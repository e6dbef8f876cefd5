/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OOPS_H
#define OOPS_H

/* The context of the programs: an address to touch, and what they found. */
struct touch {
	__u64 kaddr; /* 0: only say where the arena is */
	__u64 value;
	__u64 start; /* kern_vm_start of the program's arena */
};

#define OOPS_GUARD 32768ULL /* half of the guard area around the kernel band */

#endif
