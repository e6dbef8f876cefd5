/* SPDX-License-Identifier: GPL-2.0-only */
/* Whether the probes record, set by user space. */

/*
 * Probes attach and detach one by one. User space sets `recording` when all are attached and
 * clears it before the first detaches: events outside that time would be a partial history.
 */
struct at_control {
	u32 recording;
	/* incremented when user space starts new files: symbols and stacks must be sent again */
	u32 files;
};
BPF_ARRAY(control, struct at_control, 1);

static __always_inline bool at_is_recording(void)
{
	int zero = 0;
	struct at_control *c = control.lookup(&zero);

	return c && c->recording;
}
