// SPDX-License-Identifier: GPL-2.0
#include "truth.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static FILE *out;
static uint32_t count;

void truth_open(const char *path)
{
	out = fopen(path, "w");
	if (!out)
		die("%s: %s", path, strerror(errno));
	fputs("{\"operations\": [", out);
}

void truth_record(const struct arena *a, struct record r)
{
	fprintf(out, "%s\n{\"seq\": %u, \"arena\": %u, \"op\": \"%s\", \"addr\": \"0x%llx\"",
		count ? "," : "", count, a->index, r.op, (unsigned long long)r.addr);
	count++;
	if (r.pages || !r.word)
		fprintf(out, ", \"pages\": %u, \"sleepable\": %s", r.pages,
			r.sleepable ? "true" : "false");
	else
		fprintf(out, ", \"write\": %s", r.write ? "true" : "false");
	if (r.address)
		fprintf(out, ", \"node\": %d, \"flags\": %u, \"result\": \"0x%llx\"}", r.node,
			r.flags, (unsigned long long)*r.address);
	else if (r.number)
		fprintf(out, ", \"result\": %lld}", (long long)*r.number);
	else if (r.word)
		fprintf(out, ", \"result\": \"%s\"}", r.word);
	else
		fputs(", \"result\": null}", out);
}

uint32_t truth_count(void)
{
	return count;
}

void truth_close(uint64_t seed, const struct ability *can, const struct arena *arenas,
		 uint32_t nr_arenas)
{
	struct utsname system;

	uname(&system);
	fprintf(out, "],\n\"schema\": \"random_ops/1\", \"seed\": %llu, \"kernel\": \"%s\",",
		(unsigned long long)seed, system.release);
	fprintf(out, " \"pid\": %d, \"deferred_frees\": %s, \"reserves\": %s,", getpid(),
		can->burst ? "true" : "false", can->reserve ? "true" : "false");
	fprintf(out, " \"kernel_touches\": %s, \"arenas\": [", can->kernel_touch ? "true" : "false");
	for (const struct arena *a = arenas; a < arenas + nr_arenas; a++)
		fprintf(out,
			"%s\n{\"arena\": %u, \"map_id\": %u, \"name\": \"%s\", \"max_entries\": %u,"
			" \"map_flags\": %u, \"user_vm_start\": \"0x%llx\","
			" \"kern_vm_start\": \"0x%llx\"}",
			a == arenas ? "" : ",", a->index, a->map_id, a->name, a->shape.max_entries,
			(unsigned int)BPF_F_MMAPABLE | a->shape.map_flags,
			(unsigned long long)a->user_vm_start, (unsigned long long)a->kern_vm_start);
	fputs("]}\n", out);
	if (ferror(out) || fclose(out))
		die("writing the account: %s", strerror(errno));
}
