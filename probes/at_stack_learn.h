/* SPDX-License-Identifier: GPL-2.0-only */
/* The stack cache: learn from a walk, or check with one. */

#ifdef AT_STACK_CACHE
/* 1 if equal, else 0, without a branch: the verifier follows each branch. */
static __always_inline u64 at_equal(u64 a, u64 b)
{
	u64 differ = a ^ b, negated;

	asm volatile("" : "+r"(differ));
	negated = -differ;
	asm volatile("" : "+r"(negated));
	differ = (differ | negated) >> 63 ^ 1;
	asm volatile("" : "+r"(differ));
	return differ;
}

/*
 * Find the frames' addresses on the stack. The scan upwards finds the lowest possible place of
 * each, the scan downwards the highest. Where both agree the place is certain. Returns false if the
 * words on the stack are not those of the walk.
 */
static __always_inline bool at_find_frames(struct at_frames *frames, struct at_walk_state *s)
{
	u64 count = AT_RELOAD(s->count);
	u32 i;

	AT_RELOAD(s->found) = AT_OWN_FRAMES;
	AT_RELOAD(s->replaced) = 0;
	for (i = 0; i < AT_STACK_WORDS; i++) {
		u64 word, found;

		if (i >= AT_RELOAD(s->words))
			break;
		word = s->word[i];
		/* a symbol that this kernel lacks is 0 */
		AT_RELOAD(s->replaced) |= at_equal(word >> 31, AT_CODE_START >> 31 | 1) &
				   (at_equal(word, AT_SYM_return_to_handler) |
				    at_equal(word, AT_SYM_arch_rethook_trampoline));
		found = AT_RELOAD(s->found);
		s->first[found & (AT_FRAMES - 1)] = i;
		AT_RELOAD(s->found) += at_equal(word, frames->frame[found & (AT_FRAMES - 1)]) &
				  (found - count) >> 63;
	}
	count = AT_RELOAD(s->count);
	if (AT_RELOAD(s->found) != count || AT_RELOAD(s->replaced))
		return false;
	for (i = 0; i < AT_STACK_WORDS; i++) {
		u64 word, left, place, words = AT_RELOAD(s->words);

		if (i >= words)
			break;
		place = (words - 1 - i) & (AT_STACK_WORDS - 1);
		word = s->word[place];
		left = AT_RELOAD(s->found) - 1;
		s->last[left & (AT_FRAMES - 1)] = place;
		AT_RELOAD(s->found) -= at_equal(word, frames->frame[left & (AT_FRAMES - 1)]) &
				  (AT_OWN_FRAMES - 1 - left) >> 63;
	}
	return true;
}

/* Return the hop to store in place of `old` after `hop` was found. */
static __always_inline u64 at_merge_hop(u64 old, u64 hop)
{
	u64 old_bytes = AT_HOP_BYTES(old), bytes = AT_HOP_BYTES(hop);
	bool to_next = (s64)old >= 0 || AT_HOP_KIND(old) == AT_HOP_TWO_PLACES;

	if ((old ^ hop) & AT_HOP_KEY)
		return hop;
	if (AT_HOP_KIND(old) == AT_HOP_VARIES || !((old ^ hop) & ~AT_HOP_MOVES_MASK))
		return old;
	if (to_next && ((s64)hop >= 0 || AT_HOP_KIND(hop) == AT_HOP_TWO_PLACES)) {
		/* one of the two known places */
		if (!AT_HOP_SECOND(old) &&
		    (bytes == old_bytes || bytes + AT_HOP_SECOND(hop) * 8 == old_bytes))
			return old;
		if (!AT_HOP_SECOND(hop) &&
		    (old_bytes == bytes || old_bytes + AT_HOP_SECOND(old) * 8 == bytes))
			return hop | (old & AT_HOP_MOVES_MASK);
	}
	if (AT_HOP_MOVES(old) == 3)
		return (hop & AT_HOP_KEY) | AT_HOP_VARIES;
	return hop | (AT_HOP_MOVES(old) + 1) << 48;
}

/* Store the distance from each frame's address to the next one. */
static __always_inline void at_learn_hops(struct at_frames *frames, u32 which,
					  struct at_hop_table *h, struct at_walk_state *s)
{
	u64 at = s->context, bytes = AT_RELOAD(h->span) - AT_RELOAD(s->depth), base = at_hop_key(h, 0);
	u32 n, j;

