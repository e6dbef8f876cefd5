/* SPDX-License-Identifier: GPL-2.0-only */
/* Counts of what did not fit into a ring. BCC reports no loss. */

/*
 * What could not be put into a ring, per kind and per type of note: BCC reports no loss.
 * first_ns is that of the first event lost since user space last looked, which it says by
 * counting loss_looks up after each look.
 */
struct at_loss {
	u64 count;
	u64 first_ns;
	u64 last_ns;
	u64 looks;
};
BPF_PERCPU_ARRAY(lost_events, struct at_loss, AT_KIND_MAX);
BPF_ARRAY(loss_looks, u64, 1);
BPF_PERCPU_ARRAY(lost_notes, u64, AT_NOTE_MAX);

static __always_inline void count_lost_event(u32 kind)
{
	struct at_loss *loss = lost_events.lookup(&kind);
	int zero = 0;
	u64 *looks = loss_looks.lookup(&zero);
	u64 now = bpf_ktime_get_ns();

	if (!loss || !looks)
		return;
	if (loss->looks != *looks || !loss->first_ns) {
		loss->looks = *looks;
		loss->first_ns = now;
	}
	loss->last_ns = now;
	/* an interrupt may lose an event of its own right here */
	__sync_fetch_and_add(&loss->count, 1);
}

static __always_inline void count_lost_note(u32 type)
{
	u64 *n = lost_notes.lookup(&type);

	if (n)
		__sync_fetch_and_add(n, 1);
}
