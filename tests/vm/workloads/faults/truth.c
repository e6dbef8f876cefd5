// SPDX-License-Identifier: GPL-2.0
#include "truth.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

static struct {
	pthread_mutex_t lock;
	uint32_t seq;
	struct target *programs; /* copies: they outlive the programs */
	struct fault *faults;
	struct event *events;
	size_t nr_programs, nr_faults, nr_events;
} truth = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void *grown(void *array, size_t count, size_t size)
{
	if (count & (count - 1))
		return array;
	array = realloc(array, (count ? 2 * count : 1) * size);
	if (!array)
		die("out of memory");
	return array;
}

uint32_t truth_program(const struct target *t)
{
	for (size_t i = 0; i < truth.nr_programs; i++)
		if (truth.programs[i].prog.id == t->prog.id)
			return i;
	truth.programs = grown(truth.programs, truth.nr_programs, sizeof(*truth.programs));
	truth.programs[truth.nr_programs] = *t;
	return truth.nr_programs++;
}

void truth_fault(const struct target *t, struct fault fault)
{
	pthread_mutex_lock(&truth.lock);
	fault.seq = truth.seq++;
	fault.program = truth_program(t);
	truth.faults = grown(truth.faults, truth.nr_faults, sizeof(*truth.faults));
	truth.faults[truth.nr_faults++] = fault;
	pthread_mutex_unlock(&truth.lock);
}

void truth_event(const struct target *t, struct event event)
{
	pthread_mutex_lock(&truth.lock);
	event.seq = truth.seq++;
	event.program = truth_program(t);
	truth.events = grown(truth.events, truth.nr_events, sizeof(*truth.events));
	truth.events[truth.nr_events++] = event;
	pthread_mutex_unlock(&truth.lock);
}

uint32_t truth_count(const struct target *t, const char *kind)
{
	uint32_t program = truth_program(t), count = 0;

	for (size_t i = 0; i < truth.nr_faults; i++)
		count += truth.faults[i].program == program && !strcmp(truth.faults[i].kind, kind);
	return count;
}

static const char *band_of(const struct target *t, uint64_t koff)
{
	uint32_t pgoff = (uint32_t)(koff - (uint32_t)t->user_vm_start) / POKE_PAGE;

	if (koff >= POKE_BAND) /* what is below the band has wrapped around */
		return koff > -POKE_BAND ? "lower-guard" : "upper-guard";
	return pgoff < t->max_entries ? "user" : "beyond-user";
}

static void write_fault(FILE *out, const struct fault *f)
{
	const struct target *t = &truth.programs[f->program];
	const struct poke_call *c = &f->call;

	fprintf(out, "{\"seq\": %u, \"kind\": \"%s\", \"side\": \"%s\", \"program\": \"%s\", ",
		f->seq, f->kind, f->kernel_side ? "kernel" : "prog", t->prog.name);
	fprintf(out, "\"program_id\": %u, \"tag\": \"%s\", \"map_id\": %u, \"function\": \"%s\", ",
		t->prog.id, t->prog.tag, t->map_id, c->func);
	fprintf(out, "\"access\": \"%s\", \"size\": %u, ", f->write ? "write" : "read", f->size);
	fprintf(out, "\"kaddr\": \"0x%llx\", \"uaddr\": \"0x%llx\", ",
		(unsigned long long)c->kaddr,
		(unsigned long long)((t->user_vm_start & ~0xffffffffULL) + f->koff));
	fprintf(out, "\"band\": \"%s\", \"offset\": %llu, ", band_of(t, f->koff),
		(unsigned long long)(f->koff % POKE_PAGE));
	/* The kernel's own formula, which means nothing past the band. */
	if (f->koff < POKE_BAND)
		fprintf(out, "\"page\": %u, ",
			(uint32_t)(f->koff - (uint32_t)t->user_vm_start) / (uint32_t)POKE_PAGE);
	else
		fprintf(out, "\"page\": null, ");
	fprintf(out, "\"file\": \"%s\", \"line\": %u, \"stream_line\": %u, ", c->file, c->line,
		c->stream_line);
	fprintf(out, "\"cpu\": %u, \"pinned\": %s, \"tid\": %d, \"race\": ", c->cpu,
		f->pinned_cpu >= 0 ? "true" : "false", f->tid);
	if (f->race >= 0)
		fprintf(out, "%d}", f->race);
	else
		fprintf(out, "null}");
}

static void write_event(FILE *out, const struct event *e)
{
	const struct target *t = &truth.programs[e->program];
	const struct identity *prog = strcmp(e->what, "free-deferred") ? &t->prog : &t->defer;

	fprintf(out, "{\"seq\": %u, \"what\": \"%s\", \"program\": \"%s\", \"program_id\": %u, ",
		e->seq, e->what, prog->name, prog->id);
	fprintf(out, "\"map_id\": %u, \"uaddr\": \"0x%llx\", \"pages\": %u, ", t->map_id,
		(unsigned long long)e->uaddr, e->pages);
	fprintf(out, "\"ok\": %s, \"over_scratch\": %u}", e->ok ? "true" : "false",
		e->over_scratch);
}

