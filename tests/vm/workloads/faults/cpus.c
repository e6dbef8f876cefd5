// SPDX-License-Identifier: GPL-2.0
#include "cpus.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "act.h"

struct run {
	struct target *t;
	uint32_t count;
	bool race;
	uint64_t *koffs; /* addresses to access, @count for each CPU */
	uint32_t arrived; /* number of arrivals at a barrier */
};

struct worker {
	struct run *run;
	int cpu;
	pthread_t thread;
};

static void meet(struct run *run, uint32_t meeting)
{
	__atomic_add_fetch(&run->arrived, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&run->arrived, __ATOMIC_ACQUIRE) < 2 * (meeting + 1))
		;
}

static void *work(void *argument)
{
	static const enum poke_op sites[2][2] = {
		{ POKE_K_READ64, POKE_K_LEAF_WRITE32 }, { POKE_K_WRITE64, POKE_K_LEAF_READ64 },
	};
	struct worker *worker = argument;
	struct run *run = worker->run;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(worker->cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		die("no CPU %d to run on", worker->cpu);
	meet(run, 0);
	for (uint32_t i = 0; i < run->count; i++) {
		struct fault fault = { .kind = run->race ? "race" : "both-cpus",
				       .koff = run->koffs[worker->cpu * run->count + i],
				       .pinned_cpu = worker->cpu, .race = run->race ? (int)i : -1 };

		if (run->race)
			meet(run, i + 1);
		act_access(run->t, sites[worker->cpu][i % 2], fault);
	}
	return NULL;
}

static void run_on_both(struct run *run)
{
	struct worker workers[2];

	for (int cpu = 0; cpu < 2; cpu++) {
		workers[cpu] = (struct worker){ .run = run, .cpu = cpu };
		if (pthread_create(&workers[cpu].thread, NULL, work, &workers[cpu]))
			die("no thread for CPU %d", cpu);
	}
	for (int cpu = 0; cpu < 2; cpu++)
		pthread_join(workers[cpu].thread, NULL);
	target_drain(run->t);
	free(run->koffs);
}

/* The pages are chosen before the threads run, so every run has the same. */
static uint64_t *choose(struct target *t, uint32_t count)
{
	uint64_t *koffs = calloc(2 * count, sizeof(*koffs));

	if (!koffs)
		die("out of memory");
	for (uint32_t i = 0; i < count; i++) {
		uint32_t page = act_pick(t, PAGE_NONE, false);

		/* Not to be picked again: it becomes a scratch page. */
		t->pages[page].state = PAGE_SCRATCH;
		koffs[i] = target_koff(t, page);
	}
	return koffs;
}

void cpus_apart(struct target *t, uint32_t count)
{
	struct run run = { .t = t, .count = count, .koffs = choose(t, 2 * count) };

	for (uint32_t i = 0; i < 2 * count; i++)
		run.koffs[i] += act_offset();
	run_on_both(&run);
}

void cpus_race(struct target *t, uint32_t count)
{
	struct run run = { .t = t, .count = count, .race = true, .koffs = choose(t, count) };

	for (uint32_t i = 0; i < count; i++) {
		run.koffs[count + i] = run.koffs[i] + act_offset();
		run.koffs[i] += act_offset();
	}
	run_on_both(&run);
}
