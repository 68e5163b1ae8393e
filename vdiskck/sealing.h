/* SPDX-License-Identifier: Apache-2.0 */
/* Making a generation, or the shard of one, so that it can be stopped or killed and gone on with. */
#ifndef VDISKCK_SEALING_H
#define VDISKCK_SEALING_H

#include "vdiskck/seal.h"

struct sealing {
	struct layer *l;
	struct seal_head head;
	struct seal_generation g;
	struct seal_writer *w;
	uint64_t next, end; /* leaves to be put; @end: bounded to the layer */
};

/* sealing_init() - of all of @l at the time @made; no writer yet */
void sealing_init(struct sealing *to, struct layer *l, int64_t made);
/*
 * sealing_run() - read, put and commit, from @next on; the writer is gone then
 * Returns 0; -EINTR: stopped, and what was done is kept for seal_resume(); or -errno, nothing is left.
 */
int sealing_run(struct sealing *to);

#endif
