// SPDX-License-Identifier: GPL-2.0
#include "choose.h"

#include "rng.h"

#define ANY_NODE (-1)
#define NO_SUCH_NODE 1000

/* Many small, some large, up to 64. */
static uint32_t some_pages(void)
{
	uint32_t kind = rng_below(100);

	if (kind < 45)
		return 1;
	return kind < 85 ? 2 + rng_below(7) : 9 + rng_below(56);
}

static struct range a_recent(const struct arena *a)
{
	uint32_t known = a->nr_recent < RECENT ? a->nr_recent : RECENT;

	if (known)
		return a->recent[rng_below(known)];
	return (struct range){ rng_below(a->shape.max_entries), 1 };
}

/* A range in or around a recent allocation: all of it, a part, or more than it. */
static struct range near_recent(const struct arena *a)
{
	struct range r = a_recent(a);
	uint32_t shift;

	switch (rng_below(4)) {
	case 0: /* its end cut off, or its beginning */
		shift = rng_below(r.pages);
		if (rng_chance(50))
			r.page += shift;
		r.pages -= shift;
		break;
	case 1: /* over its edges */
		shift = rng_below(4);
		r.pages += shift + rng_below(4);
		r.page = r.page > shift ? r.page - shift : 0;
		break;
	}
	return r;
}

static struct range somewhere(const struct arena *a)
{
	return (struct range){ rng_below(a->shape.max_entries), some_pages() };
}

/* An address that no request should name. */
static uint64_t broken_address(const struct arena *a, uint32_t page, bool below)
{
	switch (rng_below(below ? 3 : 2)) {
	case 0:
		return arena_uaddr(a, page) + 1 + rng_below(CALL_PAGE - 1);
	case 1:
		return arena_uaddr(a, a->shape.max_entries + rng_below(8));
	default:
		return arena_uaddr(a, -1 - (int64_t)rng_below(8));
	}
}

/* The pointer as a program has it after a cast: its low half, which is 0 for some page 0. */
static uint64_t as_pointer(uint64_t uaddr)
{
	return rng_chance(20) ? (uint32_t)uaddr : uaddr;
}

static uint32_t broken_pages(const struct arena *a)
{
	switch (rng_below(4)) {
	case 0:
		return 0;
	case 1:
		return ~0U;
	case 2:
		return a->shape.max_entries;
	default:
		return a->shape.max_entries + 1;
	}
}

void choose_alloc(const struct arena *a, const struct ability *can, struct call *c)
{
	struct range r = rng_chance(50) ? near_recent(a) : somewhere(a);

	*c = (struct call){ .op = CALL_ALLOC, .pages = some_pages(), .node = ANY_NODE };
	if (rng_chance(15))
		c->node = 0;
	if (rng_chance(30)) {
		c->pages = r.pages;
		c->uaddr = as_pointer(arena_uaddr(a, r.page));
	}
	if (!rng_chance(6))
		return;
	switch (rng_below(4)) {
	case 0:
		if (can->bad_nodes)
			c->node = rng_chance(50) ? NO_SUCH_NODE : -2;
		break;
	case 1:
		c->flags = 1;
		break;
	case 2:
		c->pages = broken_pages(a);
		break;
	default:
		c->uaddr = broken_address(a, r.page, true);
	}
}

void choose_free(const struct arena *a, const struct ability *can, struct call *c)
{
	struct range r = rng_chance(75) ? near_recent(a) : somewhere(a);

	*c = (struct call){ .op = CALL_FREE, .pages = r.pages };
	c->uaddr = as_pointer(arena_uaddr(a, r.page));
	if (rng_chance(4))
		c->uaddr = broken_address(a, r.page, can->free_from_below);
	if (rng_chance(1))
		c->pages = broken_pages(a);
}

void choose_reserve(const struct arena *a, struct call *c)
{
	struct range r = rng_chance(40) ? near_recent(a) : somewhere(a);

	*c = (struct call){ .op = CALL_RESERVE, .pages = r.pages };
	c->uaddr = as_pointer(arena_uaddr(a, r.page));
	if (rng_chance(10))
		c->uaddr = broken_address(a, r.page, true);
	if (rng_chance(3))
		c->pages = broken_pages(a);
}

/* A page in one of the three states if there is one, among the first @pages. */
static uint32_t page_in_some_state(const struct arena *a, uint32_t pages)
{
	enum page_state wanted = rng_below(PAGE_SCRATCH + 1);
	uint32_t first = rng_below(pages);

	for (uint32_t i = 0; i < pages; i++)
		if (a->state[(first + i) % pages] == wanted)
			return (first + i) % pages;
	return first;
}

static uint64_t touched(const struct arena *a, uint32_t pages)
{
	uint32_t page = page_in_some_state(a, pages);

	return arena_uaddr(a, page) + rng_below(CALL_PAGE / sizeof(uint64_t)) * sizeof(uint64_t);
}

static uint64_t touched_by_kernel(const struct arena *a)
{
	uint32_t pages = a->shape.max_entries;

	return rng_chance(8) ? arena_uaddr(a, pages + rng_below(BEYOND)) : touched(a, pages);
}

void choose_kernel_touch(const struct arena *a, struct call *c)
{
	*c = (struct call){ .op = rng_chance(50) ? CALL_KERNEL_READ : CALL_KERNEL_WRITE,
			    .uaddr = touched_by_kernel(a) };
	c->kaddr = a->kern_vm_start + (uint32_t)c->uaddr;
	c->value = c->uaddr;
}

void choose_prog_touch(const struct arena *a, struct call *c)
{
	*c = (struct call){ .op = rng_chance(50) ? CALL_PROG_READ : CALL_PROG_WRITE,
			    .uaddr = touched_by_kernel(a) };
	c->value = c->uaddr;
}

uint64_t choose_user_touch(const struct arena *a)
{
	return touched(a, a->shape.max_entries);
}
