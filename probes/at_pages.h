/* SPDX-License-Identifier: GPL-2.0-only */
/* Allocations, frees, reservations, deferred frees and user faults. */

/*
 * Freed pages are reported on the way in and allocated ones on the way out: a page that
 * is freed and at once handed out on another CPU then shows in the order it happened.
 */
static __always_inline void page_event(void *ctx, u32 kind, u64 arena, u64 addr, s64 ret, u32 pages,
				       int node, u32 flags)
{
	int zero = 0;
	struct at_told *t = told.lookup(&zero);
	struct at_event *e;
	u64 trace = 0;

	if (!t || !t->recording || !is_wanted_arena(arena) || !is_wanted_task())
		return;
#ifdef AT_STACKS
	trace = page_trace(ctx, kind, t->files);
#endif
	e = event_reserve(kind);
	if (!e)
		return;
	e->arena = arena;
	e->addr = addr;
	e->ret = ret;
	e->pages = pages;
	e->error_code = node;
	e->flags = flags;
	e->ip = trace;
	event_end(e);
}

#ifdef AT_PROBE_arena_alloc_pages
KRETFUNC_PROBE(arena_alloc_pages, void *arena, long uaddr, long page_cnt, int node_id,
	       u8 sleepable, long ret)
{
	page_event(ctx, AT_PAGE_ALLOC, (u64)arena, uaddr, ret, page_cnt, node_id,
		   (sleepable ? AT_F_SLEEPABLE : 0) | (ret ? AT_F_OK : 0));
	return 0;
}
#endif

#ifdef AT_PROBE_arena_free_pages
KFUNC_PROBE(arena_free_pages, void *arena, long uaddr, long page_cnt, u8 sleepable)
{
	page_event(ctx, AT_PAGE_FREE, (u64)arena, uaddr, 0, page_cnt, 0,
		   sleepable ? AT_F_SLEEPABLE : 0);
	return 0;
}
#endif

/* The kernel turns any other map away before it looks at the pages, and so do we. */
static __always_inline bool is_arena(void *map)
{
	return U32_AT(map, bpf_map__map_type) == BPF_MAP_TYPE_ARENA;
}

/* Where arena_alloc_pages() and arena_free_pages() were inlined: the kfuncs around them. */
#ifdef AT_PROBE_bpf_arena_alloc_pages
KRETFUNC_PROBE(bpf_arena_alloc_pages, void *map, void *addr, u32 page_cnt, int node_id, u64 flags,
	       void *ret)
{
	if (page_cnt && !flags && is_arena(map))
		page_event(ctx, AT_PAGE_ALLOC, (u64)map, (u64)addr, (u64)ret, page_cnt,
			   node_id, AT_F_SLEEPABLE | (ret ? AT_F_OK : 0));
	return 0;
}
#endif

#ifdef AT_PROBE_bpf_arena_free_pages
KFUNC_PROBE(bpf_arena_free_pages, void *map, void *ptr, u32 page_cnt)
{
	if (page_cnt && ptr && is_arena(map))
		page_event(ctx, AT_PAGE_FREE, (u64)map, (u64)ptr, 0, page_cnt, 0, AT_F_SLEEPABLE);
	return 0;
}
#endif

#ifdef AT_PROBE_bpf_arena_reserve_pages
KRETFUNC_PROBE(bpf_arena_reserve_pages, void *map, void *ptr, u32 page_cnt, int ret)
{
	if (is_arena(map))
		page_event(ctx, AT_PAGE_RESERVE, (u64)map, (u64)ptr, ret, page_cnt, 0,
			   ret ? 0 : AT_F_OK);
	return 0;
}
#endif

#ifdef AT_PROBE_arena_free_worker
KFUNC_PROBE(arena_free_worker, void *work)
{
	u64 arena = (u64)work - AT_OFF_bpf_arena__free_work;

	/* a worker is nobody's task */
	if (is_wanted_arena(arena))
		arena_event(AT_FREE_DRAIN, arena, 0, 0);
	return 0;
}
#endif

#ifdef AT_PROBE_arena_vm_fault
KRETFUNC_PROBE(arena_vm_fault, void *vmf, unsigned int ret)
{
	struct at_event *e;
	u64 file, arena;

	if (!is_recording())
		return 0;
	file = U64_AT(U64_AT(vmf, vm_fault__vma), vm_area_struct__vm_file);
	arena = U64_AT(file, file__private_data);
	if (!is_wanted_arena(arena) || !is_wanted_task())
		return 0;
	e = event_reserve(AT_USER_FAULT);
	if (!e)
		return 0;
	e->arena = arena;
	e->addr = U64_AT(vmf, vm_fault__address);
	e->ret = ret;
	/* FAULT_FLAG_WRITE is bit 0 of enum fault_flag */
	e->flags = U32_AT(vmf, vm_fault__flags) & 1 ? AT_F_WRITE : 0;
	event_end(e);
	return 0;
}
#endif
