/* SPDX-License-Identifier: GPL-2.0 */
/* Races between two CPUs for a page, each with the same winner every time. */
#ifndef RACE_H
#define RACE_H

#include "target.h"

/* How often each race is run, by the side that faults. */
struct races {
	uint32_t alloc, free, late;
};

/* Needs the module arenarace and gamma; @streams as for target_load(). */
void race_run(struct target *gamma, const char *streams);

#endif