static void write_program(FILE *out, const struct identity *prog, uint32_t map_id)
{
	fprintf(out, "\n  {\"id\": %u, \"name\": \"%s\", \"tag\": \"%s\", \"map_id\": %u}",
		prog->id, prog->name, prog->tag, map_id);
}

static void write_programs(FILE *out)
{
	fprintf(out, " \"arenas\": [");
	for (size_t i = 0; i < truth.nr_programs; i++) {
		const struct target *t = &truth.programs[i];

		/* The programs of one object share its arena, and come one after another. */
		if (i && truth.programs[i - 1].map_id == t->map_id)
			continue;
		fprintf(out, "%s\n  {\"map_id\": %u, \"name\": \"%s\", ", i ? "," : "", t->map_id,
			t->arena_name);
		fprintf(out, "\"user_vm_start\": \"0x%llx\", \"kern_vm_start\": \"0x%llx\", ",
			(unsigned long long)t->user_vm_start,
			(unsigned long long)t->kern_vm_start);
		fprintf(out, "\"max_entries\": %u}", t->max_entries);
	}
	fprintf(out, "\n ],\n \"programs\": [");
	for (size_t i = 0; i < truth.nr_programs; i++) {
		const struct target *t = &truth.programs[i];

		fprintf(out, "%s", i ? "," : "");
		write_program(out, &t->prog, t->map_id);
		if (!t->defer.fd || t->defer.id == t->prog.id)
			continue;
		fputc(',', out);
		write_program(out, &t->defer, t->map_id);
	}
	fprintf(out, "\n ],\n");
}

/* Faults by program name and kind; a race is left out, its number is not known. */
static void write_counts(FILE *out)
{
	const char *between = "\n  ";

	fprintf(out, " \"counts\": [");
	for (size_t i = 0; i < truth.nr_faults; i++) {
		const struct fault *f = &truth.faults[i];
		uint32_t count = 0;
		bool seen = f->race >= 0;

		for (size_t j = 0; j < truth.nr_faults; j++) {
			const struct fault *g = &truth.faults[j];

			if (strcmp(f->kind, g->kind) || f->kernel_side != g->kernel_side ||
			    strcmp(truth.programs[f->program].prog.name,
				   truth.programs[g->program].prog.name))
				continue;
			seen |= j < i;
			count++;
		}
		if (seen)
			continue;
		fprintf(out, "%s{\"program\": \"%s\", \"side\": \"%s\", \"kind\": \"%s\", \"count\": %u}",
			between, truth.programs[f->program].prog.name,
			f->kernel_side ? "kernel" : "prog", f->kind, count);
		between = ",\n  ";
	}
	fprintf(out, "\n ],\n");
}

static const char *const whats[] = {
	"alloc", "free", "free-deferred", "reserve", "user-map", "user-share", "user-segv",
	"mapped-access",
};

/* Calls that worked, pages they covered, those that failed, pages that were scratch. */
static void write_totals(FILE *out)
{
	fprintf(out, " \"totals\": {");
	for (size_t i = 0; i < sizeof(whats) / sizeof(*whats); i++) {
		uint32_t calls = 0, pages = 0, failed = 0, over_calls = 0, over = 0;

		for (size_t j = 0; j < truth.nr_events; j++) {
			const struct event *e = &truth.events[j];

			if (strcmp(e->what, whats[i]))
				continue;
			calls += e->ok;
			failed += !e->ok;
			pages += e->ok ? e->pages : 0;
			over_calls += e->over_scratch != 0;
			over += e->over_scratch;
		}
		fprintf(out, "%s\n  \"%s\": {\"ok\": %u, \"failed\": %u, \"pages\": %u, ",
			i ? "," : "", whats[i], calls, failed, pages);
		fprintf(out, "\"over_scratch\": %u, \"scratch_pages\": %u}", over_calls, over);
	}
	fprintf(out, "\n },\n");
}

void truth_write(const char *path, char **modes, uint64_t seed)
{
	FILE *out = fopen(path, "w");
	struct utsname kernel;

	if (!out)
		die("%s: %s", path, strerror(errno));
	uname(&kernel);
	fprintf(out, "{\n \"mode\": \"");
	for (char **mode = modes; *mode; mode++)
		fprintf(out, "%s%s", mode == modes ? "" : " ", *mode);
	fprintf(out, "\",\n \"seed\": %llu,\n \"kernel\": \"%s\",\n",
		(unsigned long long)seed, kernel.release);
	write_programs(out);
	write_counts(out);
	write_totals(out);
	fprintf(out, " \"faults\": [");
	for (size_t i = 0; i < truth.nr_faults; i++) {
		fprintf(out, "%s\n  ", i ? "," : "");
		write_fault(out, &truth.faults[i]);
	}
	fprintf(out, "\n ],\n \"events\": [");
	for (size_t i = 0; i < truth.nr_events; i++) {
		fprintf(out, "%s\n  ", i ? "," : "");
		write_event(out, &truth.events[i]);
	}
	fprintf(out, "\n ]\n}\n");
	if (fclose(out))
		die("%s: %s", path, strerror(errno));
}
