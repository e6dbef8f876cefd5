// SPDX-License-Identifier: GPL-2.0
/* wl: the fault workload. See usage() for the modes. */
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "act.h"
#include "cpus.h"
#include "past.h"
#include "plan.h"
#include "race.h"

struct options {
	const char *objects, *streams, *truth, *ready, *go;
	uint64_t seed;
	uint32_t count, races;
};

static void usage(void)
{
	fputs("usage: wl MODE... [--truth FILE] [--streams DIR] [--objects DIR] [--seed N]\n"
	      "          [--count N] [--races N] [--ready FILE --go FILE]\n"
	      "  all                 alpha and beta fault in every way in turns, then --count times gone\n"
	      "  one                 alpha faults in every way, beta makes no error\n"
	      "  two                 a few faults of both alpha and beta\n"
	      "  clean               allocations, frees and accesses, no fault at all\n"
	      "  unload-after-fault  load gone, fault once, unload; --count times\n"
	      "  both-cpus           --count faults on each of two CPUs, then --races pages\n"
	      "                      touched by both at once\n"
	      "  races               pages allocated and freed by one CPU while another faults\n"
	      "  old                 make --ready, wait for --go, fault on pages from before\n"
	      "  lossy               stop the recorder, its parent, for a while: events are lost\n",
	      stderr);
	exit(2);
}

static void unload_after_fault(const struct options *o, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct fault fault = { .kind = "unload-after-fault", .pinned_cpu = -1, .race = -1 };
		struct target t;

		target_load(&t, o->objects, o->streams, "gone");
		fault.koff = target_koff(&t, act_pick(&t, PAGE_NONE, false)) + act_offset();
		act_access(&t, i % 2 ? POKE_K_WRITE64 : POKE_K_READ64, fault);
		target_unload(&t);
	}
}

static void run(const char *mode, const struct options *o)
{
	bool all = !strcmp(mode, "all"), one = !strcmp(mode, "one"), two = !strcmp(mode, "two");
	bool clean = !strcmp(mode, "clean"), both = !strcmp(mode, "both-cpus");
	bool unload = !strcmp(mode, "unload-after-fault");
	bool old = !strcmp(mode, "old") && o->ready, lossy = !strcmp(mode, "lossy");
	struct target alpha, beta;

	if (!strcmp(mode, "races")) {
		target_load(&alpha, o->objects, o->streams, "gamma");
		race_run(&alpha, o->streams);
		target_unload(&alpha);
		return;
	}
	if (!all && !one && !two && !clean && !both && !unload && !old && !lossy)
		usage();
	if (!unload) {
		target_load(&alpha, o->objects, o->streams, "alpha");
		target_load(&beta, o->objects, o->streams, "beta");
		truth_program(&alpha);
		truth_program(&beta);
	}
	if (all)
		plan_run(&alpha, &alpha_full, &beta, &beta_full);
	if (one)
		plan_run(&alpha, &alpha_full, NULL, NULL);
	if (two)
		plan_run(&alpha, &alpha_short, &beta, &beta_short);
	if (clean)
		plan_clean(&alpha, o->count ? o->count : 43);
	if (clean || one)
		plan_clean(&beta, o->count ? o->count : 47);
	if (both) {
		cpus_apart(&alpha, o->count ? o->count : 59);
		cpus_race(&beta, o->races ? o->races : 37);
	}
	if (old)
		past_old(&alpha, &beta, o->ready, o->go);
	if (lossy)
		past_lossy(&alpha, &beta);
	if (all || unload)
		unload_after_fault(o, o->count ? o->count : 5);
	if (!unload) {
		target_unload(&alpha);
		target_unload(&beta);
	}
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
		{ "truth", required_argument, NULL, 't' },
		{ "streams", required_argument, NULL, 's' },
		{ "objects", required_argument, NULL, 'o' },
		{ "seed", required_argument, NULL, 'r' },
		{ "count", required_argument, NULL, 'n' },
		{ "races", required_argument, NULL, 'p' },
		{ "ready", required_argument, NULL, 'y' },
		{ "go", required_argument, NULL, 'g' },
		{},
	};
	struct options o = { .seed = 1 };
	char self[PATH_MAX] = "";
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (option) {
		case 't': o.truth = optarg; break;
		case 's': o.streams = optarg; break;
		case 'o': o.objects = optarg; break;
		case 'r': o.seed = strtoull(optarg, NULL, 0); break;
		case 'n': o.count = strtoul(optarg, NULL, 0); break;
		case 'y': o.ready = optarg; break;
		case 'g': o.go = optarg; break;
		case 'p': o.races = strtoul(optarg, NULL, 0); break;
		default: usage();
		}
	}
	if (optind == argc || !o.ready != !o.go)
		usage();
	if (!o.objects) {
		if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
			die("/proc/self/exe: %s", strerror(errno));
		o.objects = dirname(self);
	}
	if (o.streams && mkdir(o.streams, 0755) && errno != EEXIST)
		die("%s: %s", o.streams, strerror(errno));
	act_seed(o.seed);
	for (int i = optind; i < argc; i++)
		run(argv[i], &o);
	if (o.truth)
		truth_write(o.truth, argv + optind, o.seed);
	return 0;
}
