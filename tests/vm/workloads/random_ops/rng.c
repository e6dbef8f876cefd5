// SPDX-License-Identifier: GPL-2.0
#include "rng.h"

static uint64_t state;

/* splitmix64: every state is as good as another, so any seed will do. */
static uint64_t next(void)
{
	uint64_t mixed = state += 0x9e3779b97f4a7c15ULL;

	mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
	mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
	return mixed ^ (mixed >> 31);
}

void rng_seed(uint64_t seed)
{
	state = seed;
}

uint32_t rng_below(uint32_t below)
{
	/* The high half of a product: no division, and no bias worth speaking of. */
	return ((next() >> 32) * below) >> 32;
}

bool rng_chance(uint32_t percent)
{
	return rng_below(100) < percent;
}
