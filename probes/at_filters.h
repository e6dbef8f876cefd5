/* SPDX-License-Identifier: GPL-2.0-only */
/* Filters: which arenas, programs and tasks are recorded. */

#if defined(AT_FILTER_ARENA) || defined(AT_FILTER_PROG)
struct at_name {
	char name[AT_NAME_LEN];
};
#endif

/*
 * What user space asked for, by id and name, and the objects that turned out to be it, by
 * pointer. A pointer whose object is gone stays until another object takes its place: a
 * program may run on for a moment after its unload.
 */
#ifdef AT_FILTER_ARENA
BPF_HASH(arena_ids, u32, u8, 64);
BPF_HASH(arena_names, struct at_name, u8, 64);
BPF_HASH(wanted_arenas, u64, u8, 16384);
#endif
#ifdef AT_FILTER_PROG
BPF_HASH(prog_ids, u32, u8, 64);
BPF_HASH(prog_names, struct at_name, u8, 64);
BPF_HASH(prog_tags, u64, u8, 64);
BPF_HASH(wanted_progs, u64, u8, 16384);
BPF_HASH(arenas_of_wanted, u64, u8, 16384);
#endif

static __always_inline void choose_arena(u64 arena, u64 name_at)
{
#ifdef AT_FILTER_ARENA
	u32 id = U32_AT(arena, bpf_map__id);
	struct at_name name = {};
	u8 yes = 1;

	bpf_probe_read_kernel(&name, sizeof(name), (void *)name_at);
	if (!arena_ids.lookup(&id) && !arena_names.lookup(&name))
		wanted_arenas.delete(&arena);
	else if (wanted_arenas.update(&arena, &yes))
		count_lost_note(AT_NOTE_ARENA);
#endif
}

static __always_inline void choose_prog(u64 prog, u64 aux)
{
#ifdef AT_FILTER_PROG
	u64 arena = U64_AT(aux, bpf_prog_aux__arena);
	u64 tag = read_u64(prog + AT_OFF_bpf_prog__tag);
	u32 id = U32_AT(aux, bpf_prog_aux__id);
	struct at_name name = {};
	u8 yes = 1;

	bpf_probe_read_kernel(&name, sizeof(name), (void *)(aux + AT_OFF_bpf_prog_aux__name));
	if (!prog_ids.lookup(&id) && !prog_names.lookup(&name) && !prog_tags.lookup(&tag)) {
		wanted_progs.delete(&aux);
		return;
	}
	if (wanted_progs.update(&aux, &yes))
		count_lost_note(AT_NOTE_PROG);
	if (arena && arenas_of_wanted.update(&arena, &yes))
		count_lost_note(AT_NOTE_ARENA);
#endif
}

/* An arena that was made anew where another one was: what that one belonged to is over. */
static __always_inline void forget_arena(u64 arena)
{
#ifdef AT_FILTER_PROG
	arenas_of_wanted.delete(&arena);
#endif
}

static __always_inline bool is_wanted_arena(u64 arena)
{
#ifdef AT_FILTER_ARENA
	if (!wanted_arenas.lookup(&arena))
		return false;
#endif
#ifdef AT_FILTER_PROG
	if (!arenas_of_wanted.lookup(&arena))
		return false;
#endif
	return true;
}

static __always_inline bool is_wanted_task(void)
{
#ifdef AT_FILTER_CGROUP
	return AT_FILTER_CGROUP;
#else
	return true;
#endif
}

/* A fault that the kernel blames on nobody may be anybody's: it is kept. */
static __always_inline bool is_wanted_fault(u64 prog)
{
	u64 aux __maybe_unused, arena __maybe_unused;

	if (!is_wanted_task())
		return false;
	if (!prog)
		return true;
#ifdef AT_FILTER_PROG
	aux = U64_AT(prog, bpf_prog__aux);
	if (!wanted_progs.lookup(&aux))
		return false;
#endif
#ifdef AT_FILTER_ARENA
	arena = U64_AT(U64_AT(prog, bpf_prog__aux), bpf_prog_aux__arena);
	if (!wanted_arenas.lookup(&arena))
		return false;
#endif
	return true;
}