	AT_RELOAD(s->words) = bytes / 8;
	if (bytes > sizeof(s->word) || bpf_probe_read_kernel(s->word, bytes, (void *)at) ||
	    AT_RELOAD(s->count) >= AT_FRAMES || AT_RELOAD(s->count) <= AT_OWN_FRAMES ||
	    !at_find_frames(frames, s))
		return;
	/* from the outermost frame inwards: the place of the next frame is then known */
	for (n = 0; n < AT_FRAMES - AT_OWN_FRAMES; n++) {
		u64 count = AT_RELOAD(s->count), i = (count - 1 - n) & (AT_FRAMES - 1);
		u64 frame, first, last, more = 0, old, hop;
		u64 *slot;

		if (n + AT_OWN_FRAMES >= count)
			break;
		frame = frames->frame[i];
		first = s->first[i];
		last = s->last[i];
		for (j = 1; j < AT_SECOND_WITHIN; j++)
			more += at_equal(s->word[(first + j) & (AT_STACK_WORDS - 1)], frame) &
				(first + j - last) >> 63;
		slot = at_hop_slot(h, frame);
		old = AT_RELOAD(*slot);
		AT_RELOAD(s->place) = first;
		AT_RELOAD(s->second) = last - first;
		AT_RELOAD(s->is_certain) = last - first < AT_SECOND_WITHIN && !more;
		if (n == 0) {
			/* the outermost address lies right below the saved registers */
			AT_RELOAD(s->place) = last;
			AT_RELOAD(s->second) = 0;
			AT_RELOAD(s->is_certain) = last == first || last == AT_RELOAD(s->words) - 1;
			hop = AT_HOP_END | (AT_RELOAD(s->words) - last) << 53;
			AT_RELOAD(s->store) = AT_RELOAD(s->is_certain);
		} else if (n == 1) {
			hop = AT_HOP_LAST | (AT_RELOAD(s->words) - AT_RELOAD(s->next_place)) << 53;
			AT_RELOAD(s->store) = AT_RELOAD(s->next_is_certain);
		} else {
			if ((old & AT_HOP_KEY) == frame + base &&
			    ((s64)old >= 0 || AT_HOP_KIND(old) == AT_HOP_TWO_PLACES) &&
			    AT_RELOAD(s->next_place) - AT_HOP_BYTES(old) / 8 == last) {
				AT_RELOAD(s->place) = last;
				AT_RELOAD(s->second) = first - last;
			}
			hop = (AT_RELOAD(s->next_place) - AT_RELOAD(s->place)) << 53;
			if (AT_RELOAD(s->next_second))
				hop |= AT_HOP_TWO_PLACES | (AT_RELOAD(s->next_second) & 0x3f) << 40;
			AT_RELOAD(s->store) = AT_RELOAD(s->is_certain) & AT_RELOAD(s->next_is_certain);
		}
		if (AT_RELOAD(s->store))
			AT_RELOAD(*slot) = at_merge_hop(old, hop | ((frame + base) & AT_HOP_KEY));
		AT_RELOAD(s->next_place) = AT_RELOAD(s->place);
		AT_RELOAD(s->next_second) = AT_RELOAD(s->second);
		AT_RELOAD(s->next_is_certain) = AT_RELOAD(s->is_certain);
	}
	/* the last frame of the loop is the first above the context */
	if (AT_RELOAD(s->next_is_certain) && !AT_RELOAD(s->next_second))
		h->first[which & 3] = AT_RELOAD(s->next_place) * 8;
	s->learned++;
}

/* Use the result of a walk: learn from it, or compare it with the recognised hash. */
static __always_inline void at_use_walk(struct at_frames *frames, u32 which, struct at_hop_table *h,
					struct at_walk_state *s, u64 hash)
{
	int zero = 0;
	u64 mode = AT_RELOAD(s->mode);

	if (mode == AT_WALK_AND_CHECK) {
		struct at_stack_mismatch *mismatch = stack_mismatch.lookup(&zero);

		s->checked++;
		if (AT_RELOAD(s->hash) == hash || !mismatch)
			return;
		h->disabled = 1;
		mismatch->last_ns = bpf_ktime_get_ns();
		mismatch->differed = 1;
	} else if (mode == AT_WALK_AND_LEARN) {
		s->debt += AT_LEARN_DEBT;
		at_learn_hops(frames, which, h, s);
	}
}
#endif
