/* SPDX-License-Identifier: GPL-2.0-only */
/* Whether the probes record, set by user space. */

/*
 * Probes are attached and detached one after another, so at both ends some are there while
 * others are not, and what they see together is no true account. Nothing is recorded until
 * user space, with all of them in place, sets this; and nothing after it is cleared.
 */
struct at_told {
	u32 recording;
	/* how often user space began new files, where what was sent before is not to be read */
	u32 files;
};
BPF_ARRAY(told, struct at_told, 1);

static __always_inline bool is_recording(void)
{
	int zero = 0;
	struct at_told *t = told.lookup(&zero);

	return t && t->recording;
}
