/* SPDX-License-Identifier: GPL-2.0 */
/* Random numbers that are the same for the same seed, on every machine. */
#ifndef RNG_H
#define RNG_H

#include <stdbool.h>
#include <stdint.h>

void rng_seed(uint64_t seed);
/* A number from 0 to @below - 1; 0 if @below is 0. */
uint32_t rng_below(uint32_t below);
/* True in @percent of 100 cases. */
bool rng_chance(uint32_t percent);

#endif
