/* SPDX-License-Identifier: GPL-2.0 */
/* Faults on pages without a recorded history: the recording begins later, or has a loss. */
#ifndef PAST_H
#define PAST_H

#include "target.h"

/*
 * Fill, free and reserve pages of both; create the file @ready and wait for the file @go, when
 * a recorder runs; then fault on these pages, and on pages that were never used.
 */
void past_old(struct target *a, struct target *b, const char *ready, const char *go);
/*
 * The same under a recorder, the parent process. It is stopped while more operations run than
 * fit into its ring; the last ones free the mapped pages.
 */
void past_lossy(struct target *a, struct target *b);

#endif
