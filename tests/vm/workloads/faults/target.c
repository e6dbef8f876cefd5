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

static void identify(struct identity *identity, struct bpf_program *prog)
{
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);

	identity->fd = bpf_program__fd(prog);
	if (bpf_prog_get_info_by_fd(identity->fd, &info, &size))
		die("%s: program info: %s", bpf_program__name(prog), strerror(errno));
	snprintf(identity->name, sizeof(identity->name), "%s", info.name);
	for (int i = 0; i < BPF_TAG_SIZE; i++)
		sprintf(identity->tag + 2 * i, "%02x", info.tag[i]);
	identity->id = info.id;
}

static void identify_arena(struct target *t, struct bpf_map *map)
{
	struct bpf_map_info info = {};
	__u32 size = sizeof(info);
	size_t mapped;

	if (bpf_map_get_info_by_fd(bpf_map__fd(map), &info, &size))
		die("%s: map info: %s", t->prog.name, strerror(errno));
	t->map_id = info.id;
	t->max_entries = info.max_entries;
	snprintf(t->arena_name, sizeof(t->arena_name), "%s", info.name);
	/* libbpf has mapped the arena while loading. */
	t->user_vm_start = (uint64_t)bpf_map__initial_value(map, &mapped);
	t->pages = calloc(t->max_entries, sizeof(*t->pages));
	if (!t->user_vm_start || !t->pages)
		die("%s: arena is not mapped", t->prog.name);
}

static void open_stream(struct target *t, const char *streams)
{
	char path[4096];

	t->stream = NULL;
	if (!streams)
		return;
	snprintf(path, sizeof(path), "%s/%s-%u.stderr.txt", streams, t->prog.name, t->prog.id);
	t->stream = fopen(path, "w");
	if (!t->stream)
		die("%s: %s", path, strerror(errno));
}

static void close_stream(struct target *t)
{
	target_drain(t);
	if (t->stream && fclose(t->stream))
		die("%s: stream file: %s", t->prog.name, strerror(errno));
	t->stream = NULL;
}

void target_load(struct target *t, const char *objects, const char *streams, const char *name)
{
	struct poke_call call = { .op = POKE_INFO };
	struct bpf_program *prog, *defer;
	struct bpf_map *map;
	char path[4096], other_name[32];

	memset(t, 0, sizeof(*t));
	snprintf(path, sizeof(path), "%s/%s.bpf.o", objects, name);
	t->object = bpf_object__open_file(path, NULL);
	if (!t->object)
		die("%s: %s", path, strerror(errno));
	if (bpf_object__load(t->object))
		die("%s: load: %s", path, strerror(errno));
	prog = bpf_object__find_program_by_name(t->object, name);
	snprintf(other_name, sizeof(other_name), "%s_arena", name);
	map = bpf_object__find_map_by_name(t->object, other_name);
	snprintf(other_name, sizeof(other_name), "%s_defer", name);
	defer = bpf_object__find_program_by_name(t->object, other_name);
	if (!prog || !map)
		die("%s: no program %s with its arena", path, name);
	identify(&t->prog, prog);
	if (defer)
		identify(&t->defer, defer);
	identify_arena(t, map);
	open_stream(t, streams);
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
		got = bpf_prog_stream_read(t->prog.fd, STDERR_STREAM, text, sizeof(text), NULL);
		if (got < 0)
			die("%s: stream read: %s", t->prog.name, strerror(-got));
		if (!got)
			break;
		if (fwrite(text, 1, got, t->stream) != (size_t)got)
			die("%s: stream file: %s", t->prog.name, strerror(errno));
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
	close_stream(t);
	bpf_object__close(t->object);
	free(t->pages);
	t->object = NULL;
	t->pages = NULL;
}

void target_view(struct target *view, struct target *t, const char *streams, const char *name)
{
	struct bpf_program *prog = bpf_object__find_program_by_name(t->object, name);

	if (!prog)
		die("%s: no program %s", t->prog.name, name);
	*view = *t;
	identify(&view->prog, prog);
	view->defer = view->prog;
	open_stream(view, streams);
}

void target_view_end(struct target *view)
{
	close_stream(view);
}

static void call_program(const struct identity *prog, struct poke_call *call)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = call, .ctx_size_in = sizeof(*call));

	if (bpf_prog_test_run_opts(prog->fd, &options))
		die("%s: run: %s", prog->name, strerror(errno));
	if (options.retval)
		die("%s: returned %u", prog->name, options.retval);
}

void target_call(struct target *t, struct poke_call *call)
{
	call_program(&t->prog, call);
}

void target_call_defer(struct target *t, struct poke_call *call)
{
	call_program(&t->defer, call);
}
