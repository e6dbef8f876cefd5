// SPDX-License-Identifier: GPL-2.0
#include "act.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static uint64_t random_state;
static uint32_t next_offset;

void act_seed(uint64_t seed)
{
	random_state = seed * 0x9e3779b97f4a7c15ULL + 1;
	next_offset = act_random(512);
}

uint32_t act_random(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 16) % below;
}

uint32_t act_offset(void)
{
	/* 37 has no factor in common with 512: all slots before any comes again. */
	return (next_offset += 37) % 512 * 8;
}

uint32_t act_pick(struct target *t, enum page_state state, bool taken)
{
	uint32_t first = act_random(t->max_entries);

	for (uint32_t i = 0; i < t->max_entries; i++) {
		uint32_t page = (first + i) % t->max_entries;

		/* The NULL pointer may reach page 0, which has its own fault kind. */
		if (page && t->pages[page].state == state && t->pages[page].taken == taken)
			return page;
	}
	die("%s: no page left in state %d", t->prog.name, state);
}

uint32_t act_pick_fresh(struct target *t, uint32_t pages)
{
	uint32_t first = 1 + act_random(t->max_entries), run = 0;

	for (uint32_t i = 0; i < t->max_entries + pages; i++) {
		uint32_t page = (first + i) % t->max_entries;
		const struct page *p = &t->pages[page];

		/* A run neither wraps around nor covers page 0, which NULL may reach. */
		run = page && p->state == PAGE_NONE && !p->taken && !p->used ? run + 1 : 0;
		if (run == pages)
			return page - pages + 1;
	}
	die("%s: no %u fresh pages left", t->prog.name, pages);
}

static uint32_t scratched(const struct target *t, uint32_t page, uint32_t pages)
{
	uint32_t count = 0;

	for (uint32_t i = page; i < page + pages; i++)
		count += t->pages[i].state == PAGE_SCRATCH;
	return count;
}

static bool any_taken(const struct target *t, uint32_t page, uint32_t pages)
{
	for (uint32_t i = page; i < page + pages; i++)
		if (t->pages[i].taken)
			return true;
	return false;
}

static void set(struct target *t, uint32_t page, uint32_t pages, enum page_state state,
		bool taken)
{
	for (uint32_t i = page; i < page + pages; i++) {
		t->pages[i].state = state;
		t->pages[i].taken = taken;
		t->pages[i].used |= state == PAGE_REAL;
	}
}

uint32_t act_alloc(struct target *t, uint32_t page, uint32_t pages)
{
	struct poke_call call = { .op = POKE_ALLOC, .pages = pages };
	struct event event = { .what = "alloc", .pages = pages };
	bool refusable = page != ANYWHERE && any_taken(t, page, pages);

	if (page != ANYWHERE)
		call.uaddr = target_uaddr(t, page);
	target_call(t, &call);
	event.ok = call.ret != 0;
	event.uaddr = event.ok ? (uint64_t)call.ret : call.uaddr;
	if (event.ok == refusable)
		die("%s: alloc of %u at %u gave %#llx", t->prog.name, pages, page,
		    (unsigned long long)call.ret);
	if (event.ok) {
		page = (event.uaddr - t->user_vm_start) / POKE_PAGE;
		if (any_taken(t, page, pages))
			die("%s: alloc gave page %u, which is taken", t->prog.name, page);
		event.over_scratch = scratched(t, page, pages);
		set(t, page, pages, PAGE_REAL, true);
	}
	truth_event(t, event);
	return event.ok ? page : ANYWHERE;
}

void act_free(struct target *t, uint32_t page, uint32_t pages)
{
	struct poke_call call = { .op = POKE_FREE, .pages = pages };

	call.uaddr = target_uaddr(t, page);
	target_call(t, &call);
	truth_event(t, (struct event){ .what = "free", .uaddr = call.uaddr, .pages = pages,
				       .ok = true, .over_scratch = scratched(t, page, pages) });
	set(t, page, pages, PAGE_NONE, false);
}

