// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel side of arenatrace, compiled by BCC at run time.
 *
 * BCC does not relocate field accesses, so no kernel structure is declared here: every
 * offset arrives as an AT_OFF_struct__member macro that user space took from the running
 * kernel's BTF. A kernel whose structures differ gets other numbers, and one that lacks a
 * member is refused before anything is compiled.
 *
 * Each probe stands behind an AT_PROBE_* macro: user space defines those whose functions
 * this kernel has, with the parameters expected here. One missing function must not cost
 * the others.
 */
#include <uapi/linux/bpf.h>
#include "arena_events.h"

#define AT_EEXIST 17
/* a claim this old is a leftover: filling a page takes microseconds */
#define AT_CLAIM_NS 1000000000LL
#define AT_MAX_FUNCS 256
#define AT_MAX_LINE_CHUNKS 256
#define AT_MAX_STRING_CHUNKS 256

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

BPF_RINGBUF_OUTPUT(events, AT_EVENTS_PAGES);
BPF_RINGBUF_OUTPUT(notes, AT_NOTES_PAGES);

/*
 * What could not be put into a ring, per kind and per type of note: BCC reports no loss.
 * first_ns is that of the first event lost since user space last looked, which it says by
 * counting loss_looks up after each look.
 */
struct at_loss {
	u64 count;
	u64 first_ns;
	u64 last_ns;
	u64 looks;
};
BPF_PERCPU_ARRAY(lost_events, struct at_loss, AT_KIND_MAX);
BPF_ARRAY(loss_looks, u64, 1);
BPF_PERCPU_ARRAY(lost_notes, u64, AT_NOTE_MAX);

/*
 * A fault on its way through the handler, by task: page_fault_oops() knows the error code,
 * the handler the address, bpf_prog_find_from_stack() the program, the PTE callback whether
 * anything was there. Idle tasks are one per CPU, so the task pointer is enough of a key.
 */
enum { AT_IN_OOPS = 1, AT_IN_HANDLER = 2, AT_IN_REPORT = 3, AT_IN_FIXUP = 4 };
struct at_fault {
	u64 addr;
	u64 ip;
	u64 prog;
	u64 claimed_pte;
	u64 ts_ns;
	u32 error_code;
	u8 where;
	u8 has_error_code;
	u8 pte_seen;
	u8 pte_was_none;
	u8 oops;
};
BPF_HASH(faults, u64, struct at_fault, 16384);

/*
 * Page table entries being filled at this moment, by entry. Two CPUs may fault on one page
 * and both find it empty, but only one of them installs: who claims the entry first is the
 * one that is said to. The value is when; the lowest bit, that another one came too late.
 */
#define AT_TOO_LATE 1ULL
BPF_HASH(filling, u64, u64, 1024);

BPF_ARRAY(modules_gone, u64, 1);
/* Symbols already sent, by address and generation(). */
struct at_symbol_key {
	u64 addr;
	u64 generation;
};
BPF_TABLE("lru_hash", struct at_symbol_key, u8, symbols_sent, 16384);
BPF_HASH(strings_sent, u32, u8, 4096);
/* Read-only and frozen by user space, as bpf_snprintf() demands of its format. */
struct at_format {
	char text[8];
};
BPF_F_TABLE("array", int, struct at_format, symbol_format, 1, BPF_F_RDONLY_PROG);

static __always_inline bool is_recording(void)
{
	int zero = 0;
	struct at_told *t = told.lookup(&zero);

	return t && t->recording;
}

static __always_inline u64 read_u64(u64 at)
{
	u64 v = 0;

	bpf_probe_read_kernel(&v, sizeof(v), (void *)at);
	return v;
}

static __always_inline u32 read_u32(u64 at)
{
	u32 v = 0;

	bpf_probe_read_kernel(&v, sizeof(v), (void *)at);
	return v;
}

#define U64_AT(base, field) read_u64((u64)(base) + AT_OFF_##field)
#define U32_AT(base, field) read_u32((u64)(base) + AT_OFF_##field)

static __always_inline void count_lost_event(u32 kind)
{
	struct at_loss *loss = lost_events.lookup(&kind);
	int zero = 0;
	u64 *looks = loss_looks.lookup(&zero);
	u64 now = bpf_ktime_get_ns();

	if (!loss || !looks)
		return;
	if (loss->looks != *looks || !loss->first_ns) {
		loss->looks = *looks;
		loss->first_ns = now;
	}
	loss->last_ns = now;
	/* an interrupt may lose an event of its own right here */
	__sync_fetch_and_add(&loss->count, 1);
}

static __always_inline void count_lost_note(u32 type)
{
	u64 *n = lost_notes.lookup(&type);

	if (n)
		__sync_fetch_and_add(n, 1);
}

/*
 * The name as it stands in the task, which the kernel lets a tracing program read in place:
 * bpf_get_current_comm() alone would cost as much as all the rest of an event.
 */
static __always_inline void put_comm(struct at_event *e)
{
	u64 *comm = (void *)bpf_get_current_task_btf() + AT_OFF_task_struct__comm;
	u64 *to = (u64 *)e->comm;

	to[0] = comm[0];
	to[1] = comm[1];
}

/* For who has seen is_recording() already. */
static __always_inline struct at_event *event_reserve(u32 kind)
{
	struct at_event *e = events.ringbuf_reserve(sizeof(struct at_event));
	u64 pid_tgid;

	if (!e) {
		count_lost_event(kind);
		return 0;
	}
	pid_tgid = bpf_get_current_pid_tgid();
	e->ts_ns = bpf_ktime_get_ns();
	e->arena = 0;
	e->addr = 0;
	e->ret = 0;
	e->ip = 0;
	e->pid = pid_tgid >> 32;
	e->tid = (u32)pid_tgid;
	e->pages = 0;
	e->error_code = 0;
	e->stack = 0;
	e->cpu = bpf_get_smp_processor_id();
	e->kind = kind;
	e->flags = 0;
	put_comm(e);
	return e;
}

