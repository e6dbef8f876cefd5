/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Single actions on an arena. Each one knows from the state of the pages what has to
 * happen, checks what can be seen from here, and notes it in the ground truth.
 */
#ifndef ACT_H
#define ACT_H

#include "truth.h"

#define ANYWHERE UINT32_MAX

void act_seed(uint64_t seed);
uint32_t act_random(uint32_t below);

/* Allocate at @page, or where the kernel likes; returns the first page or ANYWHERE if refused. */
uint32_t act_alloc(struct target *t, uint32_t page, uint32_t pages);
void act_free(struct target *t, uint32_t page, uint32_t pages);
/* Queue the free; the pages stay what they are until act_deferred_done(). */
void act_free_deferred(struct target *t, uint32_t page, uint32_t pages);
void act_deferred_done(struct target *t);
bool act_reserve(struct target *t, uint32_t page, uint32_t pages);

/* Access through a kfunc, in the next of the program's places that do so. */
void act_kernel(struct target *t, const char *kind, uint64_t koff);
/* Access by the program itself. */
void act_prog(struct target *t, const char *kind, uint64_t koff);
/* The same with a large displacement, which can reach past the band. */
void act_prog_far(struct target *t, const char *kind, uint64_t koff);
/* The same with one that goes back, before the band. */
void act_prog_back(struct target *t, const char *kind, uint64_t koff);
/* The same as the first instruction of its source line. */
void act_prog_first(struct target *t, const char *kind, uint64_t koff);
/* One given access; safe to call from several threads if the pages differ. */
void act_access(struct target *t, enum poke_op op, struct fault fault);

/* Access from user space: maps an empty page, is refused on a scratched one. */
void act_user(struct target *t, uint32_t page);

/* The parts of act_access(): fill in what to ask of the program, check what it answered. */
void act_ask(struct target *t, enum poke_op op, struct fault *fault);
void act_answer(struct target *t, const struct fault *fault, bool mapped);

/* The first of so many pages in a row that were never used; page 0 is left alone. */
uint32_t act_pick_fresh(struct target *t, uint32_t pages);
/* A random page with this state. */
uint32_t act_pick(struct target *t, enum page_state state, bool taken);
/* An 8-byte aligned place in a page, another one each time. */
uint32_t act_offset(void);

#endif
