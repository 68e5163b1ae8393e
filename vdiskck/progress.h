/* SPDX-License-Identifier: Apache-2.0 */
/* One line on standard error while work goes on: how much is done, how fast, how long yet. */
#ifndef VDISKCK_PROGRESS_H
#define VDISKCK_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vdiskck/options.h"

struct progress {
	bool on, terminal;
	bool shown;	      /* a line stands on the terminal and must be wiped */
	const char *what;     /* the work at hand; a new one starts the clock again */
	uint64_t began, last; /* ns */
	uint64_t base;	      /* what was done when the clock started */
};

/* progress_init() - auto: only if standard error is a terminal that understands \r */
void progress_init(struct progress *p, enum when when);
/* progress_show() - draw, if some time has passed since; @total 0: not known */
void progress_show(struct progress *p, const char *what, uint64_t done, uint64_t total);
/* progress_wipe() - take the line away before something else is printed */
void progress_wipe(struct progress *p);
/* progress_text() - the line itself: "exporting  12 MiB of 1 GiB  1%  120 MiB/s  8 s left" */
const char *progress_text(char *buf, size_t cap, const char *what, uint64_t done, uint64_t total,
			  uint64_t base, uint64_t ns);

/* clock_ns() - monotonic time in nanoseconds */
uint64_t clock_ns(void);

#endif