static __always_inline struct at_event *event_begin(u32 kind)
{
	return is_recording() ? event_reserve(kind) : 0;
}

/* No wake-up: the reader polls, so a storm costs no interrupts. */
static __always_inline void event_end(struct at_event *e)
{
	events.ringbuf_submit(e, BPF_RB_NO_WAKEUP);
}

static __always_inline void note_head(struct at_note *n, u32 type, u64 key, u32 flags)
{
	n->type = type;
	n->flags = flags;
	n->ts_ns = bpf_ktime_get_ns();
	n->key = key;
}

/* ---- filters ---- */

#if defined(AT_FILTER_ARENA) || defined(AT_FILTER_PROG)
struct at_name {
	char name[AT_NAME_LEN];
};
#endif

/*
 * What user space asked for, by id and name, and the objects that turned out to be it, by
 * pointer. A pointer whose object is gone stays until another object takes its place: a
 * program may run on for a moment after its unload.
 */
#ifdef AT_FILTER_ARENA
BPF_HASH(arena_ids, u32, u8, 64);
BPF_HASH(arena_names, struct at_name, u8, 64);
BPF_HASH(wanted_arenas, u64, u8, 16384);
#endif
#ifdef AT_FILTER_PROG
BPF_HASH(prog_ids, u32, u8, 64);
BPF_HASH(prog_names, struct at_name, u8, 64);
BPF_HASH(prog_tags, u64, u8, 64);
BPF_HASH(wanted_progs, u64, u8, 16384);
BPF_HASH(arenas_of_wanted, u64, u8, 16384);
#endif

static __always_inline void choose_arena(u64 arena, u64 name_at)
{
#ifdef AT_FILTER_ARENA
	u32 id = U32_AT(arena, bpf_map__id);
	struct at_name name = {};
	u8 yes = 1;

	bpf_probe_read_kernel(&name, sizeof(name), (void *)name_at);
	if (!arena_ids.lookup(&id) && !arena_names.lookup(&name))
		wanted_arenas.delete(&arena);
	else if (wanted_arenas.update(&arena, &yes))
		count_lost_note(AT_NOTE_ARENA);
#endif
}

static __always_inline void choose_prog(u64 prog, u64 aux)
{
#ifdef AT_FILTER_PROG
	u64 arena = U64_AT(aux, bpf_prog_aux__arena);
	u64 tag = read_u64(prog + AT_OFF_bpf_prog__tag);
	u32 id = U32_AT(aux, bpf_prog_aux__id);
	struct at_name name = {};
	u8 yes = 1;

	bpf_probe_read_kernel(&name, sizeof(name), (void *)(aux + AT_OFF_bpf_prog_aux__name));
	if (!prog_ids.lookup(&id) && !prog_names.lookup(&name) && !prog_tags.lookup(&tag)) {
		wanted_progs.delete(&aux);
		return;
	}
	if (wanted_progs.update(&aux, &yes))
		count_lost_note(AT_NOTE_PROG);
	if (arena && arenas_of_wanted.update(&arena, &yes))
		count_lost_note(AT_NOTE_ARENA);
#endif
}

/* An arena that was made anew where another one was: what that one belonged to is over. */
static __always_inline void forget_arena(u64 arena)
{
#ifdef AT_FILTER_PROG
	arenas_of_wanted.delete(&arena);
#endif
}

static __always_inline bool is_wanted_arena(u64 arena)
{
#ifdef AT_FILTER_ARENA
	if (!wanted_arenas.lookup(&arena))
		return false;
#endif
#ifdef AT_FILTER_PROG
	if (!arenas_of_wanted.lookup(&arena))
		return false;
#endif
	return true;
}

static __always_inline bool is_wanted_task(void)
{
#ifdef AT_FILTER_CGROUP
	return AT_FILTER_CGROUP;
#else
	return true;
#endif
}

/* A fault that the kernel blames on nobody may be anybody's: it is kept. */
static __always_inline bool is_wanted_fault(u64 prog)
{
	u64 aux __maybe_unused, arena __maybe_unused;

	if (!is_wanted_task())
		return false;
	if (!prog)
		return true;
#ifdef AT_FILTER_PROG
	aux = U64_AT(prog, bpf_prog__aux);
	if (!wanted_progs.lookup(&aux))
		return false;
#endif
#ifdef AT_FILTER_ARENA
	arena = U64_AT(U64_AT(prog, bpf_prog__aux), bpf_prog_aux__arena);
	if (!wanted_arenas.lookup(&arena))
		return false;
#endif
	return true;
}

/*
 * bool parameters are declared u8: a register's upper bytes are not the caller's to keep
 * clean, and a cast to bool would look at all of them.
 */

/* ---- arenas ---- */

static __always_inline void note_arena(u64 arena, u64 name_at, u32 flags)
{
	struct at_note_arena *n;

	choose_arena(arena, name_at);
	n = notes.ringbuf_reserve(sizeof(struct at_note_arena));
	if (!n) {
		count_lost_note(AT_NOTE_ARENA);
		return;
	}
	note_head(&n->note, AT_NOTE_ARENA, arena, flags);
	n->kern_vm_addr = U64_AT(U64_AT(arena, bpf_arena__kern_vm), vm_struct__addr);
	n->user_vm_start = U64_AT(arena, bpf_arena__user_vm_start);
	n->user_vm_end = U64_AT(arena, bpf_arena__user_vm_end);
	n->max_entries = U32_AT(arena, bpf_map__max_entries);
	n->map_flags = U32_AT(arena, bpf_map__map_flags);
	n->id = U32_AT(arena, bpf_map__id);
	n->pad = 0;
	__builtin_memset(n->name, 0, sizeof(n->name));
	bpf_probe_read_kernel(n->name, sizeof(n->name), (void *)name_at);
	notes.ringbuf_submit(n, BPF_RB_NO_WAKEUP);
}

