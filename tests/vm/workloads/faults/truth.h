/* SPDX-License-Identifier: GPL-2.0 */
/* The ground truth: the operations of the workload, in order. */
#ifndef TRUTH_H
#define TRUTH_H

#include "target.h"

/* One expected fault, or one access of a race for a page. */
struct fault {
	uint32_t seq;
	const char *kind;
	bool kernel_side;
	bool write;
	uint32_t size;
	uint32_t program; /* index of the program in the truth */
	uint64_t koff; /* exact distance from kern_vm_start */
	struct poke_call call;
	int pinned_cpu; /* -1: not pinned */
	int tid;
	int race; /* -1, or which race for a page this access is part of */
};

/* An operation of the workload that is not a fault in the kernel. */
struct event {
	uint32_t seq;
	const char *what;
	uint32_t program;
	uint64_t uaddr;
	uint32_t pages;
	bool ok;
	uint32_t over_scratch; /* how many of the pages held the scratch page */
};

uint32_t truth_program(const struct target *t);
void truth_fault(const struct target *t, struct fault fault);
void truth_event(const struct target *t, struct event event);
/* @modes ends with NULL. */
void truth_write(const char *path, char **modes, uint64_t seed);
/* Number of recorded faults of @kind for @t. */
uint32_t truth_count(const struct target *t, const char *kind);

#endif
