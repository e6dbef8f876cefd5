/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OOPS_H
#define OOPS_H

/* Context of the programs: the address to access, and the results. */
struct touch {
	__u64 kaddr; /* 0: only return the start of the arena */
	__u64 value;
	__u64 start; /* kern_vm_start of the program's arena */
};

#define OOPS_GUARD 32768ULL /* half of the guard area around the kernel band */

#endif
