/* SPDX-License-Identifier: GPL-2.0-only */
/* The stack cache: recognise a stack without a walk. */

#ifdef AT_STACK_CACHE
/*
 * Walking a stack costs many times the rest of an event. On x86_64 the kernel's unwinder goes from
 * return address to return address; its tables give the distance for each code address. The cache
 * remembers these distances (hops) from walks.
 *
 * A stack is recognised if every hop on it is known, the last one ends at the end of the stack, and
 * a walk found a stack with the same hash before. Every other stack is walked.
 *
 * - System calls begin at a random depth (add_random_kstack_offset()), so the last hop is a
 *   distance from the end of the stack.
 * - A leftover of an earlier call may repeat an address near its place. Then both places must have
 *   the address again.
 * - An address whose next one was found in four different places is not used.
 * - Nothing is learned from a stack in which a tracer replaced a return address.
 * - Stacks that do not lie on the task's own stack above the probe's context (interrupts) are
 *   walked.
 * - Some recognised stacks are walked to check them. If one differs, the cache is disabled.
 */
#define AT_STACK_WORDS 512
/*
 * Check one recognised stack of this many; in the beginning one of 31. Both are primes, so that a
 * loop over several call sites does not always check the same one. 1 checks every stack, for tests.
 */
#ifndef AT_CHECK_INTERVAL
#define AT_CHECK_INTERVAL 1021
#endif
/* The first frames of a walk: the probe and its trampoline, which lie below the context. */
#define AT_OWN_FRAMES 2
/* Words within which the second place of an address may lie. */
#define AT_SECOND_WITHIN 32
/* Learning costs as much as 16 walks. Above the maximum, only every 16th walk is learned from. */
#define AT_LEARN_DEBT 16
#define AT_MAX_LEARN_DEBT 4096

/*
 * Values of one run, kept in memory: the verifier follows each path again for each known value of
 * a register.
 */
enum { AT_ONLY_WALK, AT_WALK_AND_LEARN, AT_WALK_AND_CHECK };
#define AT_SENT_SLOTS 64
struct at_walk_state {
	u64 context;
	u64 depth;
	u64 mode;
	u64 hash;
	u64 count;
	u64 found;
	u64 replaced;
	u64 words;
	/* place of the frame that is learned, and of the frame above it */
	u64 place;
	u64 second;
	u64 is_certain;
	u64 store;
	u64 next_place;
	u64 next_second;
	u64 next_is_certain;
	u64 recognised;
	/* recognised stacks until the next check */
	u64 unchecked;
	u64 walked;
	u64 learned;
	u64 checked;
	u64 debt;
	/* hashes of sent stacks, to avoid a lookup in stacks_sent */
	u64 sent[AT_SENT_SLOTS];
	/* lowest and highest possible place of each frame */
	u64 first[AT_FRAMES];
	u64 last[AT_FRAMES];
	u64 word[AT_STACK_WORDS];
};
BPF_PERCPU_ARRAY(walk_states, struct at_walk_state, AT_WALKS);
#define AT_RELOAD(lvalue) (*(volatile u64 *)&(lvalue))

struct at_stack_mismatch {
	u64 differed;
	u64 last_ns;
};
BPF_ARRAY(stack_mismatch, struct at_stack_mismatch, 1);

/*
 * Placeholder for bpf_rdonly_cast(), which lets a program read any kernel address in place. BCC
 * cannot call kfuncs: user space patches the call in the compiled instructions.
 */
static u64 *(*at_rdonly_cast)(u64 at, u64 type) = (void *)AT_RDONLY_CAST;

static __always_inline u64 at_peek(u64 at)
{
	return *at_rdonly_cast(at, AT_BTF_ID_pt_regs);
}

static __always_inline u64 *at_hop_slot(struct at_hop_table *h, u64 address)
{
	return (void *)h->hop + (address & (AT_HOPS - 1) * 8);
}

/* Bits 0-39 of a hop that starts at `address`, in the present epoch. */
static __always_inline u64 at_hop_key(struct at_hop_table *h, u64 address)
{
	return address - AT_CODE_START + ((h->epoch & 0xff) << 32);
}

