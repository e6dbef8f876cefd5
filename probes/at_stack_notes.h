/* SPDX-License-Identifier: GPL-2.0-only */
/* Stacks of page operations, at level `stacks`: each is sent once. */

#ifdef AT_STACKS
/*
 * A stack is sent once, as a note. Its events have only a hash of its frames. Each probe has a
 * buffer of its own: the kernel's recursion guard keeps one probe from running twice on a CPU, not
 * two probes from interrupting each other.
 */
enum { AT_WALK_ALLOC, AT_WALK_FREE, AT_WALK_RESERVE, AT_WALKS };
struct at_frames {
	u64 frame[AT_FRAMES];
};
BPF_PERCPU_ARRAY(walk_frames, struct at_frames, AT_WALKS);
/* Hash of the frames to the epoch of the symbol cache in which they were sent. */
BPF_TABLE("lru_hash", u64, u64, stacks_sent, 16384);

static __always_inline bool at_send_page_stack(struct at_frames *frames, long bytes, u64 hash,
					       u64 epoch)
{
	struct at_note_page_stack *n;
	u64 ts_ns, frame;
	u32 i;

	n = notes.ringbuf_reserve(sizeof(struct at_note_page_stack));
	if (!n)
		return false;
	at_note_init(&n->note, AT_NOTE_PAGE_STACK, hash, 0);
	ts_ns = n->note.ts_ns;
	n->count = bytes / 8;
	n->pad = 0;
	bpf_probe_read_kernel(n->frames, sizeof(n->frames), frames->frame);
	for (i = 0; i < AT_FRAMES; i++) {
		asm volatile("" : "+r"(bytes));
		if (i * 8 >= bytes)
			break;
		frame = n->frames[i];
		at_send_symbol(frame, epoch, ts_ns);
	}
	notes.ringbuf_submit(n, BPF_RB_NO_WAKEUP);
	stacks_sent.update(&hash, &epoch);
	return true;
}
#endif
