// SPDX-License-Identifier: GPL-2.0
/*
 * run_programs: load one BPF object and run its syscall programs in a given order. At the end,
 * print what the kernel wrote to their stderr streams, the way a sched_ext watcher does.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STDERR_STREAM 2

static void run_once(struct bpf_object *object, const char *name)
{
	struct bpf_program *program = bpf_object__find_program_by_name(object, name);
	__u32 argument = 7;
	LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &argument,
		    .ctx_size_in = sizeof(argument));

	if (!program || bpf_prog_test_run_opts(bpf_program__fd(program), &options)) {
		fprintf(stderr, "run_programs: %s: %s\n", name, strerror(errno));
		exit(1);
	}
	if (options.retval)
		printf("%s returned %u\n", name, options.retval);
}

static void print_stream(struct bpf_program *program)
{
	char text[4096];
	int got, first = 1;

	while ((got = bpf_prog_stream_read(bpf_program__fd(program), STDERR_STREAM, text,
					   sizeof(text), NULL)) > 0) {
		if (first)
			printf("BPF stderr of prog %s:\n", bpf_program__name(program));
		first = 0;
		fwrite(text, 1, got, stdout);
	}
}

int main(int argc, char **argv)
{
	struct bpf_program *program;
	struct bpf_object *object;
	char *times;
	int i, n;

	if (argc < 3) {
		fputs("usage: run_programs OBJECT PROGRAM[*TIMES]...\n", stderr);
		return 2;
	}
	object = bpf_object__open_file(argv[1], NULL);
	if (!object || bpf_object__load(object)) {
		fprintf(stderr, "run_programs: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	for (i = 2; i < argc; i++) {
		times = strchr(argv[i], '*');
		if (times)
			*times++ = '\0';
		for (n = times ? atoi(times) : 1; n > 0; n--)
			run_once(object, argv[i]);
	}
	bpf_object__for_each_program(program, object)
		print_stream(program);
	bpf_object__close(object);
	return 0;
}
