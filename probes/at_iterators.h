/* SPDX-License-Identifier: GPL-2.0-only */
/* Arenas and programs that exist when the recording begins. */

/* Contexts of the iterators, as the kernel defines them (BPF_ITER); user space checks them. */
struct bpf_iter__bpf_map {
	u64 meta;
	u64 map;
};
struct bpf_iter__bpf_prog {
	u64 meta;
	u64 prog;
};

#ifdef AT_PROBE_iter_bpf_map
BPF_ITER(bpf_map)
{
	u64 map = ctx->map;

	if (map && AT_U32(map, bpf_map__map_type) == BPF_MAP_TYPE_ARENA)
		at_send_arena(map, map + AT_OFF_bpf_map__name, AT_F_PREEXISTING);
	return 0;
}
#endif

#ifdef AT_PROBE_iter_bpf_prog
BPF_ITER(bpf_prog)
{
	u64 prog = ctx->prog;

	if (prog)
		at_send_prog(prog, AT_U64(prog, bpf_prog__aux), AT_F_PREEXISTING);
	return 0;
}
#endif
