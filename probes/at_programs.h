/* SPDX-License-Identifier: GPL-2.0-only */
/* The life of programs: load and unload, with functions and line tables. */

#define AT_MAX_FUNCS 256
#define AT_MAX_LINE_CHUNKS 256
#define AT_MAX_STRING_CHUNKS 256

BPF_HASH(strings_sent, u32, u8, 4096);

static __always_inline void at_send_func(u64 main_aux, u64 aux, u32 flags)
{
	struct at_note_func *n = notes.ringbuf_reserve(sizeof(struct at_note_func));

	if (!n) {
		at_count_lost_note(AT_NOTE_FUNC);
		return;
	}
	at_note_init(&n->note, AT_NOTE_FUNC, main_aux, flags);
	n->start = AT_U64(aux, bpf_prog_aux__ksym__start);
	n->end = AT_U64(aux, bpf_prog_aux__ksym__end);
	__builtin_memset(n->ksym, 0, sizeof(n->ksym));
	bpf_probe_read_kernel_str(n->ksym, sizeof(n->ksym),
				  (void *)(aux + AT_OFF_bpf_prog_aux__ksym__name));
	notes.ringbuf_submit(n, BPF_RB_NO_WAKEUP);
}

/*
 * Send the whole line table at load time: the program, its BTF and its line info may be freed
 * before user space reads them.
 */
static __always_inline void at_send_lines(u64 aux, u32 nr_linfo, u32 flags)
{
	u64 linfo = AT_U64(aux, bpf_prog_aux__linfo);
	u64 jited = AT_U64(aux, bpf_prog_aux__jited_linfo);
	u32 i;

	if (!linfo || !jited)
		return;
	for (i = 0; i < AT_MAX_LINE_CHUNKS; i++) {
		u32 first = i * AT_LINES;
		struct at_note_lines *n;
		u32 count;

		if (first >= nr_linfo)
			return;
		n = notes.ringbuf_reserve(sizeof(struct at_note_lines));
		if (!n) {
			at_count_lost_note(AT_NOTE_LINES);
			continue;
		}
		count = nr_linfo - first;
		if (count > AT_LINES)
			count = AT_LINES;
		at_note_init(&n->note, AT_NOTE_LINES, aux, flags);
		n->first = first;
		n->count = count;
		/* count is at most AT_LINES; the mask tells the verifier */
		bpf_probe_read_kernel(n->addr, (count * 8) & 1023 ? (count * 8) & 1023 : AT_LINES * 8,
				      (void *)(jited + first * 8ULL));
		bpf_probe_read_kernel(n->linfo, (count * 16) & 2047 ? (count * 16) & 2047 : AT_LINES * 16,
				      (void *)(linfo + first * 16ULL));
		notes.ringbuf_submit(n, BPF_RB_NO_WAKEUP);
	}
	at_count_lost_note(AT_NOTE_LINES);
}

static __always_inline void at_send_strings(u64 btf, u32 btf_id)
{
	u64 strings = AT_U64(btf, btf__strings);
	u32 total = AT_U32(btf, btf__hdr__str_len);
	u8 sent = 1;
	u32 i;

	/* programs of one object share one BTF: send its strings once */
	if (strings_sent.lookup(&btf_id))
		return;
	strings_sent.update(&btf_id, &sent);
	for (i = 0; i < AT_MAX_STRING_CHUNKS; i++) {
		u32 offset = i * AT_CHUNK;
		struct at_note_strings *n;
		u32 len;

		if (offset >= total)
			return;
		n = notes.ringbuf_reserve(sizeof(struct at_note_strings));
		if (!n) {
			at_count_lost_note(AT_NOTE_STRINGS);
			continue;
		}
		len = total - offset;
		if (len > AT_CHUNK)
			len = AT_CHUNK;
		at_note_init(&n->note, AT_NOTE_STRINGS, btf_id, 0);
		n->offset = offset;
		n->len = len;
		n->total = total;
		n->pad = 0;
		bpf_probe_read_kernel(n->data, len & (AT_CHUNK - 1) ? len & (AT_CHUNK - 1) : AT_CHUNK,
				      (void *)(strings + offset));
		notes.ringbuf_submit(n, BPF_RB_NO_WAKEUP);
	}
	at_count_lost_note(AT_NOTE_STRINGS);
}

