// SPDX-License-Identifier: GPL-2.0
/*
 * Kfuncs that load and store at a kernel address handed in by a BPF program.
 *
 * No kfunc of the kernel itself dereferences an arena pointer, so without this
 * module there is no kernel-side arena fault to trace. Each access is one
 * ordinary instruction with no exception-table entry: that is what sends the
 * fault through page_fault_oops() to the arena's recovery.
 */
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/compiler.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

__bpf_kfunc_start_defs();

__bpf_kfunc u64 arenapoke_read64(u64 kaddr)
{
	return READ_ONCE(*(u64 *)kaddr);
}

__bpf_kfunc u32 arenapoke_read32(u64 kaddr)
{
	return READ_ONCE(*(u32 *)kaddr);
}

__bpf_kfunc void arenapoke_write64(u64 kaddr, u64 value)
{
	WRITE_ONCE(*(u64 *)kaddr, value);
}

__bpf_kfunc void arenapoke_write32(u64 kaddr, u32 value)
{
	WRITE_ONCE(*(u32 *)kaddr, value);
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(arenapoke_ids)
BTF_ID_FLAGS(func, arenapoke_read64)
BTF_ID_FLAGS(func, arenapoke_read32)
BTF_ID_FLAGS(func, arenapoke_write64)
BTF_ID_FLAGS(func, arenapoke_write32)
BTF_KFUNCS_END(arenapoke_ids)

static const struct btf_kfunc_id_set arenapoke_set = {
	.owner = THIS_MODULE,
	.set = &arenapoke_ids,
};

/*
 * For oopses: "r ADDRESS" reads there, "x ADDRESS" calls it, with no BPF program around.
 */
static int touch_set(const char *text, const struct kernel_param *param)
{
	unsigned long kaddr;
	char how;

	if (sscanf(text, "%c %lx", &how, &kaddr) != 2)
		return -EINVAL;
	if (how == 'r')
		arenapoke_read64(kaddr);
	else if (how == 'x')
		((void (*)(void))kaddr)();
	return 0;
}

static const struct kernel_param_ops touch_ops = { .set = touch_set };
module_param_cb(touch, &touch_ops, NULL, 0200);

static int __init arenapoke_init(void)
{
	return register_btf_kfunc_id_set(BPF_PROG_TYPE_UNSPEC, &arenapoke_set);
}

static void __exit arenapoke_exit(void)
{
}

module_init(arenapoke_init);
module_exit(arenapoke_exit);
MODULE_DESCRIPTION("Kernel loads and stores at BPF arena addresses, for tests");
MODULE_LICENSE("GPL");
