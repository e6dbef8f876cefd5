/* SPDX-License-Identifier: GPL-2.0-only */
/* The two rings: fixed-size events, and notes of several types. */

BPF_RINGBUF_OUTPUT(events, AT_EVENTS_PAGES);
BPF_RINGBUF_OUTPUT(notes, AT_NOTES_PAGES);

/*
 * Copy the task's name. A tracing program may read it in place; bpf_get_current_comm() would cost
 * as much as the rest of the event.
 */
static __always_inline void at_copy_comm(struct at_event *e)
{
	u64 *comm = (void *)bpf_get_current_task_btf() + AT_OFF_task_struct__comm;
	u64 *to = (u64 *)e->comm;

	to[0] = comm[0];
	to[1] = comm[1];
}

/* Reserve an event. The caller has checked at_is_recording(). */
static __always_inline struct at_event *at_event_reserve(u32 kind)
{
	struct at_event *e = events.ringbuf_reserve(sizeof(struct at_event));
	u64 pid_tgid;

	if (!e) {
		at_count_lost_event(kind);
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
	at_copy_comm(e);
	return e;
}

static __always_inline struct at_event *at_event_begin(u32 kind)
{
	return at_is_recording() ? at_event_reserve(kind) : 0;
}

/* No wake-up: the reader polls, so a fault storm costs no interrupts. */
static __always_inline void at_event_submit(struct at_event *e)
{
	events.ringbuf_submit(e, BPF_RB_NO_WAKEUP);
}

static __always_inline void at_note_init(struct at_note *n, u32 type, u64 key, u32 flags)
{
	n->type = type;
	n->flags = flags;
	n->ts_ns = bpf_ktime_get_ns();
	n->key = key;
}
