// SPDX-License-Identifier: GPL-2.0
#include "plan.h"

#include <string.h>

#include "act.h"

const struct plan alpha_full = {
	.null = 3, .uaf = 23, .uaf_deferred = 11, .uaf_user_mapped = 13, .never = 29,
	.reserved = 5, .beyond = 17, .guard = 7, .refault = 19,
	.prog_null = 31, .prog_uaf = 37, .prog_never = 41, .prog_beyond = 43, .prog_guard = 47,
	.prog_first = 53, .overrun = 13, .underrun = 7, .prog_overrun = 11, .prog_underrun = 5,
	.prog_reserved = 19, .prog_refault = 17, .prog_lower_guard = 23,
	.alloc_over_scratch = 11, .user_map = 19, .user_segv = 17, .user_map_reserved = 5,
	.alloc_refused = 5, .reserve_refused = 3, .mapped_access = 61,
};

/* NULL is outside of beta's user range: nothing can free it, so it faults only once. */
const struct plan beta_full = {
	.null = 1, .uaf = 31, .uaf_deferred = 2, .uaf_user_mapped = 3, .never = 37,
	.reserved = 7, .beyond = 13, .guard = 5, .refault = 11,
	.prog_null = 17, .prog_uaf = 19, .prog_never = 23, .prog_beyond = 29, .prog_guard = 41,
	.prog_first = 43, .overrun = 7, .underrun = 3, .prog_overrun = 5, .prog_underrun = 2,
	.prog_reserved = 11, .prog_refault = 13, .prog_lower_guard = 29,
	.alloc_over_scratch = 7, .user_map = 23, .user_segv = 13, .user_map_reserved = 3,
	.alloc_refused = 3, .reserve_refused = 2, .mapped_access = 59,
};

const struct plan alpha_short = {
	.uaf = 5, .never = 7, .prog_never = 3, .user_segv = 2,
};

const struct plan beta_short = {
	.uaf = 3, .never = 5, .prog_never = 2, .user_segv = 3,
};

static void null_prog(struct target *t, const struct plan *plan)
{
	for (uint32_t i = 0; i < plan->prog_null; i++)
		act_prog(t, "prog-null", act_offset());
}

/* NULL inside the user range is reserved, as sched_ext's libraries do. */
static void null_kernel(struct target *t, const struct plan *plan)
{
	bool in_range = (uint32_t)t->user_vm_start == 0;

	for (uint32_t i = 0; i < plan->null; i++) {
		if (i && !in_range)
			die("%s: NULL can fault only once", t->prog.name);
		if (i)
			act_free(t, 0, 1);
		if (in_range)
			act_reserve(t, 0, 1);
		act_kernel(t, "null", act_offset());
	}
}

static void uaf(struct target *t, const struct plan *plan)
{
	uint32_t pages;

	for (uint32_t done = 0, round = 0; done < plan->uaf; done += pages, round++) {
		uint32_t first;

		pages = 1 + round % 4;
		if (pages > plan->uaf - done)
			pages = plan->uaf - done;
		first = act_alloc(t, ANYWHERE, pages);
		act_kernel(t, "mapped", target_koff(t, first) + act_offset());
		act_free(t, first, pages);
		for (uint32_t i = 0; i < pages; i++)
			act_kernel(t, "uaf", target_koff(t, first + i) + act_offset());
	}
}

static void uaf_deferred(struct target *t, const struct plan *plan)
{
	uint32_t pages[64];

	if (!plan->uaf_deferred)
		return;
	for (uint32_t i = 0; i < plan->uaf_deferred; i++)
		pages[i] = act_alloc(t, act_pick(t, PAGE_NONE, false), 1);
	for (uint32_t i = 0; i < plan->uaf_deferred; i++)
		act_free_deferred(t, pages[i], 1);
	act_deferred_done(t);
	for (uint32_t i = 0; i < plan->uaf_deferred; i++)
		act_kernel(t, "uaf-deferred", target_koff(t, pages[i]) + act_offset());
}

static void uaf_user_mapped(struct target *t, const struct plan *plan)
{
	for (uint32_t i = 0; i < plan->uaf_user_mapped; i++) {
		uint32_t page = act_pick(t, PAGE_NONE, false);

		act_user(t, page);
		act_free(t, page, 1);
		act_kernel(t, "uaf-user-mapped", target_koff(t, page) + act_offset());
	}
}

static void never(struct target *t, const struct plan *plan)
{
	for (uint32_t i = 0; i < plan->never; i++)
		act_kernel(t, "never-allocated",
			   target_koff(t, act_pick(t, PAGE_NONE, false)) + act_offset());
}

