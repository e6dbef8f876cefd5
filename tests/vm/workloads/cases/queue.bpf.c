// SPDX-License-Identifier: GPL-2.0
/* Case "NULL from an allocation": a stack of one-page buffers. */
#include "arena.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct buffer {
	__u64 next;
	__u64 value;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 64);
} queue_arena SEC(".maps");

__u64 top;

SEC("syscall")
int push_buffer(__u32 *value)
{
	struct buffer __arena *buffer;

	buffer = bpf_arena_alloc_pages(&queue_arena, NULL, 1, -1, 0);
#ifdef FIXED
	if (!buffer)
		return 1;
#endif
	buffer->value = *value;
	buffer->next = top;
	top = (__u64)buffer;
	return 0;
}

SEC("syscall")
int pop_buffer(__u32 *value)
{
	struct buffer __arena *buffer = (struct buffer __arena *)top;

	USE_ARENA(queue_arena);
	if (!buffer)
		return 1;
	*value = buffer->value;
	top = buffer->next;
#ifdef FIXED
	bpf_arena_free_pages(&queue_arena, buffer, 1);
#endif
	return 0;
}
