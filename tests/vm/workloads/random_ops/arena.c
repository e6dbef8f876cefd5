// SPDX-License-Identifier: GPL-2.0
#include "arena.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ONE_TICK 1000 /* microseconds between two looks at the queue */
#define PATIENCE 20000 /* looks before giving up */

void die(const char *format, ...)
{
	va_list args;

	fputs("random_ops: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static bool has_function(const struct btf *btf, const char *name)
{
	return btf__find_by_name_kind(btf, name, BTF_KIND_FUNC) > 0;
}

void ability_find(struct ability *can)
{
	struct btf *btf = btf__load_vmlinux_btf();

	if (!btf)
		die("types of the kernel: %s", strerror(errno));
	can->free_from_below = has_function(btf, "bpf_arena_handle_page_fault");
	can->reserve = has_function(btf, "bpf_arena_reserve_pages");
	can->burst = has_function(btf, "bpf_arena_free_pages_non_sleepable") &&
		     has_function(btf, "bpf_preempt_disable");
	/* Without the handler a touch of an empty page is an oops. */
	can->kernel_touch = has_function(btf, "bpf_arena_handle_page_fault") &&
			    !access("/sys/module/arenapoke", F_OK);
	btf__free(btf);
}

static int program_fd(struct arena *a, const char *name)
{
	return bpf_program__fd(bpf_object__find_program_by_name(a->object, name));
}

void arena_load(struct arena *a, const char *object_path, uint32_t index, struct shape shape,
		const struct ability *can)
{
	struct bpf_map_info info = {};
	struct burst b = { .count = 1 };
	__u32 size = sizeof(info);
	struct bpf_map *map;
	size_t mapped;

	memset(a, 0, sizeof(*a));
	a->shape = shape;
	a->index = index;
	a->object = bpf_object__open_file(object_path, NULL);
	if (!a->object)
		die("%s: %s", object_path, strerror(errno));
	map = bpf_object__find_map_by_name(a->object, "ops_arena");
	bpf_map__set_max_entries(map, shape.max_entries);
	bpf_map__set_map_flags(map, BPF_F_MMAPABLE | shape.map_flags);
	bpf_map__set_map_extra(map, shape.user_vm_start);
	bpf_program__set_autoload(bpf_object__find_program_by_name(a->object, "ops_burst"),
				  can->burst);
	if (bpf_object__load(a->object))
		die("%s: load: %s", object_path, strerror(errno));
	a->ops_fd = program_fd(a, "ops");
	a->burst_fd = can->burst ? program_fd(a, "ops_burst") : -1;
	if (bpf_map_get_info_by_fd(bpf_map__fd(map), &info, &size))
		die("map info: %s", strerror(errno));
	a->map_id = info.id;
	snprintf(a->name, sizeof(a->name), "%s", info.name);
	/* libbpf has mapped the arena while loading. */
	a->user_vm_start = (uint64_t)bpf_map__initial_value(map, &mapped);
	a->state = calloc(shape.max_entries + BEYOND, sizeof(*a->state));
	if (!a->user_vm_start || !a->state)
		die("arena %u is not mapped", index);
	arena_run(a, &b);
	a->kern_vm_start = b.kern_vm_start;
}

void arena_unload(struct arena *a)
{
	bpf_object__close(a->object);
	free(a->state);
	a->object = NULL;
	a->state = NULL;
}

static void run(int fd, struct burst *b)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = b, .ctx_size_in = sizeof(*b));

	if (bpf_prog_test_run_opts(fd, &options))
		die("run: %s", strerror(errno));
	if (options.retval)
		die("the program returned %u", options.retval);
}

void arena_run(struct arena *a, struct burst *b)
{
	run(a->ops_fd, b);
}

void arena_run_burst(struct arena *a, struct burst *b)
{
	run(a->burst_fd, b);
}

void arena_wait(struct arena *a, uint64_t before, uint32_t frees)
{
	struct burst b = { .count = 1, .calls = { { .op = CALL_INFO } } };

	/*
	 * An empty queue is not enough: the worker flushes the TLB for each range after that,
	 * right before it counts a zap.
	 */
	for (uint32_t tries = 0; tries < PATIENCE; tries++) {
		arena_run(a, &b);
		if (!b.pending && b.zaps - before >= frees)
			return;
		usleep(ONE_TICK);
	}
	die("arena %u: queued frees are not done: %u wanted, %llu seen", a->index, frees,
	    (unsigned long long)(b.zaps - before));
}

void arena_set(struct arena *a, struct range range, enum page_state state)
{
	if (range.pages)
		memset(a->state + range.page, state, range.pages);
}

void arena_remember(struct arena *a, struct range range)
{
	a->recent[a->nr_recent++ % RECENT] = range;
}

struct range arena_clamped(const struct arena *a, uint64_t uaddr, uint32_t pages)
{
	uint64_t start = (a->user_vm_start & ~0xffffffffULL) +
			 ((uint32_t)uaddr & ~(uint32_t)(CALL_PAGE - 1));
	uint64_t end = a->user_vm_start + a->shape.max_entries * CALL_PAGE;
	struct range range = {};

	if (!uaddr || start < a->user_vm_start || start >= end)
		return range;
	range.page = (start - a->user_vm_start) / CALL_PAGE;
	range.pages = a->shape.max_entries - range.page;
	if (pages < range.pages)
		range.pages = pages;
	return range;
}

uint8_t *arena_state_at(struct arena *a, uint64_t uaddr)
{
	uint32_t page = (uint32_t)(uaddr - a->user_vm_start) / (uint32_t)CALL_PAGE;

	return page < a->shape.max_entries + BEYOND ? &a->state[page] : NULL;
}