static __always_inline void arena_event(u32 kind, u64 arena, s64 ret, u32 flags)
{
	struct at_event *e = event_begin(kind);

	if (!e)
		return;
	e->arena = arena;
	e->ret = ret;
	e->flags = flags;
	event_end(e);
}

#ifdef AT_PROBE_arena_map_alloc
KRETFUNC_PROBE(arena_map_alloc, void *attr, void *ret)
{
	/* an error pointer: nothing was created */
	if (!is_recording() || (u64)ret >= (u64)-4095LL || !ret)
		return 0;
	forget_arena((u64)ret);
	/* map->name is filled in later; the caller's attribute has it already */
	note_arena((u64)ret, (u64)attr + AT_OFF_bpf_attr__map_name, 0);
	arena_event(AT_ARENA_CREATE, (u64)ret, 0, AT_F_OK);
	return 0;
}
#endif

#ifdef AT_PROBE_arena_map_mmap
KRETFUNC_PROBE(arena_map_mmap, void *map, void *vma, int ret)
{
	if (!is_recording())
		return 0;
	note_arena((u64)map, (u64)map + AT_OFF_bpf_map__name, 0);
	arena_event(AT_ARENA_MMAP, (u64)map, ret, ret ? 0 : AT_F_OK);
	return 0;
}
#endif

#ifdef AT_PROBE_arena_map_free
KFUNC_PROBE(arena_map_free, void *map)
{
	arena_event(AT_ARENA_DESTROY, (u64)map, 0, 0);
	return 0;
}
#endif

/* ---- symbols ---- */

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

#ifdef AT_PROBE_free_module
KFUNC_PROBE(free_module, void *mod)
{
	int zero = 0;
	u64 *n = modules_gone.lookup(&zero);

	/* the addresses of a module that is gone may soon mean another one's functions */
	if (n)
		__sync_fetch_and_add(n, 1);
	forget_hops();
	return 0;
}
#endif

/* Changes when what was sent before may be no longer true, or no longer be there to be read. */
static __always_inline u64 generation(void)
{
	int zero = 0;
	u64 *gone = modules_gone.lookup(&zero);
	struct at_told *t = told.lookup(&zero);

	return (gone ? *gone : 0) + (t ? t->files : 0);
}

static __always_inline void note_symbol(u64 addr, u64 now, u64 ts_ns)
{
	struct at_symbol_key key = {.addr = addr, .generation = now};
	struct at_note_symbol *n;
	struct at_format *format;
	int zero = 0;
	u8 sent = 1;

	if (symbols_sent.lookup(&key))
		return;
	format = symbol_format.lookup(&zero);
	if (!format)
		return;
	n = notes.ringbuf_reserve(sizeof(struct at_note_symbol));
	if (!n) {
		count_lost_note(AT_NOTE_SYMBOL);
		return;
	}
	note_head(&n->note, AT_NOTE_SYMBOL, addr, 0);
	/* valid from the fault on that it belongs to */
	n->note.ts_ns = ts_ns;
	/* it fails when its buffers are taken, by an interrupted caller for example */
	if (bpf_snprintf(n->text, sizeof(n->text), format->text, &addr, sizeof(addr)) < 0) {
		notes.ringbuf_discard(n, BPF_RB_NO_WAKEUP);
		count_lost_note(AT_NOTE_SYMBOL);
		return;
	}
	notes.ringbuf_submit(n, BPF_RB_NO_WAKEUP);
	symbols_sent.update(&key, &sent);
}

/* ---- pages ---- */

#ifdef AT_STACKS
/*
 * Stacks of page operations, at level `stacks`. A stack travels once, as a note; after that
 * its events carry only a hash of its frames. Each probe has a buffer of its own: the
 * kernel's recursion guard keeps a probe from running twice on one CPU, not two of them.
 */
enum { AT_TRACE_ALLOC, AT_TRACE_FREE, AT_TRACE_RESERVE, AT_TRACES };
struct at_frames {
	u64 frame[AT_FRAMES];
};
BPF_PERCPU_ARRAY(trace_frames, struct at_frames, AT_TRACES);
/* Hash of the frames to the generation() in which they were sent. */
BPF_TABLE("lru_hash", u64, u64, traces_sent, 16384);

static __always_inline bool note_trace(struct at_frames *from, long bytes, u64 hash, u64 now)
{
	struct at_note_trace *n;
	u64 ts_ns, frame;
	u32 i;

	n = notes.ringbuf_reserve(sizeof(struct at_note_trace));
	if (!n)
		return false;
	note_head(&n->note, AT_NOTE_TRACE, hash, 0);
	ts_ns = n->note.ts_ns;
	n->count = bytes / 8;
	n->pad = 0;
	bpf_probe_read_kernel(n->frames, sizeof(n->frames), from->frame);
	for (i = 0; i < AT_FRAMES; i++) {
		asm volatile("" : "+r"(bytes));
		if (i * 8 >= bytes)
			break;
		frame = n->frames[i];
		note_symbol(frame, now, ts_ns);
	}
	notes.ringbuf_submit(n, BPF_RB_NO_WAKEUP);
	traces_sent.update(&hash, &now);
	return true;
}

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

