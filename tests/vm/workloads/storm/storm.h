/* SPDX-License-Identifier: GPL-2.0 */
/* Input of the storm's program, and the program's own counts of its operations. */
#ifndef STORM_H
#define STORM_H

#define STORM_PAGES 64 /* of each arena; the last one is the one that is reserved */

struct storm_run {
	/* input */
	__u32 pairs;
	__u32 reserve_every; /* 0: never */
	__u32 touch_every;
	__u32 pad;
	__u64 reserve_at;
	/* output: calls, with any result */
	__u64 allocs;
	__u64 refused; /* of allocs */
	__u64 frees;
	__u64 reserves;
	__u64 touches;
};

#endif
