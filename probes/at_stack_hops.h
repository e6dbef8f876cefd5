/* SPDX-License-Identifier: GPL-2.0-only */
/* The stack cache: distances between return addresses, remembered from walks. */

#ifdef AT_REMEMBER_STACKS
#define AT_HOPS 65536
/*
 * A hop is one word, so that no CPU ever sees half of one. From its lower end: half of the address
 * (all code lies in the last 2 GiB); what `gone` was; how many words above the next address it is
 * to be found once more; what kind of hop it is; how often it was found elsewhere; how many bytes
 * up the next address is, or what is told from there, down from the end of the stack; and a bit
 * that is not set where the next address is just that far up.
 */
#define AT_NOT_PLAIN (1ULL << 63)
#define AT_HOP_TWICE AT_NOT_PLAIN		 /* two places have the next address: one is its own */
#define AT_HOP_LAST (AT_NOT_PLAIN | 1ULL << 46)	 /* the next address is the outermost one */
#define AT_HOP_END (AT_NOT_PLAIN | 2ULL << 46)	 /* this is the outermost one */
#define AT_HOP_VARIES (AT_NOT_PLAIN | 3ULL << 46)
#define AT_KIND(hop) ((hop) & AT_HOP_VARIES)
#define AT_BYTES(hop) ((hop) >> 50 & 0x1fff)
#define AT_MOVED(hop) ((hop) >> 48 & 3)
#define AT_MOVED_BITS (3ULL << 48)
#define AT_AGAIN(hop) ((s64)((hop) << 18) >> 58)
#define AT_FROM 0xffffffffffULL
#define AT_CODE 0xffffffff00000000ULL

struct at_hops {
	/* a stack was taken for another one */
	u64 off;
	/* bytes of a task's stack below the registers that user space came with; see span_of() */
	u64 span;
	/* modules and programs that are gone: their addresses may soon be other code's */
	u64 gone;
	/* from a probe's context to the first return address above it */
	u64 first[4];
	u64 hop[AT_HOPS];
};
BPF_ARRAY(hops, struct at_hops, 1);
#endif

/* Where code was there may soon be other code: hops that rest on it hold no longer. */
static __always_inline void forget_hops(void)
{
#ifdef AT_REMEMBER_STACKS
	int zero = 0;
	struct at_hops *h = hops.lookup(&zero);

	if (h)
		__sync_fetch_and_add(&h->gone, 1);
#endif
}