/* Past the end or before the start of a live allocation, by less than a page. */
static void bounds(struct target *t, const struct plan *plan)
{
	const struct {
		void (*act)(struct target *t, const char *kind, uint64_t koff);
		const char *kind;
		uint32_t count;
		bool past;
	} ways[] = {
		{ act_kernel, "overrun", plan->overrun, true },
		{ act_kernel, "underrun", plan->underrun, false },
		{ act_prog, "prog-overrun", plan->prog_overrun, true },
		{ act_prog, "prog-underrun", plan->prog_underrun, false },
	};

	for (size_t way = 0; way < sizeof(ways) / sizeof(*ways); way++) {
		for (uint32_t i = 0; i < ways[way].count; i++) {
			uint32_t pages = 1 + i % 3, first = act_pick_fresh(t, pages + 2) + 1;
			uint32_t page = ways[way].past ? first + pages : first - 1;

			act_alloc(t, first, pages);
			ways[way].act(t, ways[way].kind, target_koff(t, page) + act_offset());
			act_free(t, first, pages);
		}
	}
}

static void reserved(struct target *t, const struct plan *plan)
{
	for (uint32_t i = 0; i < plan->reserved; i++) {
		uint32_t page = act_pick(t, PAGE_NONE, false);

		act_reserve(t, page, 1);
		act_kernel(t, "reserved", target_koff(t, page) + act_offset());
	}
	for (uint32_t i = 0; i < plan->prog_reserved; i++) {
		uint32_t page = act_pick(t, PAGE_NONE, false);

		act_reserve(t, page, 1);
		act_prog(t, "prog-reserved", target_koff(t, page) + act_offset());
	}
	for (uint32_t i = 0; i < plan->user_map_reserved; i++) {
		uint32_t page = act_pick(t, PAGE_NONE, false);

		act_reserve(t, page, 1);
		act_user(t, page);
	}
}

/* A page that no other call gets, a little beyond the user range, never that of NULL. */
static uint64_t beyond_page(struct target *t)
{
	uint32_t page;

	do {
		page = target_koff(t, t->max_entries) + 7 * POKE_PAGE * t->beyond_used++;
	} while (page < POKE_PAGE);
	return page;
}

static void beyond(struct target *t, const struct plan *plan)
{
	for (uint32_t i = 0; i < plan->beyond; i++)
		act_kernel(t, "beyond-user", beyond_page(t) + act_offset());
}

static void guard(struct target *t, const struct plan *plan)
{
	for (uint32_t i = 0; i < plan->guard; i++) {
		if (t->guard_used == POKE_GUARD / POKE_PAGE)
			die("%s: the upper guard has no page left", t->prog.name);
		act_kernel(t, "upper-guard",
			   POKE_BAND + POKE_PAGE * t->guard_used++ + act_offset());
	}
}

static void prog(struct target *t, const struct plan *plan)
{
	uint32_t page = 0;

	for (uint32_t i = 0; i < plan->prog_uaf; i++) {
		page = act_alloc(t, ANYWHERE, 1);
		act_prog(t, "mapped", target_koff(t, page) + act_offset());
		act_free(t, page, 1);
		act_prog(t, "prog-uaf", target_koff(t, page) + act_offset());
	}
	for (uint32_t i = 0; i < plan->prog_never; i++) {
		/* Every third on the page before: unlike a kfunc's, these fault again. */
		if (i % 3 != 2)
			page = act_pick(t, PAGE_NONE, false);
		act_prog(t, "prog-never-allocated", target_koff(t, page) + act_offset());
	}
	for (uint32_t i = 0; i < plan->prog_beyond; i++)
		act_prog(t, "prog-beyond-user", beyond_page(t) + act_offset());
	for (uint32_t i = 0; i < plan->prog_guard; i++)
		act_prog_far(t, "prog-upper-guard", POKE_BAND + i % 6 * POKE_PAGE + act_offset());
	for (uint32_t i = 0; i < plan->prog_lower_guard; i++)
		act_prog_back(t, "prog-lower-guard",
			      -POKE_PAGE * (1 + i % 7) + act_offset());
	for (uint32_t i = 0; i < plan->prog_first; i++)
		act_prog_first(t, "prog-first-of-line",
			       target_koff(t, act_pick(t, PAGE_NONE, false)) + act_offset());
}

