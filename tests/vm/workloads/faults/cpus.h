/* SPDX-License-Identifier: GPL-2.0 */
/* Kernel-side faults from two CPUs at once. */
#ifndef CPUS_H
#define CPUS_H

#include "target.h"

/* @count faults on each of CPU 0 and 1, each on a page of its own. */
void cpus_apart(struct target *t, uint32_t count);
/* @count pages, each touched by both CPUs at the same moment: one or two reports. */
void cpus_race(struct target *t, uint32_t count);

#endif