/* The hash of the stack that led here; 0, and counted, if it cannot be given. */
static __always_inline u64 page_trace(void *ctx, u32 kind, u32 files)
{
	u32 which = kind == AT_PAGE_ALLOC ? AT_TRACE_ALLOC :
		    kind == AT_PAGE_FREE  ? AT_TRACE_FREE :
					    AT_TRACE_RESERVE;
	u64 now, hash = 0;
	struct at_frames *f;
	u64 *sent;
	long bytes;
	u32 count, i;
#ifdef AT_REMEMBER_STACKS
	int zero = 0;
	struct at_scratch *scratch = scratches.lookup(&which);
	struct at_hops *h = hops.lookup(&zero);

	if (!scratch || !h)
		return 0;
	hash = recall(ctx, which, h, scratch, files);
	if (hash)
		return hash;
	scratch->walked++;
#endif

	now = generation();
	f = trace_frames.lookup(&which);
	if (!f)
		return 0;
	bytes = bpf_get_stack(ctx, f->frame, sizeof(f->frame), 0);
	if (bytes <= 0) {
		count_lost_note(AT_NOTE_TRACE);
		return 0;
	}
	count = bytes / 8;
	hash = 0;
	for (i = 0; i < AT_FRAMES; i++) {
		/* or clang counts the other way round, and the verifier loses the bound */
		asm volatile("" : "+r"(count));
		if (i >= count)
			break;
#ifdef AT_REMEMBER_STACKS
		/* without the frames on top, the probe's own, which another tracer may change */
		if (i == AT_OWN_FRAMES)
			hash = 0;
		hash = hash_with(hash, f->frame[i]);
#else
		hash = (hash ^ f->frame[i]) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 29;
#endif
	}
#ifdef AT_REMEMBER_STACKS
	ANEW(scratch->count) = count;
#endif
	sent = traces_sent.lookup(&hash);
	if ((!sent || *sent != now) && !note_trace(f, bytes, hash, now)) {
		count_lost_note(AT_NOTE_TRACE);
		return 0;
	}
#ifdef AT_REMEMBER_STACKS
	after_walk(f, which, h, scratch, hash);
#endif
	return hash;
}
#endif

/*
 * Freed pages are reported on the way in and allocated ones on the way out: a page that
 * is freed and at once handed out on another CPU then shows in the order it happened.
 */
static __always_inline void page_event(void *ctx, u32 kind, u64 arena, u64 addr, s64 ret, u32 pages,
				       int node, u32 flags)
{
	int zero = 0;
	struct at_told *t = told.lookup(&zero);
	struct at_event *e;
	u64 trace = 0;

	if (!t || !t->recording || !is_wanted_arena(arena) || !is_wanted_task())
		return;
#ifdef AT_STACKS
	trace = page_trace(ctx, kind, t->files);
#endif
	e = event_reserve(kind);
	if (!e)
		return;
	e->arena = arena;
	e->addr = addr;
	e->ret = ret;
	e->pages = pages;
	e->error_code = node;
	e->flags = flags;
	e->ip = trace;
	event_end(e);
}

#ifdef AT_PROBE_arena_alloc_pages
KRETFUNC_PROBE(arena_alloc_pages, void *arena, long uaddr, long page_cnt, int node_id,
	       u8 sleepable, long ret)
{
	page_event(ctx, AT_PAGE_ALLOC, (u64)arena, uaddr, ret, page_cnt, node_id,
		   (sleepable ? AT_F_SLEEPABLE : 0) | (ret ? AT_F_OK : 0));
	return 0;
}
#endif

#ifdef AT_PROBE_arena_free_pages
KFUNC_PROBE(arena_free_pages, void *arena, long uaddr, long page_cnt, u8 sleepable)
{
	page_event(ctx, AT_PAGE_FREE, (u64)arena, uaddr, 0, page_cnt, 0,
		   sleepable ? AT_F_SLEEPABLE : 0);
	return 0;
}
#endif

/* The kernel turns any other map away before it looks at the pages, and so do we. */
static __always_inline bool is_arena(void *map)
{
	return U32_AT(map, bpf_map__map_type) == BPF_MAP_TYPE_ARENA;
}

/* Where arena_alloc_pages() and arena_free_pages() were inlined: the kfuncs around them. */
#ifdef AT_PROBE_bpf_arena_alloc_pages
KRETFUNC_PROBE(bpf_arena_alloc_pages, void *map, void *addr, u32 page_cnt, int node_id, u64 flags,
	       void *ret)
{
	if (page_cnt && !flags && is_arena(map))
		page_event(ctx, AT_PAGE_ALLOC, (u64)map, (u64)addr, (u64)ret, page_cnt,
			   node_id, AT_F_SLEEPABLE | (ret ? AT_F_OK : 0));
	return 0;
}
#endif

#ifdef AT_PROBE_bpf_arena_free_pages
KFUNC_PROBE(bpf_arena_free_pages, void *map, void *ptr, u32 page_cnt)
{
	if (page_cnt && ptr && is_arena(map))
		page_event(ctx, AT_PAGE_FREE, (u64)map, (u64)ptr, 0, page_cnt, 0, AT_F_SLEEPABLE);
	return 0;
}
#endif

#ifdef AT_PROBE_bpf_arena_reserve_pages
KRETFUNC_PROBE(bpf_arena_reserve_pages, void *map, void *ptr, u32 page_cnt, int ret)
{
	if (is_arena(map))
		page_event(ctx, AT_PAGE_RESERVE, (u64)map, (u64)ptr, ret, page_cnt, 0,
			   ret ? 0 : AT_F_OK);
	return 0;
}
#endif

/*
 * sched_ext's own memory in an arena: pieces of pages that it allocated like anyone else. Its
 * pieces are given up on the way in, like pages.
 */
static __always_inline void kernel_memory_event(u32 kind, u64 arena, u64 addr, u64 size)
{
	struct at_event *e;

	/* a scheduler without an arena: nothing was given */
	if (!is_recording() || !arena || !is_wanted_arena(arena) || !is_wanted_task())
		return;
	e = event_reserve(kind);
	if (!e)
		return;
	e->arena = arena;
	e->addr = addr;
	e->ret = size;
	e->pages = addr ? ((addr & 4095) + size + 4095) >> 12 : 0;
	e->flags = addr ? AT_F_OK : 0;
	event_end(e);
}

