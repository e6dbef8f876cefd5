/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Single operations on an arena. Each derives the expected result from the state of the pages,
 * checks the visible part of it, and writes it to the ground truth.
 */
#ifndef ACT_H
#define ACT_H

#include "truth.h"

#define ANYWHERE UINT32_MAX

void act_seed(uint64_t seed);
uint32_t act_random(uint32_t below);

/* Allocate at @page or at ANYWHERE; returns the first page, or ANYWHERE if refused. */
uint32_t act_alloc(struct target *t, uint32_t page, uint32_t pages);
void act_free(struct target *t, uint32_t page, uint32_t pages);
/* Queue the free; the pages keep their state until act_deferred_done(). */
void act_free_deferred(struct target *t, uint32_t page, uint32_t pages);
void act_deferred_done(struct target *t);
bool act_reserve(struct target *t, uint32_t page, uint32_t pages);

/* Access through a kfunc, at the program's next call site. */
void act_kernel(struct target *t, const char *kind, uint64_t koff);
/* Access by the program itself. */
void act_prog(struct target *t, const char *kind, uint64_t koff);
/* The same with a large displacement, which can reach past the band. */
void act_prog_far(struct target *t, const char *kind, uint64_t koff);
/* The same with a negative displacement, before the band. */
void act_prog_back(struct target *t, const char *kind, uint64_t koff);
/* The same as the first instruction of its source line. */
void act_prog_first(struct target *t, const char *kind, uint64_t koff);
/* One given access; safe to call from several threads if the pages differ. */
void act_access(struct target *t, enum poke_op op, struct fault fault);

/* Access from user space: maps an empty page, fails on a scratch page. */
void act_user(struct target *t, uint32_t page);

/* The parts of act_access(): fill in the call, check its results. */
void act_ask(struct target *t, enum poke_op op, struct fault *fault);
void act_answer(struct target *t, const struct fault *fault, bool mapped);

/* The first of so many pages in a row that were never used; never page 0. */
uint32_t act_pick_fresh(struct target *t, uint32_t pages);
/* A random page with this state. */
uint32_t act_pick(struct target *t, enum page_state state, bool taken);
/* An 8-byte aligned offset in a page, a different one each time. */
uint32_t act_offset(void);

#endif
