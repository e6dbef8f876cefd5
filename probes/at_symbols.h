/* SPDX-License-Identifier: GPL-2.0-only */
/* Names of code addresses, each sent once. */

BPF_ARRAY(modules_gone, u64, 1);
/* Symbols already sent, by address and generation(). */
struct at_symbol_key {
	u64 addr;
	u64 generation;
};
BPF_TABLE("lru_hash", struct at_symbol_key, u8, symbols_sent, 16384);
/* Read-only and frozen by user space, as bpf_snprintf() demands of its format. */
struct at_format {
	char text[8];
};
BPF_F_TABLE("array", int, struct at_format, symbol_format, 1, BPF_F_RDONLY_PROG);

#ifdef AT_PROBE_free_module
KFUNC_PROBE(free_module, void *mod)
{
	int zero = 0;
	u64 *n = modules_gone.lookup(&zero);

	/* the addresses of a module that is gone may soon mean another one's functions */
	if (n)
		__sync_fetch_and_add(n, 1);
	forget_hops();
	return 0;
}
#endif

/* Changes when what was sent before may be no longer true, or no longer be there to be read. */
static __always_inline u64 generation(void)
{
	int zero = 0;
	u64 *gone = modules_gone.lookup(&zero);
	struct at_told *t = told.lookup(&zero);

	return (gone ? *gone : 0) + (t ? t->files : 0);
}

static __always_inline void note_symbol(u64 addr, u64 now, u64 ts_ns)
{
	struct at_symbol_key key = {.addr = addr, .generation = now};
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
		count_lost_note(AT_NOTE_SYMBOL);
		return;
	}
	note_head(&n->note, AT_NOTE_SYMBOL, addr, 0);
	/* valid from the fault on that it belongs to */
	n->note.ts_ns = ts_ns;
	/* it fails when its buffers are taken, by an interrupted caller for example */
	if (bpf_snprintf(n->text, sizeof(n->text), format->text, &addr, sizeof(addr)) < 0) {
		notes.ringbuf_discard(n, BPF_RB_NO_WAKEUP);
		count_lost_note(AT_NOTE_SYMBOL);
		return;
	}
	notes.ringbuf_submit(n, BPF_RB_NO_WAKEUP);
	symbols_sent.update(&key, &sent);
}
