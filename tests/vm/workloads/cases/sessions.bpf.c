// SPDX-License-Identifier: GPL-2.0
/* Case "stale pointer": one page per session, found through a hash map. */
#include "arena.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct session {
	__u64 messages;
	__u64 last_message;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 256);
} sessions_arena SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 256);
} session_of_task SEC(".maps");

void arenapoke_write64(__u64 kaddr, __u64 value) __ksym;

SEC("syscall")
int open_session(__u32 *task)
{
	struct session __arena *session;
	__u32 key = *task;
	__u64 pointer;

	session = bpf_arena_alloc_pages(&sessions_arena, NULL, 1, -1, 0);
	if (!session)
		return 1;
	pointer = (__u64)session;
	bpf_map_update_elem(&session_of_task, &key, &pointer, BPF_ANY);
	return 0;
}

SEC("syscall")
int log_message(__u32 *task)
{
	__u64 *pointer, message = bpf_ktime_get_ns();
	struct session __arena *session;
	__u32 key = *task;

	pointer = bpf_map_lookup_elem(&session_of_task, &key);
	if (!pointer)
		return 1;
	session = (struct session __arena *)*pointer;
	/* A kernel function writes the session, as a scheduler's kfunc would. */
	arenapoke_write64(kernel_address(&sessions_arena, &session->last_message), message);
	return 0;
}

SEC("syscall")
int close_session(__u32 *task)
{
	__u32 key = *task;
	__u64 *pointer;

	pointer = bpf_map_lookup_elem(&session_of_task, &key);
	if (!pointer)
		return 1;
	bpf_arena_free_pages(&sessions_arena, (void __arena *)*pointer, 1);
#ifdef FIXED
	bpf_map_delete_elem(&session_of_task, &key);
#endif
	return 0;
}