#ifdef AT_PROBE_scx_arena_alloc
KRETFUNC_PROBE(scx_arena_alloc, void *sch, unsigned long size, void *ret)
{
	kernel_memory_event(AT_KERNEL_ALLOC, U64_AT(sch, scx_sched__arena_map), (u64)ret, size);
	return 0;
}
#endif

#ifdef AT_PROBE_scx_arena_free
KFUNC_PROBE(scx_arena_free, void *sch, void *kern_va, unsigned long size)
{
	if (kern_va)
		kernel_memory_event(AT_KERNEL_FREE, U64_AT(sch, scx_sched__arena_map), (u64)kern_va,
				    size);
	return 0;
}
#endif

#ifdef AT_PROBE_arena_free_worker
KFUNC_PROBE(arena_free_worker, void *work)
{
	u64 arena = (u64)work - AT_OFF_bpf_arena__free_work;

	/* a worker is nobody's task */
	if (is_wanted_arena(arena))
		arena_event(AT_FREE_DRAIN, arena, 0, 0);
	return 0;
}
#endif

#ifdef AT_PROBE_arena_vm_fault
KRETFUNC_PROBE(arena_vm_fault, void *vmf, unsigned int ret)
{
	struct at_event *e;
	u64 file, arena;

	if (!is_recording())
		return 0;
	file = U64_AT(U64_AT(vmf, vm_fault__vma), vm_area_struct__vm_file);
	arena = U64_AT(file, file__private_data);
	if (!is_wanted_arena(arena) || !is_wanted_task())
		return 0;
	e = event_reserve(AT_USER_FAULT);
	if (!e)
		return 0;
	e->arena = arena;
	e->addr = U64_AT(vmf, vm_fault__address);
	e->ret = ret;
	/* FAULT_FLAG_WRITE is bit 0 of enum fault_flag */
	e->flags = U32_AT(vmf, vm_fault__flags) & 1 ? AT_F_WRITE : 0;
	event_end(e);
	return 0;
}
#endif

/* ---- programs ---- */

static __always_inline void note_func(u64 main_aux, u64 aux, u32 flags)
{
	struct at_note_func *n = notes.ringbuf_reserve(sizeof(struct at_note_func));

	if (!n) {
		count_lost_note(AT_NOTE_FUNC);
		return;
	}
	note_head(&n->note, AT_NOTE_FUNC, main_aux, flags);
	n->start = U64_AT(aux, bpf_prog_aux__ksym__start);
	n->end = U64_AT(aux, bpf_prog_aux__ksym__end);
	__builtin_memset(n->ksym, 0, sizeof(n->ksym));
	bpf_probe_read_kernel_str(n->ksym, sizeof(n->ksym),
				  (void *)(aux + AT_OFF_bpf_prog_aux__ksym__name));
	notes.ringbuf_submit(n, BPF_RB_NO_WAKEUP);
}

/*
 * The line table goes out whole, at load time: the program may be gone before anyone looks,
 * and by then its BTF and line info are gone with it.
 */
static __always_inline void note_lines(u64 aux, u32 nr_linfo, u32 flags)
{
	u64 linfo = U64_AT(aux, bpf_prog_aux__linfo);
	u64 jited = U64_AT(aux, bpf_prog_aux__jited_linfo);
	u32 i;

	if (!linfo || !jited)
		return;
	for (i = 0; i < AT_MAX_LINE_CHUNKS; i++) {
		u32 first = i * AT_LINES;
		struct at_note_lines *n;
		u32 count;

		if (first >= nr_linfo)
			return;
		n = notes.ringbuf_reserve(sizeof(struct at_note_lines));
		if (!n) {
			count_lost_note(AT_NOTE_LINES);
			continue;
		}
		count = nr_linfo - first;
		if (count > AT_LINES)
			count = AT_LINES;
		note_head(&n->note, AT_NOTE_LINES, aux, flags);
		n->first = first;
		n->count = count;
		/* count is at most AT_LINES; the mask tells the verifier */
		bpf_probe_read_kernel(n->addr, (count * 8) & 1023 ? (count * 8) & 1023 : AT_LINES * 8,
				      (void *)(jited + first * 8ULL));
		bpf_probe_read_kernel(n->linfo, (count * 16) & 2047 ? (count * 16) & 2047 : AT_LINES * 16,
				      (void *)(linfo + first * 16ULL));
		notes.ringbuf_submit(n, BPF_RB_NO_WAKEUP);
	}
	count_lost_note(AT_NOTE_LINES);
}

static __always_inline void note_strings(u64 btf, u32 btf_id)
{
	u64 strings = U64_AT(btf, btf__strings);
	u32 total = U32_AT(btf, btf__hdr__str_len);
	u8 sent = 1;
	u32 i;

	/* all programs of one object share one BTF: its strings travel once */
	if (strings_sent.lookup(&btf_id))
		return;
	strings_sent.update(&btf_id, &sent);
	for (i = 0; i < AT_MAX_STRING_CHUNKS; i++) {
		u32 offset = i * AT_CHUNK;
		struct at_note_strings *n;
		u32 len;

		if (offset >= total)
			return;
		n = notes.ringbuf_reserve(sizeof(struct at_note_strings));
		if (!n) {
			count_lost_note(AT_NOTE_STRINGS);
			continue;
		}
		len = total - offset;
		if (len > AT_CHUNK)
			len = AT_CHUNK;
		note_head(&n->note, AT_NOTE_STRINGS, btf_id, 0);
		n->offset = offset;
		n->len = len;
		n->total = total;
		n->pad = 0;
		bpf_probe_read_kernel(n->data, len & (AT_CHUNK - 1) ? len & (AT_CHUNK - 1) : AT_CHUNK,
				      (void *)(strings + offset));
		notes.ringbuf_submit(n, BPF_RB_NO_WAKEUP);
	}
	count_lost_note(AT_NOTE_STRINGS);
}

