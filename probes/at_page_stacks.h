/* SPDX-License-Identifier: GPL-2.0-only */
/* The stack of a page operation, from the cache or by a walk. */

#ifdef AT_STACKS
/* Return the hash of the present stack; 0 and a counted loss if it was not sent. */
static __always_inline u64 at_page_stack(void *ctx, u32 kind, u32 files)
{
	u32 which = kind == AT_PAGE_ALLOC ? AT_WALK_ALLOC :
		    kind == AT_PAGE_FREE  ? AT_WALK_FREE :
					    AT_WALK_RESERVE;
	u64 epoch, hash = 0;
	struct at_frames *f;
	u64 *sent;
	long bytes;
	u32 count, i;
#ifdef AT_STACK_CACHE
	int zero = 0;
	struct at_walk_state *state = walk_states.lookup(&which);
	struct at_hop_table *h = hop_table.lookup(&zero);

	if (!state || !h)
		return 0;
	hash = at_recognise_stack(ctx, which, h, state, files);
	if (hash)
		return hash;
	state->walked++;
#endif

	epoch = at_symbol_epoch();
	f = walk_frames.lookup(&which);
	if (!f)
		return 0;
	bytes = bpf_get_stack(ctx, f->frame, sizeof(f->frame), 0);
	if (bytes <= 0) {
		at_count_lost_note(AT_NOTE_PAGE_STACK);
		return 0;
	}
	count = bytes / 8;
	hash = 0;
	for (i = 0; i < AT_FRAMES; i++) {
		/* keeps clang from counting down, which hides the bound from the verifier */
		asm volatile("" : "+r"(count));
		if (i >= count)
			break;
#ifdef AT_STACK_CACHE
		/* without the probe's own frames, which another tracer may change */
		if (i == AT_OWN_FRAMES)
			hash = 0;
		hash = at_hash_add(hash, f->frame[i]);
#else
		hash = (hash ^ f->frame[i]) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 29;
#endif
	}
#ifdef AT_STACK_CACHE
	AT_RELOAD(state->count) = count;
#endif
	sent = stacks_sent.lookup(&hash);
	if ((!sent || *sent != epoch) && !at_send_page_stack(f, bytes, hash, epoch)) {
		at_count_lost_note(AT_NOTE_PAGE_STACK);
		return 0;
	}
#ifdef AT_STACK_CACHE
	at_use_walk(f, which, h, state, hash);
#endif
	return hash;
}
#endif
