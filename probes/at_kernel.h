/* SPDX-License-Identifier: GPL-2.0-only */
/* Reads of kernel memory at offsets that user space took from BTF. */

static __always_inline u64 at_read_u64(u64 at)
{
	u64 v = 0;

	bpf_probe_read_kernel(&v, sizeof(v), (void *)at);
	return v;
}

static __always_inline u32 at_read_u32(u64 at)
{
	u32 v = 0;

	bpf_probe_read_kernel(&v, sizeof(v), (void *)at);
	return v;
}

#define AT_U64(base, field) at_read_u64((u64)(base) + AT_OFF_##field)
#define AT_U32(base, field) at_read_u32((u64)(base) + AT_OFF_##field)