static __always_inline void note_prog(u64 prog, u64 aux, u32 flags)
{
	u64 btf = U64_AT(aux, bpf_prog_aux__btf);
	u64 funcs = U64_AT(aux, bpf_prog_aux__func);
	u32 func_cnt = U32_AT(aux, bpf_prog_aux__func_cnt);
	u32 nr_linfo = U32_AT(aux, bpf_prog_aux__nr_linfo);
	u32 btf_id = btf ? U32_AT(btf, btf__id) : 0;
	struct at_note_prog *n;
	u32 i;

	choose_prog(prog, aux);
	/* func[0] is the main program again; subprograms follow */
	if (funcs) {
		for (i = 1; i < AT_MAX_FUNCS; i++) {
			if (i >= func_cnt)
				break;
			note_func(aux, U64_AT(read_u64(funcs + i * 8ULL), bpf_prog__aux), flags);
		}
		if (func_cnt > AT_MAX_FUNCS)
			count_lost_note(AT_NOTE_FUNC);
	}
	/* before a recording only the names are asked for */
	if (btf && is_recording()) {
		note_lines(aux, nr_linfo, flags);
		note_strings(btf, btf_id);
	}
	n = notes.ringbuf_reserve(sizeof(struct at_note_prog));
	if (!n) {
		count_lost_note(AT_NOTE_PROG);
		return;
	}
	note_head(&n->note, AT_NOTE_PROG, aux, flags);
	n->start = U64_AT(aux, bpf_prog_aux__ksym__start);
	n->end = U64_AT(aux, bpf_prog_aux__ksym__end);
	n->arena = U64_AT(aux, bpf_prog_aux__arena);
	n->id = U32_AT(aux, bpf_prog_aux__id);
	n->type = U32_AT(prog, bpf_prog__type);
	n->func_cnt = func_cnt;
	n->nr_linfo = nr_linfo;
	n->btf_id = btf_id;
	n->pad = 0;
	bpf_probe_read_kernel(n->tag, sizeof(n->tag), (void *)(prog + AT_OFF_bpf_prog__tag));
	__builtin_memset(n->name, 0, sizeof(n->name));
	bpf_probe_read_kernel(n->name, sizeof(n->name), (void *)(aux + AT_OFF_bpf_prog_aux__name));
	__builtin_memset(n->ksym, 0, sizeof(n->ksym));
	bpf_probe_read_kernel_str(n->ksym, sizeof(n->ksym),
				  (void *)(aux + AT_OFF_bpf_prog_aux__ksym__name));
	notes.ringbuf_submit(n, BPF_RB_NO_WAKEUP);
}

static __always_inline void prog_event(u32 kind, u64 aux, u32 flags)
{
	struct at_event *e = event_begin(kind);

	if (!e)
		return;
	e->arena = U64_AT(aux, bpf_prog_aux__arena);
	e->ret = U64_AT(aux, bpf_prog_aux__ksym__start);
	e->flags = flags;
	event_end(e);
}

#ifdef AT_PROBE_bpf_prog_kallsyms_add
KRETFUNC_PROBE(bpf_prog_kallsyms_add, void *fp)
{
	u64 aux = U64_AT(fp, bpf_prog__aux);

	/* subprograms come by on their own, before their main program has its id */
	if (!is_recording() || U32_AT(aux, bpf_prog_aux__func_idx))
		return 0;
	note_prog((u64)fp, aux, 0);
	prog_event(AT_PROG_LOAD, aux, AT_F_OK);
	return 0;
}
#endif

#ifdef AT_PROBE_bpf_prog_kallsyms_del_all
KFUNC_PROBE(bpf_prog_kallsyms_del_all, void *fp)
{
	forget_hops();
	prog_event(AT_PROG_UNLOAD, U64_AT(fp, bpf_prog__aux), 0);
	return 0;
}
#endif

/* ---- faults ---- */

/*
 * Everything a report needs of the blamed program and of the code on the stack is taken
 * now: programs and modules may be gone before user space reads this. Returns whether the
 * note was sent: its event has the same ts_ns, CPU and thread, which makes the pair.
 */
static __always_inline bool note_stack(void *ctx, u64 prog, u64 ts_ns)
{
	u64 now = generation();
	struct at_note_stack *n;
	u64 aux, frame;
	long bytes;
	u32 i;

	n = notes.ringbuf_reserve(sizeof(struct at_note_stack));
	if (!n) {
		count_lost_note(AT_NOTE_STACK);
		return false;
	}
	note_head(&n->note, AT_NOTE_STACK,
		  (u64)bpf_get_smp_processor_id() << 32 | (u32)bpf_get_current_pid_tgid(), 0);
	n->note.ts_ns = ts_ns;
	n->start = 0;
	n->end = 0;
	n->arena = 0;
	n->id = 0;
	__builtin_memset(n->tag, 0, sizeof(n->tag));
	__builtin_memset(n->name, 0, sizeof(n->name));
	if (prog) {
		aux = U64_AT(prog, bpf_prog__aux);
		n->start = U64_AT(aux, bpf_prog_aux__ksym__start);
		n->end = U64_AT(aux, bpf_prog_aux__ksym__end);
		n->arena = U64_AT(aux, bpf_prog_aux__arena);
		n->id = U32_AT(aux, bpf_prog_aux__id);
		bpf_probe_read_kernel(n->tag, sizeof(n->tag), (void *)(prog + AT_OFF_bpf_prog__tag));
		bpf_probe_read_kernel(n->name, sizeof(n->name),
				      (void *)(aux + AT_OFF_bpf_prog_aux__name));
	}
	bytes = bpf_get_stack(ctx, n->frames, sizeof(n->frames), 0);
	n->frame_bytes = bytes > 0 ? bytes : 0;
	for (i = 0; i < AT_FRAMES; i++) {
		if (i * 8 >= bytes || bytes <= 0)
			break;
		frame = n->frames[i];
		note_symbol(frame, now, ts_ns);
	}
	notes.ringbuf_submit(n, BPF_RB_NO_WAKEUP);
	return true;
}

