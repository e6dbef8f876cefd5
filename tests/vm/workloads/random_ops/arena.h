/* SPDX-License-Identifier: GPL-2.0 */
/* An arena with its programs, and what each of its pages must be by all that was done. */
#ifndef ARENA_H
#define ARENA_H

#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stdint.h>

#include "call.h"

#define BEYOND 16 /* pages after the user range that are touched as well */
#define RECENT 32 /* allocations remembered, to aim at */

enum page_state { PAGE_NONE, PAGE_REAL, PAGE_SCRATCH };

struct range {
	uint32_t page, pages;
};

/* What the loader asks for when it creates an arena. */
struct shape {
	uint32_t max_entries;
	uint32_t map_flags;
	uint64_t user_vm_start; /* 0: wherever mmap puts it */
};

struct arena {
	struct shape shape;
	char name[16];
	uint32_t index, map_id;
	uint64_t user_vm_start, kern_vm_start;
	struct bpf_object *object;
	int ops_fd, burst_fd; /* burst_fd is -1 where operations that cannot sleep are not */
	uint8_t *state; /* enum page_state of the user range and BEYOND pages more */
	struct range recent[RECENT];
	uint32_t nr_recent;
};

/* What a kernel lets us do. */
struct ability {
	bool burst, reserve, kernel_touch;
	/*
	 * A free that begins below the user range does nothing. In 6.12 it takes away the pages
	 * of the range it reaches but leaves them taken, so that nobody can have them again.
	 */
	bool free_from_below;
	/* Memory nodes that do not exist. */
	bool bad_nodes;
};

void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

void ability_find(struct ability *can);
void arena_load(struct arena *a, const char *object_path, uint32_t index, struct shape shape,
		const struct ability *can);
void arena_unload(struct arena *a);
/* Run @b; its answers are in it afterwards. */
void arena_run(struct arena *a, struct burst *b);
void arena_run_burst(struct arena *a, struct burst *b);
/* Wait until the worker is done with @frees queued frees, @before being zaps until then. */
void arena_wait(struct arena *a, uint64_t before, uint32_t frees);

void arena_set(struct arena *a, struct range range, enum page_state state);
void arena_remember(struct arena *a, struct range range);
/* The part of a free that the kernel acts on: nothing if it does not start in the user range. */
struct range arena_clamped(const struct arena *a, uint64_t uaddr, uint32_t pages);
/* The state of the page @uaddr is in, NULL if it is none of those kept. */
uint8_t *arena_state_at(struct arena *a, uint64_t uaddr);

static inline uint64_t arena_uaddr(const struct arena *a, int64_t page)
{
	return a->user_vm_start + page * CALL_PAGE;
}

#endif