static __always_inline void at_send_prog(u64 prog, u64 aux, u32 flags)
{
	u64 btf = AT_U64(aux, bpf_prog_aux__btf);
	u64 funcs = AT_U64(aux, bpf_prog_aux__func);
	u32 func_cnt = AT_U32(aux, bpf_prog_aux__func_cnt);
	u32 nr_linfo = AT_U32(aux, bpf_prog_aux__nr_linfo);
	u32 btf_id = btf ? AT_U32(btf, btf__id) : 0;
	struct at_note_prog *n;
	u32 i;

	at_filter_update_prog(prog, aux);
	/* func[0] is the main program again; subprograms follow */
	if (funcs) {
		for (i = 1; i < AT_MAX_FUNCS; i++) {
			if (i >= func_cnt)
				break;
			at_send_func(aux, AT_U64(at_read_u64(funcs + i * 8ULL), bpf_prog__aux), flags);
		}
		if (func_cnt > AT_MAX_FUNCS)
			at_count_lost_note(AT_NOTE_FUNC);
	}
	/* before the recording only names are needed */
	if (btf && at_is_recording()) {
		at_send_lines(aux, nr_linfo, flags);
		at_send_strings(btf, btf_id);
	}
	n = notes.ringbuf_reserve(sizeof(struct at_note_prog));
	if (!n) {
		at_count_lost_note(AT_NOTE_PROG);
		return;
	}
	at_note_init(&n->note, AT_NOTE_PROG, aux, flags);
	n->start = AT_U64(aux, bpf_prog_aux__ksym__start);
	n->end = AT_U64(aux, bpf_prog_aux__ksym__end);
	n->arena = AT_U64(aux, bpf_prog_aux__arena);
	n->id = AT_U32(aux, bpf_prog_aux__id);
	n->type = AT_U32(prog, bpf_prog__type);
	n->func_cnt = func_cnt;
	n->nr_linfo = nr_linfo;
	n->btf_id = btf_id;
	n->pad = 0;
	bpf_probe_read_kernel(n->tag, sizeof(n->tag), (void *)(prog + AT_OFF_bpf_prog__tag));
	__builtin_memset(n->name, 0, sizeof(n->name));
	bpf_probe_read_kernel(n->name, sizeof(n->name), (void *)(aux + AT_OFF_bpf_prog_aux__name));
	__builtin_memset(n->ksym, 0, sizeof(n->ksym));
	bpf_probe_read_kernel_str(n->ksym, sizeof(n->ksym),
				  (void *)(aux + AT_OFF_bpf_prog_aux__ksym__name));
	notes.ringbuf_submit(n, BPF_RB_NO_WAKEUP);
}

static __always_inline void at_send_prog_event(u32 kind, u64 aux, u32 flags)
{
	struct at_event *e = at_event_begin(kind);

	if (!e)
		return;
	e->arena = AT_U64(aux, bpf_prog_aux__arena);
	e->ret = AT_U64(aux, bpf_prog_aux__ksym__start);
	e->flags = flags;
	at_event_submit(e);
}

#ifdef AT_PROBE_bpf_prog_kallsyms_add
KRETFUNC_PROBE(bpf_prog_kallsyms_add, void *fp)
{
	u64 aux = AT_U64(fp, bpf_prog__aux);

	/* skip subprograms, which are added before their main program has its id */
	if (!at_is_recording() || AT_U32(aux, bpf_prog_aux__func_idx))
		return 0;
	at_send_prog((u64)fp, aux, 0);
	at_send_prog_event(AT_PROG_LOAD, aux, AT_F_OK);
	return 0;
}
#endif

#ifdef AT_PROBE_bpf_prog_kallsyms_del_all
KFUNC_PROBE(bpf_prog_kallsyms_del_all, void *fp)
{
	at_invalidate_hops();
	at_send_prog_event(AT_PROG_UNLOAD, AT_U64(fp, bpf_prog__aux), 0);
	return 0;
}
#endif