/* The event of a fault, and before it the stack that belongs to it. */
static __always_inline void fault_event(void *ctx, u32 kind, struct at_fault *f, u64 addr, u64 ip,
					u32 flags)
{
	/* the moment of the fault itself: by now the kernel has written its report */
	u64 ts_ns = f && f->ts_ns ? f->ts_ns : bpf_ktime_get_ns();
	u64 prog = f ? f->prog : 0;
	struct at_event *e;
	bool has_stack;
	u64 aux;

	if (!is_recording())
		return;
	/* an oops is recorded whoever is to blame: it may be the touched arena's own program */
	if ((kind != AT_KERNEL_FAULT || flags & AT_F_OK) && !is_wanted_fault(prog))
		return;
	has_stack = note_stack(ctx, prog, ts_ns);
	e = event_begin(kind);
	if (!e)
		return;
	e->ts_ns = ts_ns;
	if (prog) {
		aux = U64_AT(prog, bpf_prog__aux);
		e->arena = U64_AT(aux, bpf_prog_aux__arena);
		e->ret = U64_AT(aux, bpf_prog_aux__ksym__start);
	}
	e->addr = addr;
	e->ip = ip;
	e->stack = has_stack;
	e->pages = f ? f->oops : 0;
	if (f && f->pte_seen)
		flags |= AT_F_PTE_SEEN | (f->pte_was_none ? AT_F_PTE_WAS_NONE : 0);
	if (f && f->has_error_code) {
		flags |= AT_F_HAS_ERROR_CODE;
		e->error_code = f->error_code;
	}
	e->flags = flags;
	event_end(e);
}

#ifdef AT_PROBE_page_fault_oops
KFUNC_PROBE(page_fault_oops, void *regs, unsigned long error_code, unsigned long address)
{
	u64 task = bpf_get_current_task();
	struct at_fault f = {};

	if (!is_recording())
		return 0;
	f.addr = address;
	f.ip = U64_AT(regs, pt_regs__ip);
	f.error_code = error_code;
	f.has_error_code = 1;
	f.where = AT_IN_OOPS;
	/* X86_PF_PROT: the page was there, and the handler is not asked */
	if (error_code & 1)
		f.oops = AT_OOPS_PROTECTION;
#ifndef AT_PROBE_bpf_arena_handle_page_fault
	else
		f.oops = AT_OOPS_NO_HANDLER;
#endif
	if (f.oops) {
		/* X86_PF_WRITE */
		fault_event(ctx, AT_KERNEL_FAULT, &f, address, f.ip, error_code & 2 ? AT_F_WRITE : 0);
		return 0;
	}
	faults.update(&task, &f);
	return 0;
}
#endif

/*
 * arm64: every fault of the kernel comes by here, most of them to be fixed up. What was a
 * permission fault cannot be told from those on the way in, and is not recorded.
 */
#ifdef AT_PROBE___do_kernel_fault
KFUNC_PROBE(__do_kernel_fault, unsigned long addr, unsigned long esr, void *regs)
{
	u64 task = bpf_get_current_task();
	struct at_fault f = {};

	/* the kernel's half has the highest bit set */
	if (!is_recording() || (s64)addr >= 0)
		return 0;
	f.addr = addr;
	f.ip = U64_AT(regs, pt_regs__pc);
	f.error_code = esr;
	f.has_error_code = 1;
	f.where = AT_IN_OOPS;
	faults.update(&task, &f);
	return 0;
}
#endif

#ifdef AT_PROBE_bpf_arena_handle_page_fault
KFUNC_PROBE(bpf_arena_handle_page_fault, unsigned long addr, u8 is_write, unsigned long fault_ip)
{
	u64 task = bpf_get_current_task();
	struct at_fault *seen = faults.lookup(&task);
	struct at_fault f = {};

	if (!is_recording())
		return 0;

	if (seen && seen->where == AT_IN_OOPS && seen->addr == addr && seen->ip == fault_ip) {
		seen->where = AT_IN_HANDLER;
		return 0;
	}
	f.addr = addr;
	f.ip = fault_ip;
	f.where = AT_IN_HANDLER;
	faults.update(&task, &f);
	return 0;
}

KRETFUNC_PROBE(bpf_arena_handle_page_fault, unsigned long addr, u8 is_write,
	       unsigned long fault_ip, u8 ret)
{
	u64 task = bpf_get_current_task();
	struct at_fault *f = faults.lookup(&task);
	u64 pte;

	if (f) {
		pte = f->claimed_pte;
		if (pte)
			filling.delete(&pte);
		/* another fault's: the kernel's answer is lost, the stack still has its own */
		if (f->where != AT_IN_HANDLER || f->addr != addr || f->ip != fault_ip)
			f = 0;
	}
	/* the handler's own questions, in its order */
	if (f && !ret)
		f->oops = !f->prog ? AT_OOPS_NO_PROGRAM :
			  !U64_AT(U64_AT(f->prog, bpf_prog__aux), bpf_prog_aux__arena) ?
				     AT_OOPS_NO_ARENA :
				     AT_OOPS_OUTSIDE_ARENA;
	fault_event(ctx, AT_KERNEL_FAULT, f, addr, fault_ip,
		    (is_write ? AT_F_WRITE : 0) | (ret ? AT_F_OK : 0));
	faults.delete(&task);
	return 0;
}
#endif

#ifdef AT_PROBE_bpf_prog_find_from_stack
KRETFUNC_PROBE(bpf_prog_find_from_stack, void *ret)
{
	u64 task = bpf_get_current_task();
	struct at_fault *f = faults.lookup(&task);

	if (f && f->where == AT_IN_HANDLER && !f->prog)
		f->prog = (u64)ret;
	return 0;
}
#endif

