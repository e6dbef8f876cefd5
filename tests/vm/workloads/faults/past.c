// SPDX-License-Identifier: GPL-2.0
#include "past.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "act.h"

#define WAIT_S 300
/* A recorder reads its loss counters every second. */
#define NOTICE_S 3

/* Primes: pages that were mapped, freed or reserved before, and pages used after. */
enum { FILLER = 613 }; /* allocations and frees that fill a small ring */
enum { HELD = 7, FREED = 11, RESERVED = 3, UNTOUCHED = 13, YOUNG = 5 };

struct past {
	struct target *t;
	uint32_t held[HELD], freed[FREED], reserved[RESERVED];
};

static void before(struct past *past)
{
	for (int i = 0; i < HELD; i++)
		past->held[i] = act_alloc(past->t, act_pick_fresh(past->t, 1), 1);
	for (int i = 0; i < FREED; i++)
		past->freed[i] = act_alloc(past->t, act_pick_fresh(past->t, 1), 1);
	for (int i = 0; i < FREED; i++)
		act_free(past->t, past->freed[i], 1);
	for (int i = 0; i < RESERVED; i++) {
		past->reserved[i] = act_pick_fresh(past->t, 1);
		act_reserve(past->t, past->reserved[i], 1);
	}
}

static void touch(struct target *t, const char *kind, uint32_t page, int turn)
{
	(turn % 2 ? act_prog : act_kernel)(t, kind, target_koff(t, page) + act_offset());
}

static void free_held(struct past *past)
{
	for (int i = 0; i < HELD; i++) {
		act_kernel(past->t, "mapped", target_koff(past->t, past->held[i]) + act_offset());
		act_free(past->t, past->held[i], 1);
	}
}

static void after(struct past *past)
{
	struct target *t = past->t;

	for (int i = 0; i < HELD; i++)
		touch(t, "past-held", past->held[i], i);
	for (int i = 0; i < FREED; i++)
		touch(t, "past-freed", past->freed[i], i);
	for (int i = 0; i < RESERVED; i++)
		touch(t, "past-reserved", past->reserved[i], i);
	for (int i = 0; i < UNTOUCHED; i++)
		/* Away from every page that the recording regards as live. */
		touch(t, "past-untouched", act_pick_fresh(t, 3) + 1, i);
	for (int i = 0; i < YOUNG; i++) {
		uint32_t page = act_alloc(t, act_pick_fresh(t, 1), 1);

		act_free(t, page, 1);
		touch(t, "uaf", page, i);
	}
	for (int i = 0; i < YOUNG; i++) {
		uint32_t page = act_pick(t, PAGE_SCRATCH, false);

		act_free(t, page, 1);
		touch(t, "after-free-over-scratch", page, i);
	}
	act_prog(t, "prog-null", act_offset());
	act_kernel(t, "upper-guard", POKE_BAND + act_offset());
}

static void wait_for(const char *ready, const char *go)
{
	int fd = open(ready, O_CREAT | O_WRONLY, 0644);

	if (fd < 0 || close(fd))
		die("%s: %s", ready, strerror(errno));
	for (int i = 0; i < WAIT_S * 10; i++) {
		if (!access(go, F_OK))
			return;
		usleep(100000);
	}
	die("%s: nobody made it in %d s", go, WAIT_S);
}

void past_old(struct target *a, struct target *b, const char *ready, const char *go)
{
	struct past first = { .t = a }, second = { .t = b };

	before(&first);
	before(&second);
	wait_for(ready, go);
	truth_event(a, (struct event){ .what = "recording" });
	free_held(&first);
	free_held(&second);
	after(&first);
	after(&second);
}

void past_lossy(struct target *a, struct target *b)
{
	struct past first = { .t = a }, second = { .t = b };
	pid_t recorder = getppid();

	before(&first);
	before(&second);
	sleep(NOTICE_S);
	if (kill(recorder, SIGSTOP))
		die("stopping the recorder: %s", strerror(errno));
	for (int i = 0; i < FILLER; i++)
		act_free(a, act_alloc(a, ANYWHERE, 1), 1);
	free_held(&first);
	free_held(&second);
	if (kill(recorder, SIGCONT))
		die("letting the recorder go on: %s", strerror(errno));
	sleep(NOTICE_S);
	after(&first);
	after(&second);
}
