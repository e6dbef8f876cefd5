// SPDX-License-Identifier: GPL-2.0
#include "race.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "act.h"

static const struct races kernel_side = { .alloc = 13, .free = 17, .late = 5 };
static const struct races prog_side = { .alloc = 11, .free = 7, .late = 3 };

/* The operation of CPU 1, in its own thread, while CPU 0 faults. */
struct other {
	struct target *t;
	struct poke_call call;
	bool defer;
	pthread_t thread;
};

static cpu_set_t only(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	return cpus;
}

static void *run_other(void *argument)
{
	struct other *other = argument;

	if (other->defer)
		target_call_defer(other->t, &other->call);
	else
		target_call(other->t, &other->call);
	return NULL;
}

/* It never needs CPU 0, which may be stopped when the thread starts. */
static void start(struct other *other)
{
	cpu_set_t cpus = only(1);
	pthread_attr_t attributes;

	if (pthread_attr_init(&attributes) ||
	    pthread_attr_setaffinity_np(&attributes, sizeof(cpus), &cpus) ||
	    pthread_create(&other->thread, &attributes, run_other, other))
		die("no thread for CPU 1");
	pthread_attr_destroy(&attributes);
}

static void finish(struct other *other, const struct fault *fault)
{
	pthread_join(other->thread, NULL);
	if (other->call.late || fault->call.late)
		die("%s: %s: the other CPU did not come in time", other->t->prog.name, fault->kind);
}

static struct fault fault_at(struct target *t, const char *kind, uint32_t page, uint32_t race)
{
	return (struct fault){ .kind = kind, .koff = target_koff(t, page) + act_offset(),
			       .pinned_cpu = 0, .race = -1, .call = { .race = race } };
}

static enum poke_op site(bool kernel, uint32_t turn)
{
	if (kernel)
		return turn % 2 ? POKE_K_WRITE32 : POKE_K_READ64;
	return turn % 2 ? POKE_P_WRITE32 : POKE_P_READ64;
}

/* The page is allocated after the access has faulted and before the kernel looks at it. */
static void alloc_race(struct target *t, bool kernel, uint32_t turn)
{
	uint32_t page = act_pick(t, PAGE_NONE, false);
	struct other other = { .t = t, .call = { .op = POKE_ALLOC, .pages = 1,
						 .uaddr = target_uaddr(t, page),
						 .race = POKE_WHILE_STOPPED } };
	struct fault fault = fault_at(t, kernel ? "alloc-race" : "prog-alloc-race", page,
				      POKE_STOP_IN_FAULT);

	start(&other);
	act_ask(t, site(kernel, turn), &fault);
	target_call(t, &fault.call);
	finish(&other, &fault);
	if ((uint64_t)other.call.ret != target_uaddr(t, page))
		die("%s: the allocation of page %u failed", t->prog.name, page);
	truth_event(t, (struct event){ .what = "alloc", .uaddr = target_uaddr(t, page),
				       .pages = 1, .ok = true });
	t->pages[page] = (struct page){ PAGE_REAL, true, true };
	act_answer(t, &fault, false);
	truth_fault(t, fault);
	target_reported(t);
}

/* The program is about to access a page that is still there; another CPU frees it first. */
static void free_race(struct target *t, bool kernel, uint32_t turn)
{
	uint32_t page = act_alloc(t, act_pick_fresh(t, 1), 1);
	struct other other = { .t = t, .call = { .op = POKE_FREE, .pages = 1,
						 .uaddr = target_uaddr(t, page),
						 .race = POKE_WHILE_STOPPED } };
	struct fault fault = fault_at(t, kernel ? "free-race" : "prog-free-race", page,
				      POKE_UNTIL_UNMAPPED);

	start(&other);
	act_ask(t, site(kernel, turn), &fault);
	target_call(t, &fault.call);
	finish(&other, &fault);
	truth_event(t, (struct event){ .what = "free", .uaddr = target_uaddr(t, page),
				       .pages = 1, .ok = true });
	act_answer(t, &fault, false);
	truth_fault(t, fault);
	t->pages[page] = (struct page){ kernel ? PAGE_SCRATCH : PAGE_NONE, false, true };
	target_reported(t);
}

/* Wait until the worker has run @wanted times, so that no run is left for the next race. */
static void worker_ran(struct target *t, int64_t wanted)
{
	struct poke_call ask = { .race = POKE_WORKER_RUNS };

	for (int i = 0; i < 5000; i++) {
		target_call(t, &ask);
		if (ask.ret >= wanted)
			return;
		usleep(1000);
	}
	die("%s: the arena's worker did not run", t->prog.name);
}

/*
 * A free is put into the queue that the arena's worker is about to empty, because of an
 * earlier free: its page is gone although no worker has started since.
 */
static void late_free(struct target *t, struct target *late, bool kernel, uint32_t turn)
{
	uint32_t page = act_alloc(t, act_pick_fresh(t, 1), 1);
	uint32_t earlier = act_alloc(t, act_pick_fresh(t, 1), 1);
	struct poke_call runs = { .race = POKE_WORKER_RUNS };
	struct other other = { .t = t, .defer = true, .call = { .pages = 1,
			       .uaddr = target_uaddr(t, earlier), .race = POKE_STOP_WORKER } };
	struct fault fault = fault_at(t, kernel ? "late-free" : "prog-late-free", page, 0);

	target_call(t, &runs);
	start(&other);
	act_ask(late, site(kernel, turn), &fault);
	target_call(late, &fault.call);
	finish(&other, &fault);
	truth_event(t, (struct event){ .what = "free-deferred", .uaddr = other.call.uaddr,
				       .pages = 1, .ok = true });
	truth_event(late, (struct event){ .what = "free-deferred", .ok = true, .pages = 1,
					  .uaddr = target_uaddr(t, page) });
	act_answer(late, &fault, false);
	truth_fault(late, fault);
	t->pages[earlier] = (struct page){ PAGE_NONE, false, true };
	t->pages[page] = (struct page){ kernel ? PAGE_SCRATCH : PAGE_NONE, false, true };
	target_reported(late);
	/* Once for each free: the first run empties the queue, the second finds it empty. */
	worker_ran(t, runs.ret + 2);
	act_deferred_done(t);
}

static void run(struct target *t, struct target *late, const struct races *races, bool kernel)
{
	for (uint32_t i = 0; i < races->alloc; i++)
		alloc_race(t, kernel, i);
	for (uint32_t i = 0; i < races->free; i++)
		free_race(t, kernel, i);
	for (uint32_t i = 0; i < races->late; i++)
		late_free(t, late, kernel, i);
}

void race_run(struct target *gamma, const char *streams)
{
	cpu_set_t cpus = only(0);
	struct target late;

	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		die("no CPU 0 to run on");
	truth_program(gamma);
	target_view(&late, gamma, streams, "gamma_late");
	truth_program(&late);
	run(gamma, &late, &kernel_side, true);
	run(gamma, &late, &prog_side, false);
	target_view_end(&late);
}
