/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Records that the probes send to user space.
 *
 * Two ring buffers. `events` has only records of struct at_event, so that a reader takes all of
 * them at once. `notes` has records of several types (arenas, programs, line tables, stacks,
 * symbols); each starts with struct at_note. A note is submitted before the event that needs it.
 *
 * arenatrace/schema.py and arenatrace/capture/ring/notes.py have the same layouts for the reader;
 * tests compile this header and compare every offset.
 */
#ifndef ARENATRACE_ARENA_EVENTS_H
#define ARENATRACE_ARENA_EVENTS_H

enum at_kind {
	AT_ARENA_CREATE = 1,
	AT_ARENA_MMAP = 2,
	AT_ARENA_DESTROY = 3,
	AT_PAGE_ALLOC = 4,
	AT_PAGE_FREE = 5,
	AT_FREE_DRAIN = 6,
	AT_PAGE_RESERVE = 7,
	AT_USER_FAULT = 8,
	AT_KERNEL_FAULT = 9,
	AT_PROG_FAULT = 10,
	AT_PROG_LOAD = 11,
	AT_PROG_UNLOAD = 12,
	AT_KERNEL_ALLOC = 14,
	AT_KERNEL_FREE = 15,
	AT_KIND_MAX = 16,
};

enum at_flag {
	AT_F_WRITE = 1 << 0,
	AT_F_SLEEPABLE = 1 << 1,
	AT_F_OK = 1 << 2,
	AT_F_PTE_WAS_NONE = 1 << 3,
	AT_F_ADDR_IS_OFFSET = 1 << 4,
	AT_F_PREEXISTING = 1 << 5,
	AT_F_PTE_SEEN = 1 << 6,
	AT_F_HAS_ERROR_CODE = 1 << 7,
};

/* Why a fault became an oops: the `pages` of a kernel fault that was not recovered. */
enum at_oops {
	AT_OOPS_NO_PROGRAM = 1,
	AT_OOPS_NO_ARENA = 2,
	AT_OOPS_OUTSIDE_ARENA = 3,
	AT_OOPS_PROTECTION = 4,
	AT_OOPS_NO_HANDLER = 5,
};

#define AT_COMM_LEN 16

/*
 * ret, ip, pages and error_code have other meanings for some kinds of event. WIRE in
 * arenatrace/schema.py lists the meanings of each member.
 */
struct at_event {
	unsigned long long ts_ns;
	unsigned long long arena;
	unsigned long long addr;
	long long ret;
	unsigned long long ip;
	unsigned int pid;
	unsigned int tid;
	unsigned int pages;
	unsigned int error_code;
	unsigned int stack;
	unsigned short cpu;
	unsigned char kind;
	unsigned char flags;
	char comm[AT_COMM_LEN];
};

/* Lost events of one kind on one CPU; the map is described in at_losses.h. Times in ns. */
struct at_loss {
	unsigned long long count;
	unsigned long long first_ns;
	unsigned long long last_ns;
	unsigned long long reads;
};

enum at_note_type {
	AT_NOTE_ARENA = 1,
	AT_NOTE_PROG = 2,
	AT_NOTE_FUNC = 3,
	AT_NOTE_LINES = 4,
	AT_NOTE_STRINGS = 5,
	AT_NOTE_FAULT_STACK = 6,
	AT_NOTE_SYMBOL = 7,
	AT_NOTE_PAGE_STACK = 8,
	AT_NOTE_MAX = 9,
};

#define AT_NAME_LEN 16
#define AT_TAG_LEN 8
#define AT_KSYM_LEN 128
#define AT_LINES 64
#define AT_CHUNK 4096
#define AT_FRAMES 64

/* key: the object of the note; see each type */
struct at_note {
	unsigned int type;
	unsigned int flags;
	unsigned long long ts_ns;
	unsigned long long key;
};

/* key: struct bpf_arena * */
struct at_note_arena {
	struct at_note note;
	unsigned long long kern_vm_addr;
	unsigned long long user_vm_start;
	unsigned long long user_vm_end;
	unsigned int max_entries;
	unsigned int map_flags;
	unsigned int id;
	unsigned int pad;
	char name[AT_NAME_LEN];
};

/* key: struct bpf_prog_aux * of the main program */
struct at_note_prog {
	struct at_note note;
	unsigned long long start;
	unsigned long long end;
	unsigned long long arena;
	unsigned int id;
	unsigned int type;
	unsigned int func_cnt;
	unsigned int nr_linfo;
	unsigned int btf_id;
	unsigned int pad;
	unsigned char tag[AT_TAG_LEN];
	char name[AT_NAME_LEN];
	char ksym[AT_KSYM_LEN];
};

/* key: struct bpf_prog_aux * of the main program; one note per subprogram */
struct at_note_func {
	struct at_note note;
	unsigned long long start;
	unsigned long long end;
	char ksym[AT_KSYM_LEN];
};

struct at_linfo {
	unsigned int insn_off;
	unsigned int file_name_off;
	unsigned int line_off;
	unsigned int line_col;
};

/* key: struct bpf_prog_aux * of the main program; entries first .. first + count - 1 */
struct at_note_lines {
	struct at_note note;
	unsigned int first;
	unsigned int count;
	unsigned long long addr[AT_LINES];
	struct at_linfo linfo[AT_LINES];
};

/* key: BTF object id; bytes offset .. offset + len - 1 of total in its string section */
struct at_note_strings {
	struct at_note note;
	unsigned int offset;
	unsigned int len;
	unsigned int total;
	unsigned int pad;
	char data[AT_CHUNK];
};

/*
 * key: CPU << 32 | thread id. The event that owns the stack has the same ts_ns, CPU and
 * thread. The program members are those of the blamed program.
 */
struct at_note_fault_stack {
	struct at_note note;
	unsigned long long start;
	unsigned long long end;
	unsigned long long arena;
	unsigned int id;
	unsigned int frame_bytes;
	unsigned char tag[AT_TAG_LEN];
	char name[AT_NAME_LEN];
	unsigned long long frames[AT_FRAMES];
};

/* key: hash of the frames, in `ip` of the events of page operations */
struct at_note_page_stack {
	struct at_note note;
	unsigned int count;
	unsigned int pad;
	unsigned long long frames[AT_FRAMES];
};

/* key: code address; text: the address as the kernel's %pS prints it */
struct at_note_symbol {
	struct at_note note;
	char text[AT_KSYM_LEN];
};

#endif
