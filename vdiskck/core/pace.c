/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/core/pace.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "vdiskck/core/session.h"

#define SECOND 1000000000ull
#define SLICE  (SECOND / 10) /* of sleep, before looking whether to stop */
#define BURST  (SECOND / 10) /* what was not used is kept for so long */
#define DRAIN  (SECOND / 50) /* until our own reads are done */
#define LOOK   (SECOND / 10) /* at the others */

enum {
	BUSY = 20,   /* percent of the time in which somebody waits for the disk */
	PATIENCE = 5 /* seconds to stand back, before we take a turn after all */
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void sleep_until(struct session *s, uint64_t when)
{
	for (uint64_t now = now_ns(); now < when && !session_stopped(s); now = now_ns()) {
		uint64_t left = when - now < SLICE ? when - now : SLICE;

		nanosleep(&(struct timespec){.tv_nsec = (long)left}, NULL);
	}
}

void pace_init(struct pace *p, uint64_t rate, bool background)
{
	/* ioprio.h: IOPRIO_WHO_PROCESS, IOPRIO_CLASS_IDLE. Only some schedulers heed it: BFQ. */
	enum { WHO_PROCESS = 1, CLASS_IDLE = 3 << 13 };

	*p = (struct pace){.rate = rate, .pressure = -1};
	pthread_mutex_init(&p->lock, NULL);
	if (!background)
		return;
	syscall(SYS_ioprio_set, WHO_PROCESS, 0, CLASS_IDLE);
	setpriority(PRIO_PROCESS, 0, 19);
	p->pressure = open("/proc/pressure/io", O_RDONLY | O_CLOEXEC);
}

void pace_fini(struct pace *p)
{
	if (p->pressure >= 0)
		close(p->pressure);
	pthread_mutex_destroy(&p->lock);
}

/* Microseconds in which some task waited for a disk, since the system was started. */
static uint64_t waited(const struct pace *p)
{
	char text[256], *total;
	ssize_t n = pread(p->pressure, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	total = strstr(text, "total=");
	return total ? strtoull(total + 6, NULL, 10) : 0;
}

/*
 * The averages that the kernel gives count our own waiting, too: a lone reader is "pressure". So
 * stop reading for a moment, and look whether somebody waits then.
 */
static bool others_wait(struct pace *p, struct session *s)
{
	uint64_t from, began;

	sleep_until(s, now_ns() + DRAIN);
	began = now_ns();
	from = waited(p);
	sleep_until(s, began + LOOK);
	return (waited(p) - from) * 1000 * 100 > (now_ns() - began) * BUSY;
}

static void stand_back(struct pace *p, struct session *s)
{
	uint64_t began = now_ns();

	if (began - p->looked < SECOND)
		return;
	while (others_wait(p, s) && now_ns() - began < PATIENCE * SECOND && !session_stopped(s))
		sleep_until(s, now_ns() + SECOND / 2);
	p->looked = now_ns();
}

/* The lock is held while waiting: who comes for a turn meanwhile would have to wait as well. */
void pace_wait(struct pace *p, struct session *s, uint64_t len)
{
	uint64_t now;

	pthread_mutex_lock(&p->lock);
	if (p->pressure >= 0)
		stand_back(p, s);
	if (p->rate) {
		now = now_ns();
		if (p->next + BURST < now)
			p->next = now - BURST;
		sleep_until(s, p->next);
		p->next += (uint64_t)((double)len * SECOND / (double)p->rate);
	}
	pthread_mutex_unlock(&p->lock);
}
