/* SPDX-License-Identifier: GPL-2.0-only */
/* Stacks of page operations, at level `stacks`: each is sent once. */

#ifdef AT_STACKS
/*
 * Stacks of page operations, at level `stacks`. A stack travels once, as a note; after that
 * its events carry only a hash of its frames. Each probe has a buffer of its own: the
 * kernel's recursion guard keeps a probe from running twice on one CPU, not two of them.
 */
enum { AT_TRACE_ALLOC, AT_TRACE_FREE, AT_TRACE_RESERVE, AT_TRACES };
struct at_frames {
	u64 frame[AT_FRAMES];
};
BPF_PERCPU_ARRAY(trace_frames, struct at_frames, AT_TRACES);
/* Hash of the frames to the generation() in which they were sent. */
BPF_TABLE("lru_hash", u64, u64, traces_sent, 16384);

static __always_inline bool note_trace(struct at_frames *from, long bytes, u64 hash, u64 now)
{
	struct at_note_trace *n;
	u64 ts_ns, frame;
	u32 i;

	n = notes.ringbuf_reserve(sizeof(struct at_note_trace));
	if (!n)
		return false;
	note_head(&n->note, AT_NOTE_TRACE, hash, 0);
	ts_ns = n->note.ts_ns;
	n->count = bytes / 8;
	n->pad = 0;
	bpf_probe_read_kernel(n->frames, sizeof(n->frames), from->frame);
	for (i = 0; i < AT_FRAMES; i++) {
		asm volatile("" : "+r"(bytes));
		if (i * 8 >= bytes)
			break;
		frame = n->frames[i];
		note_symbol(frame, now, ts_ns);
	}
	notes.ringbuf_submit(n, BPF_RB_NO_WAKEUP);
	traces_sent.update(&hash, &now);
	return true;
}
#endif
