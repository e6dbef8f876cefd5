/* SPDX-License-Identifier: GPL-2.0-only */
/* The stack cache: distances between return addresses, remembered from walks. */

#ifdef AT_STACK_CACHE
#define AT_HOPS 65536
/*
 * A hop says how far above one return address the next one lies on the stack. It is one 64-bit
 * word, so that no CPU ever reads half of one:
 *
 *   bits    meaning
 *   0-31    return address, low half (all code is in the last 2 GiB)
 *   32-39   epoch in which the hop was learned
 *   40-45   second place of the next address, in words above or below the first (signed)
 *   46-47   kind: AT_HOP_TWO_PLACES, _LAST, _END or _VARIES, if bit 63 is set
 *   48-49   number of times the next address was found elsewhere
 *   50-62   distance in bytes: up from this address, or down from the end of the stack
 *   63      0: plain, the next address is that far up
 */
#define AT_HOP_SPECIAL (1ULL << 63)
#define AT_HOP_TWO_PLACES AT_HOP_SPECIAL		 /* the next address is in two places */
#define AT_HOP_LAST (AT_HOP_SPECIAL | 1ULL << 46)	 /* the next address is the outermost */
#define AT_HOP_END (AT_HOP_SPECIAL | 2ULL << 46)	 /* this address is the outermost */
#define AT_HOP_VARIES (AT_HOP_SPECIAL | 3ULL << 46)
#define AT_HOP_KIND(hop) ((hop) & AT_HOP_VARIES)
#define AT_HOP_BYTES(hop) ((hop) >> 50 & 0x1fff)
#define AT_HOP_MOVES(hop) ((hop) >> 48 & 3)
#define AT_HOP_MOVES_MASK (3ULL << 48)
#define AT_HOP_SECOND(hop) ((s64)((hop) << 18) >> 58)
#define AT_HOP_KEY 0xffffffffffULL
#define AT_CODE_START 0xffffffff00000000ULL

struct at_hop_table {
	/* a check failed: the cache is off for the rest of the recording */
	u64 disabled;
	/* bytes of a task's stack below the saved user registers; see at_stack_span() */
	u64 span;
	/* incremented when a module or program is unloaded: its addresses may be reused */
	u64 epoch;
	/* bytes from a probe's context to the first return address above it, by probe */
	u64 first[4];
	u64 hop[AT_HOPS];
};
BPF_ARRAY(hop_table, struct at_hop_table, 1);
#endif

/* Code was unloaded and its addresses may be reused: no hop is valid any more. */
static __always_inline void at_invalidate_hops(void)
{
#ifdef AT_STACK_CACHE
	int zero = 0;
	struct at_hop_table *h = hop_table.lookup(&zero);

	if (h)
		__sync_fetch_and_add(&h->epoch, 1);
#endif
}
