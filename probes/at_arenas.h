/* SPDX-License-Identifier: GPL-2.0-only */
/* The life of arenas: creation, mmap, destruction. */

static __always_inline void at_send_arena(u64 arena, u64 name_at, u32 flags)
{
	struct at_note_arena *n;

	at_filter_update_arena(arena, name_at);
	n = notes.ringbuf_reserve(sizeof(struct at_note_arena));
	if (!n) {
		at_count_lost_note(AT_NOTE_ARENA);
		return;
	}
	at_note_init(&n->note, AT_NOTE_ARENA, arena, flags);
	n->kern_vm_addr = AT_U64(AT_U64(arena, bpf_arena__kern_vm), vm_struct__addr);
	n->user_vm_start = AT_U64(arena, bpf_arena__user_vm_start);
	n->user_vm_end = AT_U64(arena, bpf_arena__user_vm_end);
	n->max_entries = AT_U32(arena, bpf_map__max_entries);
	n->map_flags = AT_U32(arena, bpf_map__map_flags);
	n->id = AT_U32(arena, bpf_map__id);
	n->pad = 0;
	__builtin_memset(n->name, 0, sizeof(n->name));
	bpf_probe_read_kernel(n->name, sizeof(n->name), (void *)name_at);
	notes.ringbuf_submit(n, BPF_RB_NO_WAKEUP);
}

static __always_inline void at_send_arena_event(u32 kind, u64 arena, s64 ret, u32 flags)
{
	struct at_event *e = at_event_begin(kind);

	if (!e)
		return;
	e->arena = arena;
	e->ret = ret;
	e->flags = flags;
	at_event_submit(e);
}

#ifdef AT_PROBE_arena_map_alloc
KRETFUNC_PROBE(arena_map_alloc, void *attr, void *ret)
{
	/* NULL or an error pointer: no arena was created */
	if (!at_is_recording() || (u64)ret >= (u64)-4095LL || !ret)
		return 0;
	at_filter_forget_arena((u64)ret);
	/* the kernel fills in map->name later; the caller's attribute has it */
	at_send_arena((u64)ret, (u64)attr + AT_OFF_bpf_attr__map_name, 0);
	at_send_arena_event(AT_ARENA_CREATE, (u64)ret, 0, AT_F_OK);
	return 0;
}
#endif

#ifdef AT_PROBE_arena_map_mmap
KRETFUNC_PROBE(arena_map_mmap, void *map, void *vma, int ret)
{
	if (!at_is_recording())
		return 0;
	at_send_arena((u64)map, (u64)map + AT_OFF_bpf_map__name, 0);
	at_send_arena_event(AT_ARENA_MMAP, (u64)map, ret, ret ? 0 : AT_F_OK);
	return 0;
}
#endif

#ifdef AT_PROBE_arena_map_free
KFUNC_PROBE(arena_map_free, void *map)
{
	at_send_arena_event(AT_ARENA_DESTROY, (u64)map, 0, 0);
	return 0;
}
#endif
