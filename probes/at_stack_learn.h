/* SPDX-License-Identifier: GPL-2.0-only */
/* The stack cache: learn from a walk, or check with one. */

#ifdef AT_REMEMBER_STACKS
/* 1 if they are the same, else 0, without a branch: the verifier follows each one. */
static __always_inline u64 same(u64 a, u64 b)
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
 * Find the frames' addresses on the stack. Each is looked for above the one before, so what is
 * found first is the lowest place it can have; and from the end down the highest one. Where both
 * are the same there is no doubt. False if this cannot be the stack that was walked.
 */
static __always_inline bool find_places(struct at_frames *frames, struct at_scratch *s)
{
	u64 count = ANEW(s->count);
	u32 i;

	ANEW(s->found) = AT_OWN_FRAMES;
	ANEW(s->hooked) = 0;
	for (i = 0; i < AT_STACK_WORDS; i++) {
		u64 word, found;

		if (i >= ANEW(s->words))
			break;
		word = s->word[i];
		/* a kernel that lacks one of them has 0 for it */
		ANEW(s->hooked) |= same(word >> 31, AT_CODE >> 31 | 1) &
				   (same(word, AT_SYM_return_to_handler) |
				    same(word, AT_SYM_arch_rethook_trampoline));
		found = ANEW(s->found);
		s->first[found & (AT_FRAMES - 1)] = i;
		ANEW(s->found) += same(word, frames->frame[found & (AT_FRAMES - 1)]) &
				  (found - count) >> 63;
	}
	count = ANEW(s->count);
	if (ANEW(s->found) != count || ANEW(s->hooked))
		return false;
	for (i = 0; i < AT_STACK_WORDS; i++) {
		u64 word, left, place, words = ANEW(s->words);

		if (i >= words)
			break;
		place = (words - 1 - i) & (AT_STACK_WORDS - 1);
		word = s->word[place];
		left = ANEW(s->found) - 1;
		s->last[left & (AT_FRAMES - 1)] = place;
		ANEW(s->found) -= same(word, frames->frame[left & (AT_FRAMES - 1)]) &
				  (AT_OWN_FRAMES - 1 - left) >> 63;
	}
	return true;
}

/* What is to be remembered where `old` was, now that `hop` was found. */
static __always_inline u64 settled(u64 old, u64 hop)
{
	u64 was = AT_BYTES(old), is = AT_BYTES(hop);
	bool to_next = (s64)old >= 0 || AT_KIND(old) == AT_HOP_TWICE;

	if ((old ^ hop) & AT_FROM)
		return hop;
	if (AT_KIND(old) == AT_HOP_VARIES || !((old ^ hop) & ~AT_MOVED_BITS))
		return old;
	if (to_next && ((s64)hop >= 0 || AT_KIND(hop) == AT_HOP_TWICE)) {
		/* the one place that is left of two, or one of two again */
		if (!AT_AGAIN(old) && (is == was || is + AT_AGAIN(hop) * 8 == was))
			return old;
		if (!AT_AGAIN(hop) && (was == is || was + AT_AGAIN(old) * 8 == is))
			return hop | (old & AT_MOVED_BITS);
	}
	if (AT_MOVED(old) == 3)
		return (hop & AT_FROM) | AT_HOP_VARIES;
	return hop | (AT_MOVED(old) + 1) << 48;
}

/* Remember how far it is from each of the frames' addresses to the next one. */
static __always_inline void learn(struct at_frames *frames, u32 which, struct at_hops *h,
				  struct at_scratch *s)
{
	u64 at = s->context, bytes = ANEW(h->span) - ANEW(s->depth), base = from(h, 0);
	u32 n, j;

	ANEW(s->words) = bytes / 8;
	if (bytes > sizeof(s->word) || bpf_probe_read_kernel(s->word, bytes, (void *)at) ||
	    ANEW(s->count) >= AT_FRAMES || ANEW(s->count) <= AT_OWN_FRAMES ||
	    !find_places(frames, s))
		return;
	/* from the outermost one on: where a frame may be in two places, the next one's is known */
	for (n = 0; n < AT_FRAMES - AT_OWN_FRAMES; n++) {
		u64 count = ANEW(s->count), i = (count - 1 - n) & (AT_FRAMES - 1);
		u64 frame, first, last, more = 0, old, hop;
		u64 *slot;

		if (n + AT_OWN_FRAMES >= count)
			break;
		frame = frames->frame[i];
		first = s->first[i];
		last = s->last[i];
		for (j = 1; j < AT_AWAY; j++)
			more += same(s->word[(first + j) & (AT_STACK_WORDS - 1)], frame) &
				(first + j - last) >> 63;
		slot = hop_of(h, frame);
		old = ANEW(*slot);
		ANEW(s->place) = first;
		ANEW(s->again) = last - first;
		ANEW(s->sure) = last - first < AT_AWAY && !more;
		if (n == 0) {
			/* right below the registers there is nothing but the outermost one */
			ANEW(s->place) = last;
			ANEW(s->again) = 0;
			ANEW(s->sure) = last == first || last == ANEW(s->words) - 1;
			hop = AT_HOP_END | (ANEW(s->words) - last) << 53;
			ANEW(s->store) = ANEW(s->sure);
		} else if (n == 1) {
			hop = AT_HOP_LAST | (ANEW(s->words) - ANEW(s->next_place)) << 53;
			ANEW(s->store) = ANEW(s->next_sure);
		} else {
			if ((old & AT_FROM) == frame + base &&
			    ((s64)old >= 0 || AT_KIND(old) == AT_HOP_TWICE) &&
			    ANEW(s->next_place) - AT_BYTES(old) / 8 == last) {
				ANEW(s->place) = last;
				ANEW(s->again) = first - last;
			}
			hop = (ANEW(s->next_place) - ANEW(s->place)) << 53;
			if (ANEW(s->next_again))
				hop |= AT_HOP_TWICE | (ANEW(s->next_again) & 0x3f) << 40;
			ANEW(s->store) = ANEW(s->sure) & ANEW(s->next_sure);
		}
		if (ANEW(s->store))
			ANEW(*slot) = settled(old, hop | ((frame + base) & AT_FROM));
		ANEW(s->next_place) = ANEW(s->place);
		ANEW(s->next_again) = ANEW(s->again);
		ANEW(s->next_sure) = ANEW(s->sure);
	}
	/* the last one done is the first one above the context */
	if (ANEW(s->next_sure) && !ANEW(s->next_again))
		h->first[which & 3] = ANEW(s->next_place) * 8;
	s->learned++;
}

/* A walk gave this: learn it, or hold it against what was recognised. */
static __always_inline void after_walk(struct at_frames *frames, u32 which, struct at_hops *h,
				       struct at_scratch *s, u64 hash)
{
	int zero = 0;
	u64 mode = ANEW(s->mode);

	if (mode == AT_WALK_AND_CHECK) {
		struct at_doubt *doubt = stack_doubt.lookup(&zero);

		s->checked++;
		if (ANEW(s->hash) == hash || !doubt)
			return;
		h->off = 1;
		doubt->last_ns = bpf_ktime_get_ns();
		doubt->wrong = 1;
	} else if (mode == AT_WALK_AND_LEARN) {
		s->debt += AT_LEARN_DEBT;
		learn(frames, which, h, s);
	}
}
#endif
