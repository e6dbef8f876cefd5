// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel side of arenatrace, compiled by BCC at run time.
 *
 * BCC rewrites map accesses and finds probes in the main file alone. So user space replaces each
 * of the #include lines with a quoted name by the text of that header before BCC sees it
 * (arenatrace/capture/probes/source.py).
 *
 * BCC does not relocate field accesses. No kernel structure is declared here: every offset is a
 * macro AT_OFF_struct__member that user space took from the running kernel's BTF. A kernel that
 * lacks a member is refused before anything is compiled.
 *
 * Each probe is inside #ifdef AT_PROBE_function. User space defines the macro if this kernel has
 * the function with the parameters expected here, so a missing function costs only its probe.
 *
 * Parameters of type bool are declared u8: the upper bytes of a register are undefined, and a cast
 * to bool would read all of them.
 */
#include <uapi/linux/bpf.h>

/* what user space reads */
#include "arena_events.h"

/* recording */
#include "at_control.h"
#include "at_kernel.h"
#include "at_losses.h"
#include "at_rings.h"
#include "at_filters.h"

/* arenas and programs */
#include "at_arenas.h"
#include "at_stack_hops.h"
#include "at_symbols.h"
#include "at_programs.h"

/* pages */
#include "at_stack_notes.h"
#include "at_stack_recall.h"
#include "at_stack_learn.h"
#include "at_page_stacks.h"
#include "at_pages.h"
#include "at_scx.h"

/* faults */
#include "at_faults.h"
#include "at_kernel_faults.h"
#include "at_program_faults.h"

/* what exists when the recording begins */
#include "at_iterators.h"