static void over_scratch(struct target *t, const struct plan *plan)
{
	for (uint32_t i = 0; i < plan->user_segv; i++)
		act_user(t, act_pick(t, PAGE_SCRATCH, false));
	for (uint32_t i = 0; i < plan->alloc_over_scratch; i++) {
		uint32_t page = act_alloc(t, act_pick(t, PAGE_SCRATCH, false), 1);

		/* The scratch page was replaced: these access real memory. */
		act_kernel(t, "mapped", target_koff(t, page) + act_offset());
		act_user(t, page);
	}
	for (uint32_t i = 0; i < plan->refault; i++) {
		uint32_t page = act_pick(t, PAGE_SCRATCH, false);

		act_free(t, page, 1);
		act_kernel(t, "after-free-over-scratch", target_koff(t, page) + act_offset());
	}
	for (uint32_t i = 0; i < plan->prog_refault; i++) {
		uint32_t page = act_pick(t, PAGE_SCRATCH, false);

		act_free(t, page, 1);
		act_prog(t, "prog-after-free-over-scratch", target_koff(t, page) + act_offset());
	}
}

static void harmless(struct target *t, const struct plan *plan)
{
	for (uint32_t i = 0; i < plan->user_map; i++)
		act_user(t, act_pick(t, PAGE_NONE, false));
	for (uint32_t i = 0; i < plan->mapped_access; i++) {
		uint64_t koff = target_koff(t, act_pick(t, PAGE_REAL, true)) + act_offset();

		if (i % 2)
			act_kernel(t, "mapped", koff);
		else
			act_prog(t, "mapped", koff);
	}
	for (uint32_t i = 0; i < plan->alloc_refused; i++)
		act_alloc(t, act_pick(t, PAGE_REAL, true), 1);
	for (uint32_t i = 0; i < plan->reserve_refused; i++)
		act_reserve(t, act_pick(t, PAGE_REAL, true), 1);
}

/* Fail unless the workload did everything that was planned. */
static void verify(const struct target *t, const struct plan *plan)
{
	const struct { const char *kind; uint32_t planned; } kinds[] = {
		{ "null", plan->null }, { "uaf", plan->uaf },
		{ "uaf-deferred", plan->uaf_deferred },
		{ "uaf-user-mapped", plan->uaf_user_mapped },
		{ "never-allocated", plan->never }, { "reserved", plan->reserved },
		{ "beyond-user", plan->beyond }, { "upper-guard", plan->guard },
		{ "after-free-over-scratch", plan->refault },
		{ "prog-null", plan->prog_null }, { "prog-uaf", plan->prog_uaf },
		{ "prog-never-allocated", plan->prog_never },
		{ "prog-beyond-user", plan->prog_beyond },
		{ "prog-upper-guard", plan->prog_guard },
		{ "prog-first-of-line", plan->prog_first }, { "mapped", 0 },
		{ "overrun", plan->overrun }, { "underrun", plan->underrun },
		{ "prog-overrun", plan->prog_overrun }, { "prog-underrun", plan->prog_underrun },
		{ "prog-reserved", plan->prog_reserved },
		{ "prog-after-free-over-scratch", plan->prog_refault },
		{ "prog-lower-guard", plan->prog_lower_guard },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (truth_count(t, kinds[i].kind) != kinds[i].planned)
			die("%s: %u faults of kind %s, planned %u", t->prog.name,
			    truth_count(t, kinds[i].kind), kinds[i].kind, kinds[i].planned);
}

void plan_run(struct target *a, const struct plan *plan_a, struct target *b,
	      const struct plan *plan_b)
{
	static void (*const steps[])(struct target *, const struct plan *) = {
		null_prog, null_kernel, bounds, uaf, uaf_deferred, uaf_user_mapped, never, reserved,
		beyond, prog, guard, over_scratch, harmless,
	};

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		if (plan_a)
			steps[i](a, plan_a);
		if (plan_b)
			steps[i](b, plan_b);
	}
	if (plan_a)
		verify(a, plan_a);
	if (plan_b)
		verify(b, plan_b);
}

void plan_clean(struct target *t, uint32_t rounds)
{
	for (uint32_t i = 0; i < rounds; i++) {
		uint32_t pages = 1 + i % 5, page = act_alloc(t, ANYWHERE, pages);
		uint32_t lazy = act_pick(t, PAGE_NONE, false);

		act_user(t, lazy);
		for (uint32_t j = 0; j < pages; j++) {
			act_kernel(t, "mapped", target_koff(t, page + j) + act_offset());
			act_prog(t, "mapped", target_koff(t, page + j) + act_offset());
		}
		act_kernel(t, "mapped", target_koff(t, lazy) + act_offset());
		act_free(t, page, pages);
		act_free(t, lazy, 1);
	}
}
