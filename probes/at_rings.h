/* SPDX-License-Identifier: GPL-2.0-only */
/* The two rings: fixed-size events, and notes of several types. */

BPF_RINGBUF_OUTPUT(events, AT_EVENTS_PAGES);
BPF_RINGBUF_OUTPUT(notes, AT_NOTES_PAGES);

/*
 * The name as it stands in the task, which the kernel lets a tracing program read in place:
 * bpf_get_current_comm() alone would cost as much as all the rest of an event.
 */
static __always_inline void put_comm(struct at_event *e)
{
	u64 *comm = (void *)bpf_get_current_task_btf() + AT_OFF_task_struct__comm;
	u64 *to = (u64 *)e->comm;

	to[0] = comm[0];
	to[1] = comm[1];
}

/* For who has seen is_recording() already. */
static __always_inline struct at_event *event_reserve(u32 kind)
{
	struct at_event *e = events.ringbuf_reserve(sizeof(struct at_event));
	u64 pid_tgid;

	if (!e) {
		count_lost_event(kind);
		return 0;
	}
	pid_tgid = bpf_get_current_pid_tgid();
	e->ts_ns = bpf_ktime_get_ns();
	e->arena = 0;
	e->addr = 0;
	e->ret = 0;
	e->ip = 0;
	e->pid = pid_tgid >> 32;
	e->tid = (u32)pid_tgid;
	e->pages = 0;
	e->error_code = 0;
	e->stack = 0;
	e->cpu = bpf_get_smp_processor_id();
	e->kind = kind;
	e->flags = 0;
	put_comm(e);
	return e;
}

static __always_inline struct at_event *event_begin(u32 kind)
{
	return is_recording() ? event_reserve(kind) : 0;
}

/* No wake-up: the reader polls, so a storm costs no interrupts. */
static __always_inline void event_end(struct at_event *e)
{
	events.ringbuf_submit(e, BPF_RB_NO_WAKEUP);
}

static __always_inline void note_head(struct at_note *n, u32 type, u64 key, u32 flags)
{
	n->type = type;
	n->flags = flags;
	n->ts_ns = bpf_ktime_get_ns();
	n->key = key;
}
