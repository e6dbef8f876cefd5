/* SPDX-License-Identifier: GPL-2.0-only */
/* Program-side faults: the exception handler of BPF code. */

#ifdef AT_PROBE_bpf_prog_report_arena_violation
KFUNC_PROBE(bpf_prog_report_arena_violation, u8 write, unsigned long addr, unsigned long fault_ip)
{
	u64 task = bpf_get_current_task();
	struct at_fault f = {};

	if (!at_is_recording())
		return 0;
	f.addr = addr;
	f.ip = fault_ip;
	f.ts_ns = bpf_ktime_get_ns();
	f.where = AT_IN_REPORT;
	faults.update(&task, &f);
	return 0;
}

KRETFUNC_PROBE(bpf_prog_report_arena_violation, u8 write, unsigned long addr,
	       unsigned long fault_ip)
{
	u64 task = bpf_get_current_task();
	struct at_fault *f = faults.lookup(&task);

	if (f && (f->where != AT_IN_REPORT || f->addr != addr || f->ip != fault_ip))
		f = 0;
	at_send_fault_event(ctx, AT_PROG_FAULT, f, addr, fault_ip,
		    (write ? AT_F_WRITE : 0) | AT_F_ADDR_IS_OFFSET);
	faults.delete(&task);
	return 0;
}
#endif

/*
 * Kernels that do not report program-side faults: fixup_exception() has the address, and calls
 * ex_handler_bpf() only for BPF code.
 */
#ifdef AT_PROBE_fixup_exception
KFUNC_PROBE(fixup_exception, void *regs, int trapnr, unsigned long error_code,
	    unsigned long fault_addr)
{
	u64 task = bpf_get_current_task();
	struct at_fault f = {};

	/* X86_TRAP_PF on a kernel address; copies from and to user space enter here too */
	if (trapnr != 14 || (s64)fault_addr >= 0 || !at_is_recording())
		return 0;
	f.addr = fault_addr;
	f.ip = AT_U64(regs, pt_regs__ip);
	f.error_code = error_code;
	f.ts_ns = bpf_ktime_get_ns();
	f.where = AT_IN_FIXUP;
	faults.update(&task, &f);
	return 0;
}
#endif

#ifdef AT_PROBE_ex_handler_bpf
KFUNC_PROBE(ex_handler_bpf, void *x, void *regs)
{
	u64 task = bpf_get_current_task();
	struct at_fault *f = faults.lookup(&task);

	if (!f || f->where != AT_IN_FIXUP || f->ip != AT_U64(regs, pt_regs__ip))
		return 0;
	at_send_fault_event(ctx, AT_PROG_FAULT, f, f->addr, f->ip, f->error_code & 2 ? AT_F_WRITE : 0);
	faults.delete(&task);
	return 0;
}
#endif

#ifdef AT_PROBE_bpf_prog_ksym_find
KRETFUNC_PROBE(bpf_prog_ksym_find, unsigned long addr, void *ret)
{
	u64 task = bpf_get_current_task();
	struct at_fault *f = faults.lookup(&task);

	/* the first lookup is the report's own; later ones are for the stack in its text */
	if (f && f->where == AT_IN_REPORT && !f->prog && addr == f->ip && ret)
		f->prog = AT_U64(AT_U64(AT_U64(ret, bpf_prog__aux), bpf_prog_aux__main_prog_aux),
				 bpf_prog_aux__prog);
	return 0;
}
#endif
