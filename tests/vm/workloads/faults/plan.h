/* SPDX-License-Identifier: GPL-2.0 */
/* Counts of each operation. Primes: a sum or a product cannot hide a wrong count. */
#ifndef PLAN_H
#define PLAN_H

#include "target.h"

struct plan {
	/* kernel-side faults */
	uint32_t null, uaf, uaf_deferred, uaf_user_mapped, never, reserved, beyond, guard;
	uint32_t refault; /* free over scratch, then touched again */
	uint32_t overrun, underrun; /* in the page just past or before a live allocation */
	/* program-side faults */
	uint32_t prog_null, prog_uaf, prog_never, prog_beyond, prog_guard, prog_first;
	uint32_t prog_overrun, prog_underrun, prog_reserved, prog_refault, prog_lower_guard;
	/* no faults */
	uint32_t alloc_over_scratch, user_map, user_segv, user_map_reserved;
	uint32_t alloc_refused, reserve_refused, mapped_access;
};

extern const struct plan alpha_full, beta_full, alpha_short, beta_short;

/* Carry out both plans in turns; either may be NULL. */
void plan_run(struct target *a, const struct plan *plan_a, struct target *b,
	      const struct plan *plan_b);
/* Correct uses only: allocate, access from all three sides, free. */
void plan_clean(struct target *t, uint32_t rounds);

#endif
