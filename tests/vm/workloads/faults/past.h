/* SPDX-License-Identifier: GPL-2.0 */
/* Faults on pages whose past a recording cannot know: it begins in the middle, or has a gap. */
#ifndef PAST_H
#define PAST_H

#include "target.h"

/*
 * Fill, free and reserve pages of both; create the file @ready and wait for the file @go, by
 * when somebody records; then fault on what was there before, and on what was not.
 */
void past_old(struct target *a, struct target *b, const char *ready, const char *go);
/*
 * The same while it is recorded, by the parent process. That is stopped for a while, in which
 * more is done than fits into its ring, and last the pages that held memory are freed.
 */
void past_lossy(struct target *a, struct target *b);

#endif
