/* SPDX-License-Identifier: GPL-2.0 */
/* An access from user space that may fail. */
#ifndef USER_TOUCH_H
#define USER_TOUCH_H

#include <stdbool.h>
#include <stdint.h>

void user_touch_init(void);
/*
 * Returns what came of it: "mapped" after a fault, "present" without one, "SIGSEGV" or
 * "SIGBUS".
 */
const char *user_touch(uint64_t uaddr, bool write);

#endif
