/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory that sched_ext allocates in an arena. */

/*
 * sched_ext's own memory in an arena: pieces of pages that it allocated like anyone else. Its
 * pieces are given up on the way in, like pages.
 */
static __always_inline void kernel_memory_event(u32 kind, u64 arena, u64 addr, u64 size)
{
	struct at_event *e;

	/* a scheduler without an arena: nothing was given */
	if (!is_recording() || !arena || !is_wanted_arena(arena) || !is_wanted_task())
		return;
	e = event_reserve(kind);
	if (!e)
		return;
	e->arena = arena;
	e->addr = addr;
	e->ret = size;
	e->pages = addr ? ((addr & 4095) + size + 4095) >> 12 : 0;
	e->flags = addr ? AT_F_OK : 0;
	event_end(e);
}

#ifdef AT_PROBE_scx_arena_alloc
KRETFUNC_PROBE(scx_arena_alloc, void *sch, unsigned long size, void *ret)
{
	kernel_memory_event(AT_KERNEL_ALLOC, U64_AT(sch, scx_sched__arena_map), (u64)ret, size);
	return 0;
}
#endif

#ifdef AT_PROBE_scx_arena_free
KFUNC_PROBE(scx_arena_free, void *sch, void *kern_va, unsigned long size)
{
	if (kern_va)
		kernel_memory_event(AT_KERNEL_FREE, U64_AT(sch, scx_sched__arena_map), (u64)kern_va,
				    size);
	return 0;
}
#endif
