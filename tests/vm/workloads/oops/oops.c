// SPDX-License-Identifier: GPL-2.0
/*
 * Accesses to an arena that the kernel does not recover from, one per child: a killed child
 * proves the oops.
 *
 * usage: oops CASE...    prints for each: CASE, the address in hex, the signal of the child
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/types.h>
#include "oops.h"

#define TOUCH "/proc/arenapoke"

enum { MINE, OTHER, ARENAS };

static const char *const files[ARENAS] = { "mine.bpf.o", "other.bpf.o" };
static const char *const maps[ARENAS] = { "oops_mine", "oops_other" };
static const char *const programs[ARENAS] = { "with_mine", "with_other" };
static struct bpf_object *objects[ARENAS];
/* Kernel address of the first page of each arena. */
static __u64 starts[ARENAS];

static void run(int which, const char *name, struct touch *touch)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = touch, .ctx_size_in = sizeof(*touch));
	struct bpf_program *prog = bpf_object__find_program_by_name(objects[which], name);

	if (!prog || bpf_prog_test_run_opts(bpf_program__fd(prog), &opts)) {
		perror(name);
		exit(2);
	}
}

/* The module accesses it, with no program on the stack: r(ead) or (e)x(ecute). */
static void by_module(char how, __u64 kaddr)
{
	int fd = open(TOUCH, O_WRONLY);

	if (fd < 0 || dprintf(fd, "%c %llx", how, kaddr) < 0)
		perror(TOUCH);
	exit(2);
}

static __u64 touch_address(const char *how)
{
	/* page 3 is never allocated; page 0 is mapped, user space accessed it */
	__u64 base = starts[strcmp(how, "outside-arena") ? MINE : OTHER];

	return base + (strcmp(how, "protection") ? 3 * 4096ULL + 8 : 0);
}

static void perform(const char *how)
{
	struct touch touch = { .kaddr = touch_address(how) };

	if (!strcmp(how, "no-program"))
		by_module('r', touch.kaddr);
	if (!strcmp(how, "protection"))
		by_module('x', touch.kaddr);
	run(MINE, strcmp(how, "no-arena") ? "with_mine" : "with_none", &touch);
	exit(0);
}

static void prepare(int which)
{
	struct touch touch = {};
	size_t bytes;
	char *page;

	objects[which] = bpf_object__open_file(files[which], NULL);
	if (!objects[which] || bpf_object__load(objects[which])) {
		perror(files[which]);
		exit(2);
	}
	/* libbpf has mapped it already */
	page = bpf_map__initial_value(
		bpf_object__find_map_by_name(objects[which], maps[which]), &bytes);
	if (!page) {
		perror(maps[which]);
		exit(2);
	}
	*(volatile char *)page = 1;
	run(which, programs[which], &touch);
	starts[which] = touch.start + (__u32)(unsigned long)page;
}

int main(int argc, char **argv)
{
	int i, status;

	for (i = 0; i < ARENAS; i++)
		prepare(i);
	for (i = 1; i < argc; i++) {
		pid_t child = fork();

		if (!child)
			perform(argv[i]);
		waitpid(child, &status, 0);
		printf("%s %llx %d\n", argv[i], touch_address(argv[i]),
		       WIFSIGNALED(status) ? WTERMSIG(status) : 0);
		fflush(stdout);
	}
	return 0;
}
