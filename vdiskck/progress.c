/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vdiskck/core/text.h"

#define SECOND 1000000000ull

uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

void progress_init(struct progress *p, enum when when)
{
	const char *term = getenv("TERM");

	*p = (struct progress){0};
	p->terminal = isatty(STDERR_FILENO) && term && strcmp(term, "dumb");
	p->on = when == WHEN_YES || (when == WHEN_AUTO && p->terminal);
}

static void time_left(char *buf, size_t cap, uint64_t sec)
{
	if (sec < 120)
		snprintf(buf, cap, "%" PRIu64 " s left", sec);
	else if (sec < 7200)
		snprintf(buf, cap, "%" PRIu64 " min left", sec / 60);
	else
		snprintf(buf, cap, "%" PRIu64 " h %" PRIu64 " min left", sec / 3600, sec / 60 % 60);
}

const char *progress_text(char *buf, size_t cap, const char *what, uint64_t done, uint64_t total,
			  uint64_t base, uint64_t ns)
{
	char d[SIZE_TEXT], t[SIZE_TEXT], r[SIZE_TEXT], left[48] = "";
	double rate = ns && done > base ? (double)(done - base) * SECOND / (double)ns : 0;

	if (done > total && total)
		done = total;
	if (total && rate > 0)
		time_left(left, sizeof(left), (uint64_t)((double)(total - done) / rate));
	if (total)
		snprintf(buf, cap, "%s  %s of %s  %u%%  %s/s  %s", what, size_text(done, d),
			 size_text(total, t), (unsigned)((double)done * 100 / (double)total),
			 size_text((uint64_t)rate, r), left);
	else
		snprintf(buf, cap, "%s  %s  %s/s", what, size_text(done, d),
			 size_text((uint64_t)rate, r));
	return buf;
}

void progress_show(struct progress *p, const char *what, uint64_t done, uint64_t total)
{
	/* A terminal is drawn five times a second; a log gets a line every ten seconds. */
	uint64_t now, pause = p->terminal ? SECOND / 5 : 10 * SECOND;
	char line[160];

	if (!p->on)
		return;
	now = clock_ns();
	if (!p->what || strcmp(p->what, what)) {
		p->what = what;
		p->began = p->last = now;
		p->base = done;
		return;
	}
	if (now - p->last < pause)
		return;
	p->last = now;
	progress_text(line, sizeof(line), what, done, total, p->base, now - p->began);
	fprintf(stderr, p->terminal ? "\r%s\033[K" : "%s\n", line);
	p->shown = p->terminal;
}

void progress_wipe(struct progress *p)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
	p->shown = false;
}
