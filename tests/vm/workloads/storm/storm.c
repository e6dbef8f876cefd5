// SPDX-License-Identifier: GPL-2.0
/* storm: allocation and free pairs on every CPU, and an exact account of them. See usage(). */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "storm.h"

#define BPF_OBJECT "storm.bpf.o"
#define MAX_CPUS 64
#define PAGE 4096ULL
/* Pairs in one run of the program: other tasks wait for its end. */
#define PAIRS_AT_ONCE 2000

struct options {
	const char *truth;
	uint64_t pairs;
	uint32_t cpus, reserve_every, touch_every, tick_hz, pause_us, delay_ms;
};

struct worker {
	const struct options *options;
	struct bpf_object *object;
	uint32_t cpu;
	uint64_t pairs, wall_ns, cpu_ns;
	struct storm_run counted;
	pthread_t thread;
};

static pthread_barrier_t start;

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
	va_list args;

	fputs("storm: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static void usage(void)
{
	fputs("usage: storm --pairs N [--truth FILE] [--cpus N] [--reserve-every N]\n"
	      "             [--touch-every N] [--tick HZ] [--pause US] [--delay MS]\n"
	      "  --pairs N          allocation and free pairs in all\n"
	      "  --truth FILE       write what was done and how long it took, as JSON\n"
	      "  --cpus N           on CPUs 0 to N-1 at once, each with an arena (default 1)\n"
	      "  --reserve-every N  with every Nth pair also reserve a page\n"
	      "  --touch-every N    with every Nth pair also read the page after its free\n"
	      "  --tick HZ          a timer interrupt on every CPU does one more pair\n"
	      "  --pause US         sleep after every 2000 pairs\n"
	      "  --delay MS         sleep between loading the programs and the first pair\n",
	      stderr);
	exit(2);
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static struct bpf_object *load(const char *path)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);

	if (!object || bpf_object__load(object))
		die("%s: %s", path, strerror(errno));
	return object;
}

static struct bpf_program *program(struct bpf_object *object, const char *name)
{
	return bpf_object__find_program_by_name(object, name);
}

static uint64_t arena_start(struct bpf_object *object)
{
	size_t size;

	/* libbpf has mapped the arena while loading */
	return (uint64_t)bpf_map__initial_value(bpf_object__find_map_by_name(object, "storm_arena"),
						&size);
}

static void *work(void *argument)
{
	struct worker *w = argument;
	const struct options *o = w->options;
	struct storm_run *run = &w->counted;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = run, .ctx_size_in = sizeof(*run));
	int fd = bpf_program__fd(program(w->object, "storm"));
	uint64_t wall, cpu, left;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(w->cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("CPU %u: %s", w->cpu, strerror(errno));
	run->reserve_every = o->reserve_every;
	run->touch_every = o->touch_every;
	run->reserve_at = arena_start(w->object) + (STORM_PAGES - 1) * PAGE;
	pthread_barrier_wait(&start);
	wall = now_ns(CLOCK_MONOTONIC);
	cpu = now_ns(CLOCK_THREAD_CPUTIME_ID);
	for (left = w->pairs; left; left -= run->pairs) {
		run->pairs = left < PAIRS_AT_ONCE ? left : PAIRS_AT_ONCE;
		if (bpf_prog_test_run_opts(fd, &opts) || opts.retval)
			die("run: %s", strerror(errno));
		if (o->pause_us)
			usleep(o->pause_us);
	}
	w->cpu_ns = now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
	w->wall_ns = now_ns(CLOCK_MONOTONIC) - wall;
	return NULL;
}

static void tick_on(struct bpf_object *object, uint32_t cpu, uint32_t hz,
		    struct bpf_link **link)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_CPU_CLOCK,
		.size = sizeof(attr), .sample_freq = hz, .freq = 1,
	};
	int fd = syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0)
		die("perf event: %s", strerror(errno));
	*link = bpf_program__attach_perf_event(program(object, "tick"), fd);
	if (!*link)
		die("tick: %s", strerror(errno));
}

