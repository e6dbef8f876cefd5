/* SPDX-License-Identifier: GPL-2.0-only */
/* Names of code addresses, each sent once. */

BPF_ARRAY(module_unloads, u64, 1);
/* Symbols already sent, by address and epoch of the symbol cache. */
struct at_symbol_key {
	u64 addr;
	u64 epoch;
};
BPF_TABLE("lru_hash", struct at_symbol_key, u8, symbols_sent, 16384);
/* bpf_snprintf() needs its format in a read-only map, which user space freezes. */
struct at_format {
	char text[8];
};
BPF_F_TABLE("array", int, struct at_format, symbol_format, 1, BPF_F_RDONLY_PROG);

#ifdef AT_PROBE_free_module
KFUNC_PROBE(free_module, void *mod)
{
	int zero = 0;
	u64 *unloads = module_unloads.lookup(&zero);

	/* the addresses of an unloaded module may be reused by another */
	if (unloads)
		__sync_fetch_and_add(unloads, 1);
	at_invalidate_hops();
	return 0;
}
#endif

/* Epoch of the symbol cache: changes when a module is unloaded and when new files begin. */
static __always_inline u64 at_symbol_epoch(void)
{
	int zero = 0;
	u64 *unloads = module_unloads.lookup(&zero);
	struct at_control *c = control.lookup(&zero);

	return (unloads ? *unloads : 0) + (c ? c->files : 0);
}

static __always_inline void at_send_symbol(u64 addr, u64 epoch, u64 ts_ns)
{
	struct at_symbol_key key = {.addr = addr, .epoch = epoch};
	struct at_note_symbol *n;
	struct at_format *format;
	int zero = 0;
	u8 sent = 1;

	if (symbols_sent.lookup(&key))
		return;
	format = symbol_format.lookup(&zero);
	if (!format)
		return;
	n = notes.ringbuf_reserve(sizeof(struct at_note_symbol));
	if (!n) {
		at_count_lost_note(AT_NOTE_SYMBOL);
		return;
	}
	at_note_init(&n->note, AT_NOTE_SYMBOL, addr, 0);
	/* valid from the time of the fault that needs it */
	n->note.ts_ns = ts_ns;
	/* fails when its per-CPU buffers are in use, by an interrupted caller for example */
	if (bpf_snprintf(n->text, sizeof(n->text), format->text, &addr, sizeof(addr)) < 0) {
		notes.ringbuf_discard(n, BPF_RB_NO_WAKEUP);
		at_count_lost_note(AT_NOTE_SYMBOL);
		return;
	}
	notes.ringbuf_submit(n, BPF_RB_NO_WAKEUP);
	symbols_sent.update(&key, &sent);
}
