/* SPDX-License-Identifier: GPL-2.0-only */
/* Kernel-side faults: page_fault_oops() to the return of the handler. */

#ifdef AT_PROBE_page_fault_oops
KFUNC_PROBE(page_fault_oops, void *regs, unsigned long error_code, unsigned long address)
{
	u64 task = bpf_get_current_task();
	struct at_fault f = {};

	if (!at_is_recording())
		return 0;
	f.addr = address;
	f.ip = AT_U64(regs, pt_regs__ip);
	f.error_code = error_code;
	f.has_error_code = 1;
	f.where = AT_IN_OOPS;
	/* X86_PF_PROT: the page was mapped, and the handler is not called */
	if (error_code & 1)
		f.oops = AT_OOPS_PROTECTION;
#ifndef AT_PROBE_bpf_arena_handle_page_fault
	else
		f.oops = AT_OOPS_NO_HANDLER;
#endif
	if (f.oops) {
		/* X86_PF_WRITE */
		at_send_fault_event(ctx, AT_KERNEL_FAULT, &f, address, f.ip, error_code & 2 ? AT_F_WRITE : 0);
		return 0;
	}
	faults.update(&task, &f);
	return 0;
}
#endif

/*
 * arm64: every kernel fault enters here, and most are fixed up. At entry a permission fault looks
 * like any other, so it is not recorded.
 */
#ifdef AT_PROBE___do_kernel_fault
KFUNC_PROBE(__do_kernel_fault, unsigned long addr, unsigned long esr, void *regs)
{
	u64 task = bpf_get_current_task();
	struct at_fault f = {};

	/* kernel addresses have the highest bit set */
	if (!at_is_recording() || (s64)addr >= 0)
		return 0;
	f.addr = addr;
	f.ip = AT_U64(regs, pt_regs__pc);
	f.error_code = esr;
	f.has_error_code = 1;
	f.where = AT_IN_OOPS;
	faults.update(&task, &f);
	return 0;
}
#endif

#ifdef AT_PROBE_bpf_arena_handle_page_fault
KFUNC_PROBE(bpf_arena_handle_page_fault, unsigned long addr, u8 is_write, unsigned long fault_ip)
{
	u64 task = bpf_get_current_task();
	struct at_fault *seen = faults.lookup(&task);
	struct at_fault f = {};

	if (!at_is_recording())
		return 0;

	if (seen && seen->where == AT_IN_OOPS && seen->addr == addr && seen->ip == fault_ip) {
		seen->where = AT_IN_HANDLER;
		return 0;
	}
	f.addr = addr;
	f.ip = fault_ip;
	f.where = AT_IN_HANDLER;
	faults.update(&task, &f);
	return 0;
}

KRETFUNC_PROBE(bpf_arena_handle_page_fault, unsigned long addr, u8 is_write,
	       unsigned long fault_ip, u8 ret)
{
	u64 task = bpf_get_current_task();
	struct at_fault *f = faults.lookup(&task);
	u64 pte;

	if (f) {
		pte = f->claimed_pte;
		if (pte)
			pte_claims.delete(&pte);
		/* state of another fault: the blamed program is unknown, the stack is still valid */
		if (f->where != AT_IN_HANDLER || f->addr != addr || f->ip != fault_ip)
			f = 0;
	}
	/* the handler's own checks, in its order */
	if (f && !ret)
		f->oops = !f->prog ? AT_OOPS_NO_PROGRAM :
			  !AT_U64(AT_U64(f->prog, bpf_prog__aux), bpf_prog_aux__arena) ?
				     AT_OOPS_NO_ARENA :
				     AT_OOPS_OUTSIDE_ARENA;
	at_send_fault_event(ctx, AT_KERNEL_FAULT, f, addr, fault_ip,
		    (is_write ? AT_F_WRITE : 0) | (ret ? AT_F_OK : 0));
	faults.delete(&task);
	return 0;
}
#endif

#ifdef AT_PROBE_bpf_prog_find_from_stack
KRETFUNC_PROBE(bpf_prog_find_from_stack, void *ret)
{
	u64 task = bpf_get_current_task();
	struct at_fault *f = faults.lookup(&task);

	if (f && f->where == AT_IN_HANDLER && !f->prog)
		f->prog = (u64)ret;
	return 0;
}
#endif

#ifdef AT_PROBE_apply_range_set_scratch_cb
KFUNC_PROBE(apply_range_set_scratch_cb, void *pte, unsigned long addr, void *data)
{
	u64 task = bpf_get_current_task();
	struct at_fault *f = faults.lookup(&task);
	u64 key = (u64)pte;
	u64 now, *claimed;
	bool was_none;

	if (!f || f->where != AT_IN_HANDLER)
		return 0;
	now = bpf_ktime_get_ns();
	f->ts_ns = now;
	f->pte_seen = 1;
	now &= ~AT_CLAIM_CONTESTED;
	was_none = at_read_u64(key) == 0;
	/* claim, then read: a claim after a finished fault finds the entry filled */
	if (pte_claims.insert(&key, &now) == -AT_EEXIST) {
		claimed = pte_claims.lookup(&key);
		/* signed: the other CPU may have read the clock later than this one */
		if (claimed && (s64)(now - *claimed) < AT_CLAIM_NS) {
			/* concurrent writers store the same value */
			*(volatile u64 *)claimed |= AT_CLAIM_CONTESTED;
			return 0;
		}
		pte_claims.update(&key, &now);
	}
	f->claimed_pte = key;
	f->pte_was_none = at_read_u64(key) == 0;
	if (f->pte_was_none || !was_none)
		return 0;
	/* filled between claim and read: by a CPU that claimed too late and was faster */
	claimed = pte_claims.lookup(&key);
	f->pte_was_none = claimed && *(volatile u64 *)claimed & AT_CLAIM_CONTESTED;
	return 0;
}
#endif
