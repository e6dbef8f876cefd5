// SPDX-License-Identifier: GPL-2.0
#include "target.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define STDERR_STREAM 2

void die(const char *format, ...)
{
	va_list args;

	fputs("wl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static void identify(struct target *t, struct bpf_program *prog, struct bpf_map *map)
{
	struct bpf_prog_info prog_info = {};
	struct bpf_map_info map_info = {};
	__u32 size = sizeof(prog_info);

	t->prog_fd = bpf_program__fd(prog);
	if (bpf_prog_get_info_by_fd(t->prog_fd, &prog_info, &size))
		die("%s: program info: %s", t->name, strerror(errno));
	size = sizeof(map_info);
	if (bpf_map_get_info_by_fd(bpf_map__fd(map), &map_info, &size))
		die("%s: map info: %s", t->name, strerror(errno));
	t->prog_id = prog_info.id;
	for (int i = 0; i < BPF_TAG_SIZE; i++)
		sprintf(t->tag + 2 * i, "%02x", prog_info.tag[i]);
	t->map_id = map_info.id;
	t->max_entries = map_info.max_entries;
	snprintf(t->arena_name, sizeof(t->arena_name), "%s", map_info.name);
}

void target_load(struct target *t, const char *objects, const char *streams, const char *name)
{
	struct poke_call call = { .op = POKE_INFO };
	struct bpf_program *prog;
	struct bpf_map *map;
	char path[4096], map_name[32];
	size_t size;

	memset(t, 0, sizeof(*t));
	snprintf(t->name, sizeof(t->name), "%s", name);
	snprintf(path, sizeof(path), "%s/%s.bpf.o", objects, name);
	t->object = bpf_object__open_file(path, NULL);
	if (!t->object)
		die("%s: %s", path, strerror(errno));
	if (bpf_object__load(t->object))
		die("%s: load: %s", path, strerror(errno));
	snprintf(map_name, sizeof(map_name), "%s_arena", name);
	prog = bpf_object__find_program_by_name(t->object, name);
	map = bpf_object__find_map_by_name(t->object, map_name);
	if (!prog || !map)
		die("%s: no program %s or map %s", path, name, map_name);
	identify(t, prog, map);
	/* libbpf has mapped the arena while loading. */
	t->user_vm_start = (uint64_t)bpf_map__initial_value(map, &size);
	t->pages = calloc(t->max_entries, sizeof(*t->pages));
	if (!t->user_vm_start || !t->pages)
		die("%s: arena is not mapped", path);
	if (streams) {
		snprintf(path, sizeof(path), "%s/%s-%u.stderr.txt", streams, name, t->prog_id);
		t->stream = fopen(path, "w");
		if (!t->stream)
			die("%s: %s", path, strerror(errno));
	}
	target_call(t, &call);
	t->kern_vm_start = call.kern_vm_start;
}

void target_drain(struct target *t)
{
	static char text[1 << 16];
	static pthread_mutex_t text_lock = PTHREAD_MUTEX_INITIALIZER;
	int got;

	pthread_mutex_lock(&text_lock);
	__atomic_store_n(&t->undrained, 0, __ATOMIC_RELAXED);
	while (t->stream) {
		got = bpf_prog_stream_read(t->prog_fd, STDERR_STREAM, text, sizeof(text), NULL);
		if (got < 0)
			die("%s: stream read: %s", t->name, strerror(-got));
		if (!got)
			break;
		if (fwrite(text, 1, got, t->stream) != (size_t)got)
			die("%s: stream file: %s", t->name, strerror(errno));
	}
	pthread_mutex_unlock(&text_lock);
}

void target_reported(struct target *t)
{
	/* 100,000 bytes hold about a hundred reports. */
	if (__atomic_add_fetch(&t->undrained, 1, __ATOMIC_RELAXED) >= 16)
		target_drain(t);
}

void target_unload(struct target *t)
{
	target_drain(t);
	if (t->stream && fclose(t->stream))
		die("%s: stream file: %s", t->name, strerror(errno));
	bpf_object__close(t->object);
	free(t->pages);
	t->object = NULL;
	t->stream = NULL;
	t->pages = NULL;
}

void target_call(struct target *t, struct poke_call *call)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = call, .ctx_size_in = sizeof(*call));

	if (bpf_prog_test_run_opts(t->prog_fd, &options))
		die("%s: run: %s", t->name, strerror(errno));
	if (options.retval)
		die("%s: returned %u", t->name, options.retval);
}
