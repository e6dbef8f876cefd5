/* SPDX-License-Identifier: GPL-2.0 */
/* What to do next, at random: whole and broken requests in useful proportions. */
#ifndef CHOOSE_H
#define CHOOSE_H

#include "arena.h"

/* Fill @c with an operation on pages or a touch, of the kinds that @can allows. */
void choose_alloc(const struct arena *a, const struct ability *can, struct call *c);
void choose_free(const struct arena *a, const struct ability *can, struct call *c);
void choose_reserve(const struct arena *a, struct call *c);
void choose_kernel_touch(const struct arena *a, struct call *c);
void choose_prog_touch(const struct arena *a, struct call *c);
/* An address in the user range, for user space to touch. */
uint64_t choose_user_touch(const struct arena *a);

#endif
