/* SPDX-License-Identifier: GPL-2.0-only */
/* The stack of a page operation, from the cache or by a walk. */

#ifdef AT_STACKS
/* The hash of the stack that led here; 0, and counted, if it cannot be given. */
static __always_inline u64 page_trace(void *ctx, u32 kind, u32 files)
{
	u32 which = kind == AT_PAGE_ALLOC ? AT_TRACE_ALLOC :
		    kind == AT_PAGE_FREE  ? AT_TRACE_FREE :
					    AT_TRACE_RESERVE;
	u64 now, hash = 0;
	struct at_frames *f;
	u64 *sent;
	long bytes;
	u32 count, i;
#ifdef AT_REMEMBER_STACKS
	int zero = 0;
	struct at_scratch *scratch = scratches.lookup(&which);
	struct at_hops *h = hops.lookup(&zero);

	if (!scratch || !h)
		return 0;
	hash = recall(ctx, which, h, scratch, files);
	if (hash)
		return hash;
	scratch->walked++;
#endif

	now = generation();
	f = trace_frames.lookup(&which);
	if (!f)
		return 0;
	bytes = bpf_get_stack(ctx, f->frame, sizeof(f->frame), 0);
	if (bytes <= 0) {
		count_lost_note(AT_NOTE_TRACE);
		return 0;
	}
	count = bytes / 8;
	hash = 0;
	for (i = 0; i < AT_FRAMES; i++) {
		/* or clang counts the other way round, and the verifier loses the bound */
		asm volatile("" : "+r"(count));
		if (i >= count)
			break;
#ifdef AT_REMEMBER_STACKS
		/* without the frames on top, the probe's own, which another tracer may change */
		if (i == AT_OWN_FRAMES)
			hash = 0;
		hash = hash_with(hash, f->frame[i]);
#else
		hash = (hash ^ f->frame[i]) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 29;
#endif
	}
#ifdef AT_REMEMBER_STACKS
	ANEW(scratch->count) = count;
#endif
	sent = traces_sent.lookup(&hash);
	if ((!sent || *sent != now) && !note_trace(f, bytes, hash, now)) {
		count_lost_note(AT_NOTE_TRACE);
		return 0;
	}
#ifdef AT_REMEMBER_STACKS
	after_walk(f, which, h, scratch, hash);
#endif
	return hash;
}
#endif
