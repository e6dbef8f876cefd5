/* SPDX-License-Identifier: GPL-2.0-only */
/* The stack cache: recognise a stack without a walk. */

#ifdef AT_REMEMBER_STACKS
/*
 * Walking a stack costs many times the rest of an event. What the kernel's unwinder does on
 * x86_64 is to go from return address to return address, as far each time as its tables say for
 * the code that the address is in. So what a walk found is remembered, address by address: how
 * far up the stack the next one lies. A stack all of whose hops are known is followed here; it
 * is taken for the one it looks like if it ends where the stack ends, and if a walk gave the very
 * same one before. Else it is walked.
 *
 * The last hop is a place seen from the end of the stack instead: system calls begin at a random
 * depth (add_random_kstack_offset()). Where an address lies on the stack twice, a leftover of an
 * earlier call beside it, both places have to have it again. An address from which the next one
 * was found in four different places is not trusted any more. Nothing is remembered of a stack of
 * which an address was replaced by a tracer that keeps the true one elsewhere, and none is
 * followed that does not lie on the task's own stack from the probe's context on (interrupts).
 * Of those that were recognised some are walked all the same; should one ever differ, every one
 * is from then on.
 */
#define AT_STACK_WORDS 512
/*
 * One of so many is checked, one of 31 in the beginning: primes, or where so many places take
 * turns it would always be the same one's turn. 1 checks every one: for tests.
 */
#ifndef AT_RECHECK
#define AT_RECHECK 1021
#endif
/* A walk begins with the probe and the trampoline that called it, which lie below its context. */
#define AT_OWN_FRAMES 2
/* Words within which an address may lie twice. */
#define AT_AWAY 32
/* Learning costs as much as some walks. Where it does not pay, it is done for every 16th walk. */
#define AT_LEARN_DEBT 16
#define AT_MOST_DEBT 4096

/*
 * What one run needs to have at hand, each value in memory: the verifier follows every way
 * through a program anew for each value of a register that it knows.
 */
enum { AT_ONLY_WALK, AT_WALK_AND_LEARN, AT_WALK_AND_CHECK };
#define AT_SENT 64
struct at_scratch {
	u64 context;
	u64 depth;
	u64 mode;
	u64 hash;
	u64 count;
	u64 found;
	u64 hooked;
	u64 words;
	/* of the frame that is being learned, and of the one above it */
	u64 place;
	u64 again;
	u64 sure;
	u64 store;
	u64 next_place;
	u64 next_again;
	u64 next_sure;
	u64 recognised;
	/* so many more before one is checked */
	u64 unchecked;
	u64 walked;
	u64 learned;
	u64 checked;
	u64 debt;
	/* hashes of stacks that were sent, to spare a look into traces_sent */
	u64 sent[AT_SENT];
	/* for each frame its first and its last possible place */
	u64 first[AT_FRAMES];
	u64 last[AT_FRAMES];
	u64 word[AT_STACK_WORDS];
};
BPF_PERCPU_ARRAY(scratches, struct at_scratch, AT_TRACES);
#define ANEW(lvalue) (*(volatile u64 *)&(lvalue))

struct at_doubt {
	u64 wrong;
	u64 last_ns;
};
BPF_ARRAY(stack_doubt, struct at_doubt, 1);

/*
 * bpf_rdonly_cast(), with which a program may read any kernel address in place. BCC cannot call
 * kernel functions: this stands for it until user space has the program's instructions.
 */
static u64 *(*at_rdonly_cast)(u64 at, u64 type) = (void *)AT_RDONLY_CAST;

static __always_inline u64 peek(u64 at)
{
	return *at_rdonly_cast(at, AT_BTF_ID_pt_regs);
}

static __always_inline u64 *hop_of(struct at_hops *h, u64 address)
{
	return (void *)h->hop + (address & (AT_HOPS - 1) * 8);
}

/* What a hop from that address on has in it, when `gone` is what it is now. */
static __always_inline u64 from(struct at_hops *h, u64 address)
{
	return address - AT_CODE + ((h->gone & 0xff) << 32);
}

/* The place of `at` on the task's stack, from its lowest address on. */
static __always_inline u64 stack_depth(u64 at)
{
	return at - *(u64 *)((void *)bpf_get_current_task_btf() + AT_OFF_task_struct__stack);
}

/* The registers at the top of a task's stack end every walk. The same for all tasks. */
static __always_inline u64 span_of(struct at_hops *h, struct at_scratch *s)
{
	if (!h->span) {
		ANEW(s->word[0]) = bpf_task_pt_regs(bpf_get_current_task_btf());
		ANEW(h->span) = stack_depth(ANEW(s->word[0]));
	}
	return ANEW(h->span);
}

static __always_inline u64 hash_with(u64 hash, u64 frame)
{
	return (hash + frame) * 0x9e3779b97f4a7c15ULL;
}

/* The hash of the stack that led here, if it is known without a walk; else 0, and `mode`. */
static __always_inline u64 recall(void *ctx, u32 which, struct at_hops *h, struct at_scratch *s,
				  u64 files)
{
	u64 at, end, word, hop, base = from(h, 0), key, hash = 0, known = 0;
	u64 *sent, *when;
	u64 left = AT_FRAMES;

	ANEW(s->mode) = AT_ONLY_WALK;
	/* what was a pointer to the context comes back from memory as a number */
	ANEW(s->context) = (u64)ctx;
	at = ANEW(s->context);
	ANEW(s->depth) = stack_depth(at);
	end = at - ANEW(s->depth) + span_of(h, s);
	if (ANEW(s->depth) >= ANEW(h->span) || h->off)
		return 0;
	at += h->first[which & 3];
	while (left--) {
		asm volatile("" : "+r"(left));
		word = peek(at);
		hash = hash_with(hash, word);
		hop = ANEW(*hop_of(h, word));
		if ((hop & AT_FROM) != word + base)
			break;
		if ((s64)hop >= 0) {
			at += hop >> 50;
			continue;
		}
		if (AT_KIND(hop) == AT_HOP_TWICE) {
			at += AT_BYTES(hop);
			if (peek(at + AT_AGAIN(hop) * 8) != peek(at))
				break;
			continue;
		}
		if (AT_KIND(hop) == AT_HOP_LAST) {
			at = end - AT_BYTES(hop);
			continue;
		}
		known = AT_KIND(hop) == AT_HOP_VARIES ? 1 : at + AT_BYTES(hop) == end ? 2 : 0;
		break;
	}
	ANEW(s->hash) = hash;
	if (!known && (s->debt < AT_MOST_DEBT || !(s->walked % 16)))
		ANEW(s->mode) = AT_WALK_AND_LEARN;
	if (known != 2)
		return 0;
	sent = &s->sent[(hash >> 32) & (AT_SENT - 1)];
	if (*sent != hash + files + (h->gone << 32)) {
		key = ANEW(s->hash);
		when = traces_sent.lookup(&key);
		if (!when || *when != generation())
			return 0;
		*sent = key + files + (h->gone << 32);
	}
	s->recognised++;
	if (!s->unchecked) {
		/* more often in the beginning, when much is new */
		s->unchecked = s->recognised < AT_RECHECK ? AT_RECHECK / 33 : AT_RECHECK - 1;
		ANEW(s->mode) = AT_WALK_AND_CHECK;
		return 0;
	}
	s->unchecked--;
	if (s->debt)
		s->debt--;
	return ANEW(s->hash);
}
#endif
