/* SPDX-License-Identifier: GPL-2.0-only */
/* State and event of a fault, for both kinds. */

#define AT_EEXIST 17
/* a claim this old is stale: filling an entry takes microseconds */
#define AT_CLAIM_NS 1000000000LL

/*
 * A fault in progress, by task pointer: page_fault_oops() has the error code, the handler the
 * address, bpf_prog_find_from_stack() the program, the PTE callback whether the entry was empty.
 * Each CPU has its own idle task, so the task pointer is a sufficient key.
 */
enum { AT_IN_OOPS = 1, AT_IN_HANDLER = 2, AT_IN_REPORT = 3, AT_IN_FIXUP = 4 };
struct at_fault {
	u64 addr;
	u64 ip;
	u64 prog;
	u64 claimed_pte;
	u64 ts_ns;
	u32 error_code;
	u8 where;
	u8 has_error_code;
	u8 pte_seen;
	u8 pte_was_none;
	u8 oops;
};
BPF_HASH(faults, u64, struct at_fault, 16384);

/*
 * Page table entries that are being filled, by entry. Two CPUs may fault on one page and both find
 * it empty, but only one installs: the first to claim the entry counts as that one. The value is
 * the time of the claim, ns; its lowest bit says that a second CPU tried to claim.
 */
#define AT_CLAIM_CONTESTED 1ULL
BPF_HASH(pte_claims, u64, u64, 1024);

/*
 * Send the stack, its symbols and the blamed program at the time of the fault: programs and modules
 * may be freed before user space reads this. Returns whether the note was sent. Its event has the
 * same ts_ns, CPU and thread, which pairs them.
 */
static __always_inline bool at_send_fault_stack(void *ctx, u64 prog, u64 ts_ns)
{
	u64 epoch = at_symbol_epoch();
	struct at_note_fault_stack *n;
	u64 aux, frame;
	long bytes;
	u32 i;

	n = notes.ringbuf_reserve(sizeof(struct at_note_fault_stack));
	if (!n) {
		at_count_lost_note(AT_NOTE_FAULT_STACK);
		return false;
	}
	at_note_init(&n->note, AT_NOTE_FAULT_STACK,
		     (u64)bpf_get_smp_processor_id() << 32 | (u32)bpf_get_current_pid_tgid(), 0);
	n->note.ts_ns = ts_ns;
	n->start = 0;
	n->end = 0;
	n->arena = 0;
	n->id = 0;
	__builtin_memset(n->tag, 0, sizeof(n->tag));
	__builtin_memset(n->name, 0, sizeof(n->name));
	if (prog) {
		aux = AT_U64(prog, bpf_prog__aux);
		n->start = AT_U64(aux, bpf_prog_aux__ksym__start);
		n->end = AT_U64(aux, bpf_prog_aux__ksym__end);
		n->arena = AT_U64(aux, bpf_prog_aux__arena);
		n->id = AT_U32(aux, bpf_prog_aux__id);
		bpf_probe_read_kernel(n->tag, sizeof(n->tag), (void *)(prog + AT_OFF_bpf_prog__tag));
		bpf_probe_read_kernel(n->name, sizeof(n->name),
				      (void *)(aux + AT_OFF_bpf_prog_aux__name));
	}
	bytes = bpf_get_stack(ctx, n->frames, sizeof(n->frames), 0);
	n->frame_bytes = bytes > 0 ? bytes : 0;
	for (i = 0; i < AT_FRAMES; i++) {
		if (i * 8 >= bytes || bytes <= 0)
			break;
		frame = n->frames[i];
		at_send_symbol(frame, epoch, ts_ns);
	}
	notes.ringbuf_submit(n, BPF_RB_NO_WAKEUP);
	return true;
}

/* Send the stack of a fault, then its event. */
static __always_inline void at_send_fault_event(void *ctx, u32 kind, struct at_fault *f, u64 addr,
						u64 ip, u32 flags)
{
	/* the time of the fault: by now the kernel has written its report */
	u64 ts_ns = f && f->ts_ns ? f->ts_ns : bpf_ktime_get_ns();
	u64 prog = f ? f->prog : 0;
	struct at_event *e;
	bool has_stack;
	u64 aux;

	if (!at_is_recording())
		return;
	/* an oops passes every filter: the blamed program may not be the one at fault */
	if ((kind != AT_KERNEL_FAULT || flags & AT_F_OK) && !at_filter_passes_fault(prog))
		return;
	has_stack = at_send_fault_stack(ctx, prog, ts_ns);
	e = at_event_begin(kind);
	if (!e)
		return;
	e->ts_ns = ts_ns;
	if (prog) {
		aux = AT_U64(prog, bpf_prog__aux);
		e->arena = AT_U64(aux, bpf_prog_aux__arena);
		e->ret = AT_U64(aux, bpf_prog_aux__ksym__start);
	}
	e->addr = addr;
	e->ip = ip;
	e->stack = has_stack;
	e->pages = f ? f->oops : 0;
	if (f && f->pte_seen)
		flags |= AT_F_PTE_SEEN | (f->pte_was_none ? AT_F_PTE_WAS_NONE : 0);
	if (f && f->has_error_code) {
		flags |= AT_F_HAS_ERROR_CODE;
		e->error_code = f->error_code;
	}
	e->flags = flags;
	at_event_submit(e);
}
