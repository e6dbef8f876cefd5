// SPDX-License-Identifier: GPL-2.0
/*
 * Kfuncs that order two CPUs: the same one wins each race.
 *
 * One CPU is stopped inside the kernel at one of two points that are invisible from outside:
 * after an access has faulted and before the fault is handled, or after the arena's worker has
 * started and before it takes the queued frees. Another CPU waits for that, operates, and
 * releases the first. A stopped CPU takes no interrupts, so a TLB flush waits for it: the other
 * CPU must be in this module before the first one stops. No wait is longer than
 * STOP_NS, which is below the kernel's soft lockup threshold: a race that fails is an error of
 * the workload, not a hang. A loaded host may stop the emulated CPU for seconds.
 */
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/kprobes.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/smp.h>

#define STOP_NS (15 * NSEC_PER_SEC)

enum { IDLE, ARMED, HELD };
static int state; /* of the only stop at a time */
static struct task_struct *stopped_task; /* NULL: stop the worker */
static int armed_cpu; /* the waiting task runs here: the worker is not stopped on it */
static int partner; /* another task waits in this module */
static atomic_t worker_runs;

static bool reached(const int *what, int wanted)
{
	u64 end = ktime_get_mono_fast_ns() + STOP_NS;

	while (smp_load_acquire(what) != wanted) {
		if (ktime_get_mono_fast_ns() > end)
			return false;
		cpu_relax();
	}
	return true;
}

static void hold(void)
{
	smp_store_release(&state, HELD);
	if (!reached(&state, IDLE)) {
		pr_err("arenarace: nobody came to let go\n");
		smp_store_release(&state, IDLE);
	}
}

/* The first function of the kernel for either kind of arena fault. */
static int on_fault(struct kprobe *probe, struct pt_regs *regs)
{
	if (READ_ONCE(stopped_task) == current && smp_load_acquire(&state) == ARMED)
		hold();
	return 0;
}

static int on_worker(struct kprobe *probe, struct pt_regs *regs)
{
	atomic_inc(&worker_runs);
	if (smp_load_acquire(&state) == ARMED && !READ_ONCE(stopped_task) &&
	    raw_smp_processor_id() != READ_ONCE(armed_cpu))
		hold();
	return 0;
}

static struct kprobe fault_probe = {
	.symbol_name = "fixup_exception", .pre_handler = on_fault,
};

/* After endbr64 and the ftrace call: tracers of the worker have run. */
static struct kprobe worker_probe = {
	.symbol_name = "arena_free_worker", .offset = 9, .pre_handler = on_worker,
};

static int arm(struct task_struct *task)
{
	if (!reached(&partner, true))
		return -ETIMEDOUT;
	WRITE_ONCE(stopped_task, task);
	WRITE_ONCE(armed_cpu, raw_smp_processor_id());
	smp_store_release(&state, ARMED);
	return 0;
}

static int await(int wanted)
{
	bool came;

	smp_store_release(&partner, true);
	came = reached(&state, wanted);
	smp_store_release(&partner, false);
	return came ? 0 : -ETIMEDOUT;
}

__bpf_kfunc_start_defs();

/* Stop this task in its next fault. */
__bpf_kfunc int arenarace_hold_fault(void)
{
	return arm(current);
}

/* Number of runs of any arena's worker. */
__bpf_kfunc int arenarace_worker_runs(void)
{
	return atomic_read(&worker_runs);
}

/* Stop the next run of any arena's worker on another CPU. */
__bpf_kfunc int arenarace_hold_worker(void)
{
	return arm(NULL);
}

/* Wait until a stop is requested. */
__bpf_kfunc int arenarace_await_armed(void)
{
	return await(ARMED);
}

/* Wait until a CPU is stopped, or arenarace_announce() is called. */
__bpf_kfunc int arenarace_await_held(void)
{
	return await(HELD);
}

__bpf_kfunc void arenarace_announce(void)
{
	smp_store_release(&state, HELD);
}

__bpf_kfunc void arenarace_release(void)
{
	smp_store_release(&state, IDLE);
}

/* Wait until the page's PTE is empty for this CPU. Interrupts may be off. */
__bpf_kfunc int arenarace_await_unmapped(u64 kaddr)
{
	u64 end = ktime_get_mono_fast_ns() + STOP_NS;

	while (vmalloc_to_page((void *)kaddr)) {
		if (ktime_get_mono_fast_ns() > end)
			return -ETIMEDOUT;
		cpu_relax();
	}
	asm volatile("invlpg (%0)" ::"r"(kaddr) : "memory");
	return 0;
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(arenarace_ids)
BTF_ID_FLAGS(func, arenarace_hold_fault)
BTF_ID_FLAGS(func, arenarace_hold_worker)
BTF_ID_FLAGS(func, arenarace_worker_runs)
BTF_ID_FLAGS(func, arenarace_await_armed)
BTF_ID_FLAGS(func, arenarace_await_held)
BTF_ID_FLAGS(func, arenarace_announce)
BTF_ID_FLAGS(func, arenarace_release)
BTF_ID_FLAGS(func, arenarace_await_unmapped)
BTF_KFUNCS_END(arenarace_ids)

static const struct btf_kfunc_id_set arenarace_set = {
	.owner = THIS_MODULE,
	.set = &arenarace_ids,
};

static int __init arenarace_init(void)
{
	int err = register_kprobe(&fault_probe);

	if (err)
		return err;
	err = register_kprobe(&worker_probe);
	if (err)
		goto no_worker;
	err = register_btf_kfunc_id_set(BPF_PROG_TYPE_UNSPEC, &arenarace_set);
	if (err)
		goto no_kfuncs;
	return 0;
no_kfuncs:
	unregister_kprobe(&worker_probe);
no_worker:
	unregister_kprobe(&fault_probe);
	return err;
}

static void __exit arenarace_exit(void)
{
	unregister_kprobe(&worker_probe);
	unregister_kprobe(&fault_probe);
}

module_init(arenarace_init);
module_exit(arenarace_exit);
MODULE_DESCRIPTION("Races for pages of BPF arenas that always end the same way, for tests");
MODULE_LICENSE("GPL");
