/* SPDX-License-Identifier: GPL-2.0 */
/* A loaded BPF object: its programs, its arena, and the state of every page. */
#ifndef TARGET_H
#define TARGET_H

#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "poke.h"

enum page_state { PAGE_NONE, PAGE_REAL, PAGE_SCRATCH };

struct page {
	uint8_t state; /* enum page_state: what the PTE holds */
	bool taken; /* not in the arena's free set */
	bool used; /* is or was mapped to real memory */
};

struct identity {
	char name[16];
	char tag[17];
	uint32_t id;
	int fd;
};

struct target {
	struct identity prog;
	struct identity defer; /* deferred frees; gone has none (fd 0) */
	char arena_name[16];
	struct bpf_object *object;
	uint32_t map_id;
	uint32_t max_entries;
	uint64_t user_vm_start;
	uint64_t kern_vm_start;
	struct page *pages;
	uint32_t guard_used; /* pages of the upper guard already touched */
	uint32_t beyond_used; /* pages beyond the user range already touched */
	uint32_t next_kernel_site, next_prog_site;
	unsigned int undrained; /* reports the stream may hold */
	FILE *stream;
};

void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Load @name.bpf.o from @objects; its stream text goes into a file in @streams, if given. */
void target_load(struct target *t, const char *objects, const char *streams, const char *name);
/* Read the rest of the stream, then drop the last references to program and arena. */
void target_unload(struct target *t);
/*
 * Another program of the object of @t, with its own stream: it works on the pages of @t.
 * End it with target_view_end() before @t is unloaded.
 */
void target_view(struct target *view, struct target *t, const char *streams, const char *name);
void target_view_end(struct target *view);
void target_drain(struct target *t);
/* A report was made: drain sometimes, a full stream drops reports silently. */
void target_reported(struct target *t);
void target_call(struct target *t, struct poke_call *call);
void target_call_defer(struct target *t, struct poke_call *call);

static inline uint64_t target_uaddr(const struct target *t, uint32_t page)
{
	return t->user_vm_start + page * POKE_PAGE;
}

/* Distance from kern_vm_start of a user address: its low half. */
static inline uint64_t target_koff(const struct target *t, uint32_t page)
{
	return (uint32_t)target_uaddr(t, page);
}

#endif
