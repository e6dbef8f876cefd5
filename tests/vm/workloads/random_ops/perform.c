// SPDX-License-Identifier: GPL-2.0
#include "perform.h"

#include <string.h>

#include "choose.h"
#include "rng.h"
#include "truth.h"
#include "user_touch.h"

static void settle_alloc(struct arena *a, const struct call *c, bool sleepable)
{
	uint64_t given = c->ret;

	truth_record(a, (struct record){ .op = "alloc", .addr = c->uaddr, .pages = c->pages,
					 .node = c->node, .flags = c->flags,
					 .sleepable = sleepable, .address = &given });
	if (given) {
		struct range range = arena_clamped(a, given, c->pages);

		if (range.pages != c->pages)
			die("arena %u: %u pages at %#llx are not in it", a->index, c->pages,
			    (unsigned long long)given);
		arena_set(a, range, PAGE_REAL);
		arena_remember(a, range);
	}
}

/* Returns the range that was freed or, if the operation could not sleep, will be. */
static struct range settle_free(struct arena *a, const struct call *c, bool sleepable)
{
	struct range range = arena_clamped(a, c->uaddr, c->pages);

	truth_record(a, (struct record){ .op = "free", .addr = c->uaddr, .pages = c->pages,
					 .sleepable = sleepable });
	if (sleepable)
		arena_set(a, range, PAGE_NONE);
	return range;
}

static void settle_reserve(struct arena *a, const struct call *c, bool sleepable)
{
	int64_t result = c->ret;

	truth_record(a, (struct record){ .op = "reserve", .addr = c->uaddr, .pages = c->pages,
					 .sleepable = sleepable, .number = &result });
}

/* A touch by the kernel or the program faults where the page table entry is empty. */
static void settle_touch(struct arena *a, const struct call *c)
{
	bool kernel = c->op == CALL_KERNEL_READ || c->op == CALL_KERNEL_WRITE;
	uint8_t *state = arena_state_at(a, c->uaddr);
	bool fault = *state == PAGE_NONE;

	truth_record(a, (struct record){ .op = kernel ? "kernel-touch" : "prog-touch",
					 .addr = c->uaddr,
					 .write = c->op == CALL_KERNEL_WRITE ||
						  c->op == CALL_PROG_WRITE,
					 .word = fault ? "fault" : "none" });
	/* The kernel's promise for a program's load from where nothing is. */
	if (c->op == CALL_PROG_READ && fault && c->value)
		die("arena %u: load at %#llx gave %#llx", a->index, (unsigned long long)c->uaddr,
		    (unsigned long long)c->value);
	if (fault && kernel)
		*state = PAGE_SCRATCH;
}

static struct range settle(struct arena *a, const struct call *c, bool sleepable)
{
	switch (c->op) {
	case CALL_ALLOC:
		settle_alloc(a, c, sleepable);
		break;
	case CALL_FREE:
		return settle_free(a, c, sleepable);
	case CALL_RESERVE:
		settle_reserve(a, c, sleepable);
		break;
	default:
		settle_touch(a, c);
	}
	return (struct range){};
}

static void perform_user_touch(struct arena *a)
{
	uint64_t uaddr = choose_user_touch(a);
	bool write = rng_chance(50);
	const char *came = user_touch(uaddr, write);

	truth_record(a, (struct record){ .op = "user-touch", .addr = uaddr, .write = write,
					 .word = came });
	if (!strcmp(came, "mapped"))
		*arena_state_at(a, uaddr) = PAGE_REAL;
}

static void choose_burst(const struct arena *a, const struct ability *can, struct burst *b)
{
	b->count = 2 + rng_below(CALL_BURST - 1);
	for (struct call *c = b->calls; c < b->calls + b->count; c++) {
		uint32_t kind = rng_below(100);

		if (kind < 50)
			choose_free(a, can, c);
		else if (kind < 75)
			choose_alloc(a, can, c);
		else if (kind < 85)
			choose_reserve(a, c);
		else if (kind < 92 && can->kernel_touch)
			choose_kernel_touch(a, c);
		else
			choose_prog_touch(a, c);
	}
}

static void perform_burst(struct arena *a, const struct ability *can)
{
	struct range freed[CALL_BURST];
	uint32_t frees = 0;
	struct burst b = {};

	choose_burst(a, can, &b);
	arena_run_burst(a, &b);
	for (struct call *c = b.calls; c < b.calls + b.count; c++) {
		freed[frees] = settle(a, c, false);
		frees += freed[frees].pages != 0;
	}
	arena_wait(a, b.zaps, frees);
	for (struct range *range = freed; range < freed + frees; range++)
		arena_set(a, *range, PAGE_NONE);
}

void perform(struct arena *a, const struct ability *can)
{
	struct burst b = { .count = 1 };
	uint32_t kind = rng_below(100);

	if (kind < 4 && can->burst) {
		perform_burst(a, can);
		return;
	}
	if (kind < 18) {
		perform_user_touch(a);
		return;
	}
	if (kind < 55)
		choose_alloc(a, can, b.calls);
	else if (kind < 82)
		choose_free(a, can, b.calls);
	else if (kind < 87 && can->reserve)
		choose_reserve(a, b.calls);
	else if (kind < 94 && can->kernel_touch)
		choose_kernel_touch(a, b.calls);
	else
		choose_prog_touch(a, b.calls);
	arena_run(a, &b);
	settle(a, b.calls, true);
}
