/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory that sched_ext allocates in an arena. */

/*
 * sched_ext allocates pages like any other user and sub-allocates pieces of them. As with pages,
 * frees are recorded at entry.
 */
static __always_inline void at_send_scx_event(u32 kind, u64 arena, u64 addr, u64 size)
{
	struct at_event *e;

	/* a scheduler without an arena */
	if (!at_is_recording() || !arena || !at_filter_passes_arena(arena) || !at_filter_passes_task())
		return;
	e = at_event_reserve(kind);
	if (!e)
		return;
	e->arena = arena;
	e->addr = addr;
	e->ret = size;
	e->pages = addr ? ((addr & 4095) + size + 4095) >> 12 : 0;
	e->flags = addr ? AT_F_OK : 0;
	at_event_submit(e);
}

#ifdef AT_PROBE_scx_arena_alloc
KRETFUNC_PROBE(scx_arena_alloc, void *sch, unsigned long size, void *ret)
{
	at_send_scx_event(AT_KERNEL_ALLOC, AT_U64(sch, scx_sched__arena_map), (u64)ret, size);
	return 0;
}
#endif

#ifdef AT_PROBE_scx_arena_free
KFUNC_PROBE(scx_arena_free, void *sch, void *kern_va, unsigned long size)
{
	if (kern_va)
		at_send_scx_event(AT_KERNEL_FREE, AT_U64(sch, scx_sched__arena_map), (u64)kern_va,
				  size);
	return 0;
}
#endif
