/* SPDX-License-Identifier: GPL-2.0-only */
/* Allocations, frees, reservations, deferred frees and user faults. */

/*
 * Frees are recorded at entry and allocations at exit: a page that one CPU frees and another
 * allocates at once is then recorded in that order.
 */
static __always_inline void at_send_page_event(void *ctx, u32 kind, u64 arena, u64 addr, s64 ret,
					       u32 pages, int node, u32 flags)
{
	int zero = 0;
	struct at_control *c = control.lookup(&zero);
	struct at_event *e;
	u64 stack = 0;

	if (!c || !c->recording || !at_filter_passes_arena(arena) || !at_filter_passes_task())
		return;
#ifdef AT_STACKS
	stack = at_page_stack(ctx, kind, c->files);
#endif
	e = at_event_reserve(kind);
	if (!e)
		return;
	e->arena = arena;
	e->addr = addr;
	e->ret = ret;
	e->pages = pages;
	/* error_code holds the NUMA node of an allocation */
	e->error_code = node;
	e->flags = flags;
	/* the hash of the stack: see struct at_note_page_stack */
	e->ip = stack;
	at_event_submit(e);
}

#ifdef AT_PROBE_arena_alloc_pages
KRETFUNC_PROBE(arena_alloc_pages, void *arena, long uaddr, long page_cnt, int node_id,
	       u8 sleepable, long ret)
{
	at_send_page_event(ctx, AT_PAGE_ALLOC, (u64)arena, uaddr, ret, page_cnt, node_id,
			   (sleepable ? AT_F_SLEEPABLE : 0) | (ret ? AT_F_OK : 0));
	return 0;
}
#endif

#ifdef AT_PROBE_arena_free_pages
KFUNC_PROBE(arena_free_pages, void *arena, long uaddr, long page_cnt, u8 sleepable)
{
	at_send_page_event(ctx, AT_PAGE_FREE, (u64)arena, uaddr, 0, page_cnt, 0,
			   sleepable ? AT_F_SLEEPABLE : 0);
	return 0;
}
#endif

/* The kfuncs return early for any other map. */
static __always_inline bool at_is_arena(void *map)
{
	return AT_U32(map, bpf_map__map_type) == BPF_MAP_TYPE_ARENA;
}

/* Kernels that inline arena_alloc_pages() and arena_free_pages(): the kfuncs around them. */
#ifdef AT_PROBE_bpf_arena_alloc_pages
KRETFUNC_PROBE(bpf_arena_alloc_pages, void *map, void *addr, u32 page_cnt, int node_id, u64 flags,
	       void *ret)
{
	if (page_cnt && !flags && at_is_arena(map))
		at_send_page_event(ctx, AT_PAGE_ALLOC, (u64)map, (u64)addr, (u64)ret, page_cnt,
				   node_id, AT_F_SLEEPABLE | (ret ? AT_F_OK : 0));
	return 0;
}
#endif

#ifdef AT_PROBE_bpf_arena_free_pages
KFUNC_PROBE(bpf_arena_free_pages, void *map, void *ptr, u32 page_cnt)
{
	if (page_cnt && ptr && at_is_arena(map))
		at_send_page_event(ctx, AT_PAGE_FREE, (u64)map, (u64)ptr, 0, page_cnt, 0, AT_F_SLEEPABLE);
	return 0;
}
#endif

#ifdef AT_PROBE_bpf_arena_reserve_pages
KRETFUNC_PROBE(bpf_arena_reserve_pages, void *map, void *ptr, u32 page_cnt, int ret)
{
	if (at_is_arena(map))
		at_send_page_event(ctx, AT_PAGE_RESERVE, (u64)map, (u64)ptr, ret, page_cnt, 0,
				   ret ? 0 : AT_F_OK);
	return 0;
}
#endif

#ifdef AT_PROBE_arena_free_worker
KFUNC_PROBE(arena_free_worker, void *work)
{
	u64 arena = (u64)work - AT_OFF_bpf_arena__free_work;

	/* no task filter: the worker runs for all tasks */
	if (at_filter_passes_arena(arena))
		at_send_arena_event(AT_FREE_DRAIN, arena, 0, 0);
	return 0;
}
#endif

#ifdef AT_PROBE_arena_vm_fault
KRETFUNC_PROBE(arena_vm_fault, void *vmf, unsigned int ret)
{
	struct at_event *e;
	u64 file, arena;

	if (!at_is_recording())
		return 0;
	file = AT_U64(AT_U64(vmf, vm_fault__vma), vm_area_struct__vm_file);
	arena = AT_U64(file, file__private_data);
	if (!at_filter_passes_arena(arena) || !at_filter_passes_task())
		return 0;
	e = at_event_reserve(AT_USER_FAULT);
	if (!e)
		return 0;
	e->arena = arena;
	e->addr = AT_U64(vmf, vm_fault__address);
	e->ret = ret;
	/* FAULT_FLAG_WRITE is bit 0 of enum fault_flag */
	e->flags = AT_U32(vmf, vm_fault__flags) & 1 ? AT_F_WRITE : 0;
	at_event_submit(e);
	return 0;
}
#endif
