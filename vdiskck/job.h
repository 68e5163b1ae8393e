/* SPDX-License-Identifier: Apache-2.0 */
/* What makes a command a good neighbour: the lock of its storage, its rate, its priority. */
#ifndef VDISKCK_JOB_H
#define VDISKCK_JOB_H

#include "vdiskck/core/pace.h"
#include "vdiskck/run.h"

struct job {
	struct pace pace;
	int lock; /* of the storage; -1: none */
};

/*
 * job_begin() - between run_init() and run_open(): --lock (waits), --rate, --background
 * 0, or -errno after run_fail(). job_end() whatever it returns.
 */
int job_begin(struct job *j, struct run *r);
void job_end(struct job *j);

#endif
