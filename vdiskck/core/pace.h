/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast a run may read: so many bytes a second, and not while others wait for the disk. The
 * engine asks before each piece that it reads; nobody else has to know.
 */
#ifndef VDISKCK_CORE_PACE_H
#define VDISKCK_CORE_PACE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct session;

struct pace {
	uint64_t rate; /* bytes a second; 0: as fast as can be */
	int pressure;  /* a descriptor of /proc/pressure/io; -1: don't look */
	pthread_mutex_t lock;
	uint64_t next;	 /* ns: when what was let go until now is paid for */
	uint64_t looked; /* ns: when we last looked whether others wait */
};

/*
 * pace_init() - @rate: 0 for none. @background: the lowest priorities for processor and disk, and
 * step back when others wait; what the system does not offer is gone without.
 * To be called before threads are started, and before the sandbox.
 */
void pace_init(struct pace *p, uint64_t rate, bool background);
void pace_fini(struct pace *p);
/* pace_wait() - before reading @len bytes; returns early when the session is stopped */
void pace_wait(struct pace *p, struct session *s, uint64_t len);

#endif
