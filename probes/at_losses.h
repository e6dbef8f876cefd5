/* SPDX-License-Identifier: GPL-2.0-only */
/* Counts of what did not fit into a ring. BCC reports no loss. */

/*
 * Events that did not fit, per kind and CPU. first_ns is the time of the first loss since user
 * space last read these counters. User space increments loss_reads after each read, and a probe
 * that finds another value in `reads` starts a new stretch.
 */
BPF_PERCPU_ARRAY(lost_events, struct at_loss, AT_KIND_MAX);
BPF_ARRAY(loss_reads, u64, 1);
BPF_PERCPU_ARRAY(lost_notes, u64, AT_NOTE_MAX);

static __always_inline void at_count_lost_event(u32 kind)
{
	struct at_loss *loss = lost_events.lookup(&kind);
	int zero = 0;
	u64 *reads = loss_reads.lookup(&zero);
	u64 now = bpf_ktime_get_ns();

	if (!loss || !reads)
		return;
	if (loss->reads != *reads || !loss->first_ns) {
		loss->reads = *reads;
		loss->first_ns = now;
	}
	loss->last_ns = now;
	/* atomic: an interrupt may lose an event of its own here */
	__sync_fetch_and_add(&loss->count, 1);
}

static __always_inline void at_count_lost_note(u32 type)
{
	u64 *n = lost_notes.lookup(&type);

	if (n)
		__sync_fetch_and_add(n, 1);
}