/* Offset of `at` from the lowest address of the task's stack, bytes. */
static __always_inline u64 at_stack_depth(u64 at)
{
	return at - *(u64 *)((void *)bpf_get_current_task_btf() + AT_OFF_task_struct__stack);
}

/* Bytes below the saved user registers, where every walk ends. The same for all tasks. */
static __always_inline u64 at_stack_span(struct at_hop_table *h, struct at_walk_state *s)
{
	if (!h->span) {
		AT_RELOAD(s->word[0]) = bpf_task_pt_regs(bpf_get_current_task_btf());
		AT_RELOAD(h->span) = at_stack_depth(AT_RELOAD(s->word[0]));
	}
	return AT_RELOAD(h->span);
}

static __always_inline u64 at_hash_add(u64 hash, u64 frame)
{
	return (hash + frame) * 0x9e3779b97f4a7c15ULL;
}

/* Return the hash of the present stack if it is recognised; else 0, and set `mode`. */
static __always_inline u64 at_recognise_stack(void *ctx, u32 which, struct at_hop_table *h,
					      struct at_walk_state *s, u64 files)
{
	u64 at, end, word, hop, base = at_hop_key(h, 0), key, hash = 0, known = 0;
	u64 *sent, *when;
	u64 left = AT_FRAMES;

	AT_RELOAD(s->mode) = AT_ONLY_WALK;
	/* through memory, so that the verifier sees a number instead of a context pointer */
	AT_RELOAD(s->context) = (u64)ctx;
	at = AT_RELOAD(s->context);
	AT_RELOAD(s->depth) = at_stack_depth(at);
	end = at - AT_RELOAD(s->depth) + at_stack_span(h, s);
	if (AT_RELOAD(s->depth) >= AT_RELOAD(h->span) || h->disabled)
		return 0;
	at += h->first[which & 3];
	while (left--) {
		asm volatile("" : "+r"(left));
		word = at_peek(at);
		hash = at_hash_add(hash, word);
		hop = AT_RELOAD(*at_hop_slot(h, word));
		if ((hop & AT_HOP_KEY) != word + base)
			break;
		if ((s64)hop >= 0) {
			at += hop >> 50;
			continue;
		}
		if (AT_HOP_KIND(hop) == AT_HOP_TWO_PLACES) {
			at += AT_HOP_BYTES(hop);
			if (at_peek(at + AT_HOP_SECOND(hop) * 8) != at_peek(at))
				break;
			continue;
		}
		if (AT_HOP_KIND(hop) == AT_HOP_LAST) {
			at = end - AT_HOP_BYTES(hop);
			continue;
		}
		known = AT_HOP_KIND(hop) == AT_HOP_VARIES ? 1 : at + AT_HOP_BYTES(hop) == end ? 2 : 0;
		break;
	}
	AT_RELOAD(s->hash) = hash;
	if (!known && (s->debt < AT_MAX_LEARN_DEBT || !(s->walked % 16)))
		AT_RELOAD(s->mode) = AT_WALK_AND_LEARN;
	if (known != 2)
		return 0;
	sent = &s->sent[(hash >> 32) & (AT_SENT_SLOTS - 1)];
	if (*sent != hash + files + (h->epoch << 32)) {
		key = AT_RELOAD(s->hash);
		when = stacks_sent.lookup(&key);
		if (!when || *when != at_symbol_epoch())
			return 0;
		*sent = key + files + (h->epoch << 32);
	}
	s->recognised++;
	if (!s->unchecked) {
		/* check 1 in 31 until AT_CHECK_INTERVAL stacks were recognised */
		s->unchecked = s->recognised < AT_CHECK_INTERVAL ? AT_CHECK_INTERVAL / 33 :
								   AT_CHECK_INTERVAL - 1;
		AT_RELOAD(s->mode) = AT_WALK_AND_CHECK;
		return 0;
	}
	s->unchecked--;
	if (s->debt)
		s->debt--;
	return AT_RELOAD(s->hash);
}
#endif
