/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/sealing.h"

#include <errno.h>
#include <stdio.h>

#include "vdiskck/core/source.h"
#include "vdiskck/image_id.h"
#include "vdiskck/seal_make.h"

void sealing_init(struct sealing *to, struct layer *l, int64_t made)
{
	struct layer *source = layer_source(l);

	*to = (struct sealing){.l = l,
			       .head = {.size = l->size, .made = made},
			       .g = {.made = made, .image_size = source->size},
			       .end = UINT64_MAX};
	snprintf(to->head.layer, sizeof(to->head.layer), "%s", l->path);
	snprintf(to->head.file, sizeof(to->head.file), "%s", source->path);
	image_id(l, to->head.id);
	source_mtime_ns(source, &to->g.image_mtime);
}

static int put(void *arg, uint64_t index, uint64_t n, enum seal_kind kind,
	       const struct seal_leaf *leaf)
{
	struct sealing *to = arg;
	int r = kind == SEAL_DATA ? seal_put(to->w, kind, leaf) : seal_put_run(to->w, kind, n);

	(void)index;
	return r ? r : seal_checkpoint(to->w, &to->head, &to->g);
}

int sealing_run(struct sealing *to)
{
	struct seal_reading rd = {.l = to->l,
				  .first = to->next,
				  .leaves = to->end - to->next,
				  .what = "sealing",
				  .fn = put,
				  .arg = to};
	int r = to->next < to->end ? seal_read_leaves(&rd) : 0, kept;

	if (r == -EINTR) {
		kept = seal_keep(to->w, &to->head, &to->g);
		r = kept ? kept : r;
	} else if (r) {
		seal_drop(to->w);
	} else {
		r = seal_commit(to->w, &to->g);
	}
	to->w = NULL;
	return r;
}
