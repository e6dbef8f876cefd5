/* SPDX-License-Identifier: GPL-2.0-only */
/* Filters: which arenas, programs and tasks are recorded. */

#if defined(AT_FILTER_ARENA) || defined(AT_FILTER_PROG)
struct at_name {
	char name[AT_NAME_LEN];
};
#endif

/*
 * filter_*: ids, names and tags that user space asked for. selected_*: pointers of the objects
 * that match. A pointer stays selected after its object is freed, until another object has the
 * same address: a program may run for a moment after its unload.
 */
#ifdef AT_FILTER_ARENA
BPF_HASH(filter_arena_ids, u32, u8, 64);
BPF_HASH(filter_arena_names, struct at_name, u8, 64);
BPF_HASH(selected_arenas, u64, u8, 16384);
#endif
#ifdef AT_FILTER_PROG
BPF_HASH(filter_prog_ids, u32, u8, 64);
BPF_HASH(filter_prog_names, struct at_name, u8, 64);
BPF_HASH(filter_prog_tags, u64, u8, 64);
BPF_HASH(selected_progs, u64, u8, 16384);
BPF_HASH(arenas_of_selected, u64, u8, 16384);
#endif

static __always_inline void at_filter_update_arena(u64 arena, u64 name_at)
{
#ifdef AT_FILTER_ARENA
	u32 id = AT_U32(arena, bpf_map__id);
	struct at_name name = {};
	u8 yes = 1;

	bpf_probe_read_kernel(&name, sizeof(name), (void *)name_at);
	if (!filter_arena_ids.lookup(&id) && !filter_arena_names.lookup(&name))
		selected_arenas.delete(&arena);
	else if (selected_arenas.update(&arena, &yes))
		at_count_lost_note(AT_NOTE_ARENA);
#endif
}

static __always_inline void at_filter_update_prog(u64 prog, u64 aux)
{
#ifdef AT_FILTER_PROG
	u64 arena = AT_U64(aux, bpf_prog_aux__arena);
	u64 tag = at_read_u64(prog + AT_OFF_bpf_prog__tag);
	u32 id = AT_U32(aux, bpf_prog_aux__id);
	struct at_name name = {};
	u8 yes = 1;

	bpf_probe_read_kernel(&name, sizeof(name), (void *)(aux + AT_OFF_bpf_prog_aux__name));
	if (!filter_prog_ids.lookup(&id) && !filter_prog_names.lookup(&name) &&
	    !filter_prog_tags.lookup(&tag)) {
		selected_progs.delete(&aux);
		return;
	}
	if (selected_progs.update(&aux, &yes))
		at_count_lost_note(AT_NOTE_PROG);
	if (arena && arenas_of_selected.update(&arena, &yes))
		at_count_lost_note(AT_NOTE_ARENA);
#endif
}

/* A new arena has the address of a freed one: drop the old selection. */
static __always_inline void at_filter_forget_arena(u64 arena)
{
#ifdef AT_FILTER_PROG
	arenas_of_selected.delete(&arena);
#endif
}

static __always_inline bool at_filter_passes_arena(u64 arena)
{
#ifdef AT_FILTER_ARENA
	if (!selected_arenas.lookup(&arena))
		return false;
#endif
#ifdef AT_FILTER_PROG
	if (!arenas_of_selected.lookup(&arena))
		return false;
#endif
	return true;
}

static __always_inline bool at_filter_passes_task(void)
{
#ifdef AT_FILTER_CGROUP
	return AT_FILTER_CGROUP;
#else
	return true;
#endif
}

/* Faults without a blamed program always pass the filter. */
static __always_inline bool at_filter_passes_fault(u64 prog)
{
	u64 aux __maybe_unused, arena __maybe_unused;

	if (!at_filter_passes_task())
		return false;
	if (!prog)
		return true;
#ifdef AT_FILTER_PROG
	aux = AT_U64(prog, bpf_prog__aux);
	if (!selected_progs.lookup(&aux))
		return false;
#endif
#ifdef AT_FILTER_ARENA
	arena = AT_U64(AT_U64(prog, bpf_prog__aux), bpf_prog_aux__arena);
	if (!selected_arenas.lookup(&arena))
		return false;
#endif
	return true;
}
