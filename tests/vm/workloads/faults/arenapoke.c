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
#include <linux/proc_fs.h>
#include <linux/uaccess.h>

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
 * For oopses: "r ADDRESS" reads the address, "x ADDRESS" calls it, without a BPF program. A file
 * in /proc: a task that is killed here must not hold a lock that the next one needs.
 */
static ssize_t touch_write(struct file *file, const char __user *from, size_t size, loff_t *at)
{
	unsigned long kaddr;
	char text[32] = {};
	char how;

	if (size >= sizeof(text) || copy_from_user(text, from, size))
		return -EINVAL;
	if (sscanf(text, "%c %lx", &how, &kaddr) != 2)
		return -EINVAL;
	if (how == 'r')
		arenapoke_read64(kaddr);
	else if (how == 'x')
		((void (*)(void))kaddr)();
	return size;
}

static const struct proc_ops touch_ops = { .proc_write = touch_write };
static struct proc_dir_entry *touch_file;

static int __init arenapoke_init(void)
{
	int error;

	touch_file = proc_create("arenapoke", 0200, NULL, &touch_ops);
	if (!touch_file)
		return -ENOMEM;
	error = register_btf_kfunc_id_set(BPF_PROG_TYPE_UNSPEC, &arenapoke_set);
	if (error)
		proc_remove(touch_file);
	return error;
}

static void __exit arenapoke_exit(void)
{
	proc_remove(touch_file);
}

module_init(arenapoke_init);
module_exit(arenapoke_exit);
MODULE_DESCRIPTION("Kernel loads and stores at BPF arena addresses, for tests");
MODULE_LICENSE("GPL");