void act_free_deferred(struct target *t, uint32_t page, uint32_t pages)
{
	struct poke_call call = { .pages = pages };

	call.uaddr = target_uaddr(t, page);
	target_call_defer(t, &call);
	truth_event(t, (struct event){ .what = "free-deferred", .uaddr = call.uaddr,
				       .pages = pages, .ok = true,
				       .over_scratch = scratched(t, page, pages) });
	set(t, page, pages, PAGE_NONE, false);
}

void act_deferred_done(struct target *t)
{
	struct poke_call call = { .op = POKE_PENDING };

	do {
		usleep(1000);
		target_call(t, &call);
	} while (call.ret);
	/* The queue is empty before the worker has flushed the TLBs: allow time for it. */
	usleep(100000);
}

bool act_reserve(struct target *t, uint32_t page, uint32_t pages)
{
	struct poke_call call = { .op = POKE_RESERVE, .pages = pages };
	bool taken = any_taken(t, page, pages);

	call.uaddr = target_uaddr(t, page);
	target_call(t, &call);
	if ((call.ret != 0) != taken)
		die("%s: reserve of %u at %u gave %lld", t->prog.name, pages, page,
		    (long long)call.ret);
	truth_event(t, (struct event){ .what = "reserve", .uaddr = call.uaddr, .pages = pages,
				       .ok = !taken,
				       .over_scratch = taken ? 0 : scratched(t, page, pages) });
	for (uint32_t i = page; !taken && i < page + pages; i++)
		t->pages[i].taken = true;
	return !taken;
}

static bool op_writes(enum poke_op op)
{
	return op == POKE_K_WRITE64 || op == POKE_K_WRITE32 || op == POKE_K_LEAF_WRITE32 ||
	       op == POKE_P_WRITE32 || op == POKE_P_LEAF_WRITE64 || op == POKE_P_FAR_WRITE64 ||
	       op == POKE_P_BACK_WRITE64;
}

static uint32_t op_size(enum poke_op op)
{
	return op == POKE_K_READ32 || op == POKE_K_WRITE32 || op == POKE_K_LEAF_WRITE32 ||
	       op == POKE_P_WRITE32 || op == POKE_P_LEAF_READ32 ? 4 : 8;
}

static uint64_t displacement_of(enum poke_op op)
{
	if (op == POKE_P_FAR_READ64 || op == POKE_P_FAR_WRITE64)
		return POKE_FAR;
	return op == POKE_P_BACK_READ64 || op == POKE_P_BACK_WRITE64 ? -(uint64_t)POKE_BACK : 0;
}

/* The page of the user range that @koff is in, or NULL. */
static struct page *page_at(struct target *t, uint64_t koff)
{
	uint32_t page = (uint32_t)(koff - (uint32_t)t->user_vm_start) / POKE_PAGE;

	return koff < POKE_BAND && page < t->max_entries ? &t->pages[page] : NULL;
}

void act_ask(struct target *t, enum poke_op op, struct fault *fault)
{
	fault->kernel_side = op < POKE_P_READ64;
	fault->write = op_writes(op);
	fault->size = op_size(op);
	fault->tid = gettid();
	fault->call.op = op;
	fault->call.value = 0x5ca7c400 + fault->koff;
	fault->call.koff = fault->koff;
	fault->call.uaddr = (t->user_vm_start & ~0xffffffffULL) + fault->koff -
			    displacement_of(op);
}

void act_answer(struct target *t, const struct fault *fault, bool mapped)
{
	if (fault->call.kaddr != fault->call.kern_vm_start + fault->koff)
		die("%s: access at %#llx, not where asked", t->prog.name,
		    (unsigned long long)fault->call.kaddr);
	/* The kernel guarantees 0 for a program's own load from an unmapped page. */
	if (!mapped && !fault->kernel_side && !fault->write && fault->call.value)
		die("%s: a load that faulted gave %#llx", t->prog.name,
		    (unsigned long long)fault->call.value);
}

