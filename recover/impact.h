/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From bytes below to what rests on them: a bad sector to the disk address that it held, a
 * cluster to every snapshot that shares it.
 *
 * The maps of the layers only lead down. To go up, each layer's map is walked once and its runs
 * are intersected with a sorted list of ranges: the cost is the number of runs, whatever the
 * number of ranges, and nothing is kept but what was hit.
 */
#ifndef VDISKCK_RECOVER_IMPACT_H
#define VDISKCK_RECOVER_IMPACT_H

#include "vdiskck/core/layer.h"

/* What of one layer rests on the seeds. */
struct impact_layer {
	struct layer *l;
	struct ranges hit;  /* in the layer's addresses; flat after impact_run() */
	struct ranges upon; /* the part of @hit that some layer above presents again; flat */
};

struct impact {
	struct impact_layer *v;
	size_t n;
};

/* impact_seed() - start from all ranges of @r in layer @l; may be called for several layers */
int impact_seed(struct impact *im, struct layer *l, const struct ranges *r);
/*
 * impact_run() - carry all seeds up, through every layer of the stack on @source
 * What is hit keeps the grade and the reason of its seed. Returns 0, -EINTR when stopped,
 * -ENOMEM, or the error of a map.
 */
int impact_run(struct impact *im, struct layer *source);
/* impact_of() - what was hit in @l; NULL: nothing */
const struct ranges *impact_of(const struct impact *im, const struct layer *l);
/* impact_top() - the hit ranges of a layer that nothing above presents: where a path ends */
int impact_top(const struct impact_layer *il, struct ranges *top);
void impact_free(struct impact *im);

#endif