#ifdef AT_PROBE_apply_range_set_scratch_cb
KFUNC_PROBE(apply_range_set_scratch_cb, void *pte, unsigned long addr, void *data)
{
	u64 task = bpf_get_current_task();
	struct at_fault *f = faults.lookup(&task);
	u64 key = (u64)pte;
	u64 now, *claimed;
	bool was_none;

	if (!f || f->where != AT_IN_HANDLER)
		return 0;
	now = bpf_ktime_get_ns();
	f->ts_ns = now;
	f->pte_seen = 1;
	now &= ~AT_TOO_LATE;
	was_none = read_u64(key) == 0;
	/* claim, then look: whoever claims after a finished fault finds the entry filled */
	if (filling.insert(&key, &now) == -AT_EEXIST) {
		claimed = filling.lookup(&key);
		/* the other CPU may have looked at the clock later than this one */
		if (claimed && (s64)(now - *claimed) < AT_CLAIM_NS) {
			/* whoever else writes here now writes the same */
			*(volatile u64 *)claimed |= AT_TOO_LATE;
			return 0;
		}
		filling.update(&key, &now);
	}
	f->claimed_pte = key;
	f->pte_was_none = read_u64(key) == 0;
	if (f->pte_was_none || !was_none)
		return 0;
	/* between claim and look it was filled: by who came too late and was faster all the same */
	claimed = filling.lookup(&key);
	f->pte_was_none = claimed && *(volatile u64 *)claimed & AT_TOO_LATE;
	return 0;
}
#endif

#ifdef AT_PROBE_bpf_prog_report_arena_violation
KFUNC_PROBE(bpf_prog_report_arena_violation, u8 write, unsigned long addr, unsigned long fault_ip)
{
	u64 task = bpf_get_current_task();
	struct at_fault f = {};

	if (!is_recording())
		return 0;
	f.addr = addr;
	f.ip = fault_ip;
	f.ts_ns = bpf_ktime_get_ns();
	f.where = AT_IN_REPORT;
	faults.update(&task, &f);
	return 0;
}

KRETFUNC_PROBE(bpf_prog_report_arena_violation, u8 write, unsigned long addr,
	       unsigned long fault_ip)
{
	u64 task = bpf_get_current_task();
	struct at_fault *f = faults.lookup(&task);

	if (f && (f->where != AT_IN_REPORT || f->addr != addr || f->ip != fault_ip))
		f = 0;
	fault_event(ctx, AT_PROG_FAULT, f, addr, fault_ip,
		    (write ? AT_F_WRITE : 0) | AT_F_ADDR_IS_OFFSET);
	faults.delete(&task);
	return 0;
}
#endif

/*
 * Kernels that do not report program-side faults: fixup_exception() knows the address, and
 * ex_handler_bpf(), which it calls, that it was BPF code that faulted.
 */
#ifdef AT_PROBE_fixup_exception
KFUNC_PROBE(fixup_exception, void *regs, int trapnr, unsigned long error_code,
	    unsigned long fault_addr)
{
	u64 task = bpf_get_current_task();
	struct at_fault f = {};

	/* X86_TRAP_PF, in the kernel's half: copies from and to user space come by here too */
	if (trapnr != 14 || (s64)fault_addr >= 0 || !is_recording())
		return 0;
	f.addr = fault_addr;
	f.ip = U64_AT(regs, pt_regs__ip);
	f.error_code = error_code;
	f.ts_ns = bpf_ktime_get_ns();
	f.where = AT_IN_FIXUP;
	faults.update(&task, &f);
	return 0;
}
#endif

#ifdef AT_PROBE_ex_handler_bpf
KFUNC_PROBE(ex_handler_bpf, void *x, void *regs)
{
	u64 task = bpf_get_current_task();
	struct at_fault *f = faults.lookup(&task);

	if (!f || f->where != AT_IN_FIXUP || f->ip != U64_AT(regs, pt_regs__ip))
		return 0;
	fault_event(ctx, AT_PROG_FAULT, f, f->addr, f->ip, f->error_code & 2 ? AT_F_WRITE : 0);
	faults.delete(&task);
	return 0;
}
#endif

#ifdef AT_PROBE_bpf_prog_ksym_find
KRETFUNC_PROBE(bpf_prog_ksym_find, unsigned long addr, void *ret)
{
	u64 task = bpf_get_current_task();
	struct at_fault *f = faults.lookup(&task);

	/* the report's own lookup comes first; later ones walk the stack for its text */
	if (f && f->where == AT_IN_REPORT && !f->prog && addr == f->ip && ret)
		f->prog = U64_AT(U64_AT(U64_AT(ret, bpf_prog__aux), bpf_prog_aux__main_prog_aux),
				 bpf_prog_aux__prog);
	return 0;
}
#endif

/* ---- what is there already ---- */

/* The iterators' contexts, as the kernel's BPF_ITER macros make them; user space checks. */
struct bpf_iter__bpf_map {
	u64 meta;
	u64 map;
};
struct bpf_iter__bpf_prog {
	u64 meta;
	u64 prog;
};

#ifdef AT_PROBE_iter_bpf_map
BPF_ITER(bpf_map)
{
	u64 map = ctx->map;

	if (map && U32_AT(map, bpf_map__map_type) == BPF_MAP_TYPE_ARENA)
		note_arena(map, map + AT_OFF_bpf_map__name, AT_F_PREEXISTING);
	return 0;
}
#endif

#ifdef AT_PROBE_iter_bpf_prog
BPF_ITER(bpf_prog)
{
	u64 prog = ctx->prog;

	if (prog)
		note_prog(prog, U64_AT(prog, bpf_prog__aux), AT_F_PREEXISTING);
	return 0;
}
#endif