void act_access(struct target *t, enum poke_op op, struct fault fault)
{
	struct page *page = page_at(t, fault.koff);
	bool mapped = page && page->state == PAGE_REAL;

	act_ask(t, op, &fault);
	target_call(t, &fault.call);
	act_answer(t, &fault, mapped);
	if (mapped) {
		truth_event(t, (struct event){ .what = "mapped-access", .pages = 1, .ok = true,
					       .uaddr = (t->user_vm_start & ~0xffffffffULL) +
							fault.koff });
		return;
	}
	truth_fault(t, fault);
	if (fault.kernel_side && page)
		page->state = PAGE_SCRATCH;
	target_reported(t);
}

void act_kernel(struct target *t, const char *kind, uint64_t koff)
{
	static const enum poke_op sites[] = {
		POKE_K_READ64, POKE_K_WRITE64, POKE_K_LEAF_READ64,
		POKE_K_READ32, POKE_K_WRITE32, POKE_K_LEAF_WRITE32,
	};
	struct fault fault = { .kind = kind, .koff = koff, .pinned_cpu = -1, .race = -1 };

	act_access(t, sites[t->next_kernel_site++ % (sizeof(sites) / sizeof(*sites))], fault);
}

void act_prog(struct target *t, const char *kind, uint64_t koff)
{
	static const enum poke_op sites[] = {
		POKE_P_READ64, POKE_P_WRITE32, POKE_P_LEAF_READ32, POKE_P_LEAF_WRITE64,
	};
	struct fault fault = { .kind = kind, .koff = koff, .pinned_cpu = -1, .race = -1 };

	act_access(t, sites[t->next_prog_site++ % (sizeof(sites) / sizeof(*sites))], fault);
}

void act_prog_far(struct target *t, const char *kind, uint64_t koff)
{
	struct fault fault = { .kind = kind, .koff = koff, .pinned_cpu = -1, .race = -1 };

	act_access(t, t->next_prog_site++ % 2 ? POKE_P_FAR_WRITE64 : POKE_P_FAR_READ64, fault);
}

void act_prog_back(struct target *t, const char *kind, uint64_t koff)
{
	struct fault fault = { .kind = kind, .koff = koff, .pinned_cpu = -1, .race = -1 };

	act_access(t, t->next_prog_site++ % 2 ? POKE_P_BACK_WRITE64 : POKE_P_BACK_READ64, fault);
}

void act_prog_first(struct target *t, const char *kind, uint64_t koff)
{
	struct fault fault = { .kind = kind, .koff = koff, .pinned_cpu = -1, .race = -1 };

	act_access(t, POKE_P_FIRST_READ64, fault);
}

static sigjmp_buf after_segv;
static void *volatile segv_address;

static void on_segv(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	segv_address = info->si_addr;
	siglongjmp(after_segv, 1);
}

void act_user(struct target *t, uint32_t page)
{
	struct sigaction old, catch = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO };
	struct event event = { .pages = 1, .ok = true };
	uint8_t state = t->pages[page].state;
	/* A reserved page is mapped like a free one: the kernel does not check the free set. */
	bool refused = state == PAGE_SCRATCH;
	volatile bool segv = false;

	event.uaddr = target_uaddr(t, page) + act_offset();
	sigaction(SIGSEGV, &catch, &old);
	if (sigsetjmp(after_segv, 1))
		segv = true;
	else
		*(volatile uint64_t *)event.uaddr = event.uaddr;
	sigaction(SIGSEGV, &old, NULL);
	if (segv != refused || (segv && segv_address != (void *)event.uaddr))
		die("%s: user access to page %u: %s", t->prog.name, page, segv ? "refused" : "mapped");
	event.what = segv ? "user-segv" : state == PAGE_NONE ? "user-map" : "user-share";
	event.over_scratch = segv;
	truth_event(t, event);
	if (!segv)
		set(t, page, 1, PAGE_REAL, true);
}
