/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/job.h"

#include <errno.h>
#include <unistd.h>

#include "vdiskck/lock.h"

int job_begin(struct job *j, struct run *r)
{
	const struct args *a = r->a;

	j->lock = -1;
	pace_init(&j->pace, a->rate, a->background);
	if (a->rate || a->background)
		r->s.pace = &j->pace;
	if (!a->lock)
		return 0;
	j->lock = lock_wait(&r->s, a->lock);
	if (j->lock == -EINTR)
		return run_fail(r, 0, "%s: stopped while waiting for the lock", a->lock), -EINTR;
	return j->lock < 0 ? run_fail(r, j->lock, "%s", a->lock) : 0;
}

void job_end(struct job *j)
{
	pace_fini(&j->pace);
	if (j->lock >= 0)
		close(j->lock);
}
