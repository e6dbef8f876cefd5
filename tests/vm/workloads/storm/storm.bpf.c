// SPDX-License-Identifier: GPL-2.0
/* Allocations and frees as fast as a program can make them, and a count of them. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "storm.h"

#define __arena __attribute__((address_space(1)))

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, STORM_PAGES);
} storm_arena SEC(".maps");

void __arena *bpf_arena_alloc_pages(void *map, void __arena *addr, __u32 pages, int node,
				    __u64 flags) __ksym;
void bpf_arena_free_pages(void *map, void __arena *addr, __u32 pages) __ksym;
/* Not in 6.12. */
int bpf_arena_reserve_pages(void *map, void __arena *addr, __u32 pages) __ksym __weak;

__u64 tick_allocs;
__u64 tick_frees;

SEC("syscall")
int storm(struct storm_run *r)
{
	__u32 reserve_in = r->reserve_every, touch_in = r->touch_every;
	__u64 allocs = 0, frees = 0, reserves = 0, touches = 0;
	int i;

	bpf_for(i, 0, r->pairs) {
		void __arena *page = bpf_arena_alloc_pages(&storm_arena, 0, 1, -1, 0);

		allocs++;
		if (page) {
			bpf_arena_free_pages(&storm_arena, page, 1);
			frees++;
			if (touch_in && !--touch_in) {
				/* free again, so this faults */
				(void)*(volatile __u64 __arena *)page;
				touches++;
				touch_in = r->touch_every;
			}
		}
		if (reserve_in && !--reserve_in) {
			bpf_arena_reserve_pages(&storm_arena, (void __arena *)r->reserve_at, 1);
			reserves++;
			reserve_in = r->reserve_every;
		}
	}
	r->allocs += allocs;
	r->refused += allocs - frees;
	r->frees += frees;
	r->reserves += reserves;
	r->touches += touches;
	return 0;
}

/* Interrupts the code on this CPU, sometimes a probe of the recorder. */
SEC("perf_event")
int tick(void *ctx)
{
	void __arena *page = bpf_arena_alloc_pages(&storm_arena, 0, 1, -1, 0);

	__sync_fetch_and_add(&tick_allocs, 1);
	if (page) {
		bpf_arena_free_pages(&storm_arena, page, 1);
		__sync_fetch_and_add(&tick_frees, 1);
	}
	return 0;
}
