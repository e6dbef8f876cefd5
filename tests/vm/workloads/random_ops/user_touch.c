// SPDX-License-Identifier: GPL-2.0
#include "user_touch.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "arena.h"

static sigjmp_buf after_signal;
static void *volatile signal_address;

static void on_signal(int number, siginfo_t *info, void *context)
{
	(void)context;
	signal_address = info->si_addr;
	siglongjmp(after_signal, number);
}

void user_touch_init(void)
{
	struct sigaction catch = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };

	if (sigaction(SIGSEGV, &catch, NULL) || sigaction(SIGBUS, &catch, NULL))
		die("sigaction: %s", strerror(errno));
}

/* Faults of this thread that ended well. */
static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

const char *user_touch(uint64_t uaddr, bool write)
{
	volatile long before;
	int number;

	number = sigsetjmp(after_signal, 1);
	if (number) {
		if (signal_address != (void *)uaddr)
			die("signal %d at %p, not at %#llx", number, signal_address,
			    (unsigned long long)uaddr);
		return number == SIGBUS ? "SIGBUS" : "SIGSEGV";
	}
	before = faults();
	if (write)
		*(volatile uint64_t *)uaddr = uaddr;
	else
		*(volatile uint64_t *)uaddr;
	return faults() == before ? "present" : "mapped";
}