static void write_truth(const struct options *o, const struct worker *w,
			const uint64_t ticks[2])
{
	FILE *f = o->truth ? fopen(o->truth, "w") : stdout;

	if (!f)
		die("%s: %s", o->truth, strerror(errno));
	fprintf(f, "{\"ticks\": {\"allocs\": %ju, \"frees\": %ju}, \"cpus\": [", ticks[0], ticks[1]);
	for (uint32_t i = 0; i < o->cpus; i++)
		fprintf(f,
			"%s\n  {\"cpu\": %u, \"allocs\": %llu, \"refused\": %llu, \"frees\": %llu, "
			"\"reserves\": %llu, \"touches\": %llu, \"wall_ns\": %ju, \"cpu_ns\": %ju}",
			i ? "," : "", w[i].cpu, w[i].counted.allocs, w[i].counted.refused,
			w[i].counted.frees, w[i].counted.reserves, w[i].counted.touches,
			w[i].wall_ns, w[i].cpu_ns);
	fputs("\n]}\n", f);
	if (ferror(f) || (o->truth && fclose(f)))
		die("%s: %s", o->truth ? o->truth : "stdout", strerror(errno));
}

static void run(const struct options *o, const char *path)
{
	struct bpf_link *links[MAX_CPUS] = {};
	static struct worker workers[MAX_CPUS];
	struct bpf_object *ticker = NULL;
	uint64_t ticks[2] = {};
	size_t size;

	pthread_barrier_init(&start, NULL, o->cpus + 1);
	for (uint32_t i = 0; i < o->cpus; i++) {
		workers[i] = (struct worker){ .options = o, .object = load(path), .cpu = i,
					      .pairs = o->pairs / o->cpus };
		if (!i)
			workers[i].pairs += o->pairs % o->cpus;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			die("no thread");
	}
	if (o->tick_hz) {
		ticker = load(path);
		for (uint32_t i = 0; i < o->cpus; i++)
			tick_on(ticker, i, o->tick_hz, &links[i]);
	}
	usleep(o->delay_ms * 1000);
	pthread_barrier_wait(&start);
	for (uint32_t i = 0; i < o->cpus; i++)
		pthread_join(workers[i].thread, NULL);
	if (ticker) {
		for (uint32_t i = 0; i < o->cpus; i++)
			bpf_link__destroy(links[i]);
		usleep(20000); /* for a tick that is running */
		/* the variables in the order of the program */
		memcpy(ticks, bpf_map__initial_value(bpf_object__find_map_by_name(ticker, ".bss"),
						     &size), sizeof(ticks));
	}
	write_truth(o, workers, ticks);
}

static uint64_t number(const char *text, uint64_t most)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);

	if (*end || end == text || value > most)
		usage();
	return value;
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "pairs", required_argument, NULL, 'p' },
		{ "truth", required_argument, NULL, 't' },
		{ "cpus", required_argument, NULL, 'c' },
		{ "reserve-every", required_argument, NULL, 'r' },
		{ "touch-every", required_argument, NULL, 'f' },
		{ "tick", required_argument, NULL, 'k' },
		{ "pause", required_argument, NULL, 's' },
		{ "delay", required_argument, NULL, 'd' },
		{}
	};
	char path[PATH_MAX + sizeof(BPF_OBJECT)], self[PATH_MAX] = "";
	struct options o = { .cpus = 1 };
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (c) {
		case 'p': o.pairs = number(optarg, UINT64_MAX); break;
		case 't': o.truth = optarg; break;
		case 'c': o.cpus = number(optarg, MAX_CPUS); break;
		case 'r': o.reserve_every = number(optarg, UINT32_MAX); break;
		case 'f': o.touch_every = number(optarg, UINT32_MAX); break;
		case 'k': o.tick_hz = number(optarg, 100000); break;
		case 's': o.pause_us = number(optarg, 1000000); break;
		case 'd': o.delay_ms = number(optarg, 60000); break;
		default: usage();
		}
	}
	if (!o.pairs || !o.cpus || optind < argc)
		usage();
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		die("/proc/self/exe: %s", strerror(errno));
	snprintf(path, sizeof(path), "%s/%s", dirname(self), BPF_OBJECT);
	run(&o, path);
	return 0;
}
