/* SPDX-License-Identifier: GPL-2.0 */
/* The account of what was done and what came of it, as JSON. */
#ifndef TRUTH_H
#define TRUTH_H

#include <stdint.h>

#include "arena.h"

struct record {
	const char *op;
	uint64_t addr;
	uint32_t pages;
	int32_t node;
	uint32_t flags;
	bool sleepable, write;
	/* One of these three: an address or 0, a number, or a word; none for a free. */
	const uint64_t *address;
	const int64_t *number;
	const char *word;
};

void truth_open(const char *path);
void truth_record(const struct arena *a, struct record r);
uint32_t truth_count(void);
void truth_close(uint64_t seed, const struct ability *can, const struct arena *arenas,
		 uint32_t nr_arenas);

#endif
