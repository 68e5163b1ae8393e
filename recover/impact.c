/* SPDX-License-Identifier: Apache-2.0 */
#include "recover/impact.h"

#include <errno.h>
#include <stdlib.h>

#include "formats/stack.h"
#include "vdiskck/core/session.h"

static struct impact_layer *of(const struct impact *im, const struct layer *l)
{
	for (size_t i = 0; i < im->n; i++)
		if (im->v[i].l == l)
			return &im->v[i];
	return NULL;
}

static struct impact_layer *add(struct impact *im, struct layer *l)
{
	struct impact_layer *il = of(im, l), *more;

	if (il)
		return il;
	more = realloc(im->v, (im->n + 1) * sizeof(*more));
	if (!more)
		return NULL;
	im->v = more;
	im->v[im->n] = (struct impact_layer){.l = l};
	return &im->v[im->n++];
}

int impact_seed(struct impact *im, struct layer *l, const struct ranges *r)
{
	struct impact_layer *il = add(im, l);

	return il ? ranges_append(&il->hit, r) : -ENOMEM;
}

/* The run @run of a layer reads [at, at + stored) of run->in: what of that was hit? */
static int intersect(struct impact_layer *below, const struct extent *run, struct ranges *hit)
{
	uint64_t stored = run->packed ? run->packed : run->len, end = run->at + stored;
	int err = 0;

	for (size_t i = ranges_find(&below->hit, run->at); i < below->hit.n && !err; i++) {
		const struct range *h = &below->hit.v[i];
		uint64_t from = h->off > run->at ? h->off : run->at;
		uint64_t to = h->off + h->len < end ? h->off + h->len : end;

		if (h->off >= end)
			break;
		err = ranges_add(&below->upon, from, to - from, h->grade, h->why);
		if (err)
			break;
		/* Any byte of a packed run spoils all that comes out of it. */
		if (run->packed)
			err = ranges_add(hit, run->off, run->len, h->grade, h->why);
		else
			err = ranges_add(hit, run->off + (from - run->at), to - from, h->grade,
					 h->why);
	}
	return err;
}

/* One pass over the runs of @l. The layers that they lie in are sorted already. */
static int carry(struct impact *im, struct layer *l, struct ranges *hit)
{
	uint64_t off = 0;

	while (off < l->size) {
		struct impact_layer *below;
		struct extent run;
		int err = session_stopped(l->s) ? -EINTR : layer_map(l, off, &run);

		if (err)
			return err;
		below = run.kind == EXTENT_DATA ? of(im, run.in) : NULL;
		if (below && below->hit.n)
			err = intersect(below, &run, hit);
		if (err)
			return err;
		/* Packed runs may begin before @off; no run may keep us where we are. */
		off = run.off + run.len > off ? run.off + run.len : off + 1;
	}
	return 0;
}

/* stack_walk() comes by what a layer rests on before it comes by the layer. */
static int visit(void *arg, struct layer *l)
{
	struct impact *im = arg;
	struct impact_layer *il;
	struct ranges hit = {0};
	int err = 0;

	if (l->state)
		return 0;
	if (l->ops->kind != LAYER_SOURCE && im->n)
		err = carry(im, l, &hit);
	il = !err && hit.n ? add(im, l) : of(im, l);
	if (!err && hit.n)
		err = il ? ranges_append(&il->hit, &hit) : -ENOMEM;
	if (il && !err)
		err = ranges_flatten(&il->hit);
	ranges_free(&hit);
	return err;
}

int impact_run(struct impact *im, struct layer *source)
{
	int err = im->n ? stack_walk(source, visit, im) : 0;

	for (size_t i = 0; i < im->n && !err; i++)
		err = ranges_flatten(&im->v[i].upon);
	return err;
}

const struct ranges *impact_of(const struct impact *im, const struct layer *l)
{
	const struct impact_layer *il = of(im, l);

	return il && il->hit.n ? &il->hit : NULL;
}

int impact_top(const struct impact_layer *il, struct ranges *top)
{
	int err = 0;

	for (size_t i = 0; i < il->hit.n && !err; i++) {
		const struct range *h = &il->hit.v[i];
		uint64_t off = h->off, end = h->off + h->len;

		for (size_t k = ranges_find(&il->upon, off); off < end && !err; k++) {
			const struct range *u = k < il->upon.n ? &il->upon.v[k] : NULL;
			uint64_t gap = u && u->off < end ? u->off : end;

			if (gap > off)
				err = ranges_add(top, off, gap - off, h->grade, h->why);
			if (gap == end)
				break;
			if (u->off + u->len > off)
				off = u->off + u->len;
		}
	}
	return err;
}

void impact_free(struct impact *im)
{
	for (size_t i = 0; i < im->n; i++) {
		ranges_free(&im->v[i].hit);
		ranges_free(&im->v[i].upon);
	}
	free(im->v);
	*im = (struct impact){0};
}
