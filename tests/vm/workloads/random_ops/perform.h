/* SPDX-License-Identifier: GPL-2.0 */
/* Doing random operations and writing down what came of them. */
#ifndef PERFORM_H
#define PERFORM_H

#include "arena.h"

/* Do something to @a: one operation, or a burst of them. */
void perform(struct arena *a, const struct ability *can);

#endif
