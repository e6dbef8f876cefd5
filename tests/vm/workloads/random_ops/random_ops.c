// SPDX-License-Identifier: GPL-2.0
/* random_ops: random operations on arenas, and an exact account of them. See usage(). */
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arena.h"
#include "perform.h"
#include "rng.h"
#include "truth.h"
#include "user_touch.h"

#define BPF_OBJECT "ops.bpf.o"

/*
 * The low half of the first one's address is 0, so that its page 0 is what the NULL pointer
 * reaches. The last one ends at a multiple of 4 GiB, so that what lies beyond it wraps.
 */
static const struct shape shapes[] = {
	{ .max_entries = 64, .user_vm_start = 0x1a5ULL << 32 },
	{ .max_entries = 300, .map_flags = BPF_F_SEGV_ON_FAULT },
	{ .max_entries = 1000, .user_vm_start = (0x2b8ULL << 32) - 1000 * CALL_PAGE },
	{ .max_entries = 513 },
};
#define NR_ARENAS (sizeof(shapes) / sizeof(*shapes))

struct options {
	const char *truth;
	uint64_t seed;
	uint32_t count;
	int cpu;
	bool no_kernel_touch, bad_nodes;
};

static void usage(void)
{
	fputs("usage: random_ops --truth FILE [--seed N] [--count N] [--cpu N]\n"
	      "                  [--no-kernel-touch] [--bad-nodes]\n"
	      "  --truth FILE       write what was done and what came of it, as JSON\n"
	      "  --seed N           the same seed asks for the same operations (default 1)\n"
	      "  --count N          do at least so many operations (default 20000)\n"
	      "  --cpu N            run there and nowhere else (default 0)\n"
	      "  --no-kernel-touch  never touch a page from the kernel. So it is anyway where\n"
	      "                     the module arenapoke or the kernel's fault handler is not\n"
	      "  --bad-nodes        ask for memory of nodes that do not exist, too\n",
	      stderr);
	exit(2);
}

static void stay_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("CPU %d: %s", cpu, strerror(errno));
}

static void run(const struct options *o)
{
	static struct arena arenas[NR_ARENAS];
	char object[PATH_MAX + sizeof(BPF_OBJECT)], self[PATH_MAX] = "";
	struct ability can;

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		die("/proc/self/exe: %s", strerror(errno));
	snprintf(object, sizeof(object), "%s/%s", dirname(self), BPF_OBJECT);
	stay_on(o->cpu);
	rng_seed(o->seed);
	user_touch_init();
	ability_find(&can);
	can.kernel_touch &= !o->no_kernel_touch;
	can.bad_nodes = o->bad_nodes;
	for (uint32_t i = 0; i < NR_ARENAS; i++)
		arena_load(&arenas[i], object, i, shapes[i], &can);
	truth_open(o->truth);
	while (truth_count() < o->count)
		perform(&arenas[rng_below(NR_ARENAS)], &can);
	truth_close(o->seed, &can, arenas, NR_ARENAS);
	for (uint32_t i = 0; i < NR_ARENAS; i++)
		arena_unload(&arenas[i]);
	printf("random_ops: seed %llu, %u operations\n", (unsigned long long)o->seed,
	       truth_count());
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
		{ "truth", required_argument, NULL, 't' },
		{ "seed", required_argument, NULL, 's' },
		{ "count", required_argument, NULL, 'n' },
		{ "cpu", required_argument, NULL, 'c' },
		{ "no-kernel-touch", no_argument, NULL, 'k' },
		{ "bad-nodes", no_argument, NULL, 'b' },
		{},
	};
	struct options o = { .seed = 1, .count = 20000 };
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (option) {
		case 't': o.truth = optarg; break;
		case 's': o.seed = strtoull(optarg, NULL, 0); break;
		case 'n': o.count = strtoul(optarg, NULL, 0); break;
		case 'c': o.cpu = atoi(optarg); break;
		case 'k': o.no_kernel_touch = true; break;
		case 'b': o.bad_nodes = true; break;
		default: usage();
		}
	}
	if (optind != argc || !o.truth)
		usage();
	run(&o);
	return 0;
}
