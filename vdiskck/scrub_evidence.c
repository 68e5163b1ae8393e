/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where nobody kept account of writes, the volume may: a file has the time when it was last written
 * to. That is no proof, for some programs and some mounts leave times alone; but a sector that
 * changed in a file which says that nobody wrote to it is more than a question.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/fs.h"
#include "recover/impact.h"
#include "vdiskck/scrub.h"

/* The clocks of guest and host may differ, and some file systems keep local time. */
enum { SLACK = 86400 };

struct asking {
	struct scrub *s;
	struct layer *fs;
};

static int by_index(const void *key, const void *member)
{
	const uint64_t *index = key;
	const struct scrub_leaf *d = member;

	return *index < d->index ? -1 : *index > d->index;
}

/* Newest first counts: who wrote last explains most. */
static void heed(struct scrub_leaf *d, const struct fs_owner *o)
{
	const struct fs_entry *e = o->file;
	int64_t when;

	if (o->kind != OWNER_FILE || !e || e->deleted || e->system || !e->modified.set) {
		d->unknown = true;
		return;
	}
	when = e->modified.sec;
	if (e->changed.set && e->changed.sec > when)
		when = e->changed.sec;
	if (d->path && when <= d->written)
		return;
	free(d->path);
	d->path = strdup(e->path);
	d->written = when;
}

/* @n bytes of the sealed layer from @off on have this owner. */
static void each_leaf(struct scrub *s, uint64_t off, uint64_t n, const struct fs_owner *o)
{
	for (uint64_t i = off / SEAL_LEAF; i <= (off + n - 1) / SEAL_LEAF; i++) {
		struct scrub_leaf *d = bsearch(&i, s->v, s->n, sizeof(*d), by_index);

		if (d)
			heed(d, o);
	}
}

/* A piece of the volume, down to the sealed layer. */
static int on_owner(void *arg, const struct fs_owner *o)
{
	struct asking *a = arg;
	uint64_t at = o->off, end = o->off + o->len;

	while (at < end) {
		struct where w[WHERE_MAX];
		size_t n = layer_where(a->fs, at, end - at, w, WHERE_MAX);
		uint64_t len = n ? w[n - 1].len : 0;

		for (size_t i = 0; i < n; i++)
			if (w[i].l == a->s->l && w[i].len)
				each_leaf(a->s, w[i].off, w[i].len, o);
		at += len ? len : 1;
		if (session_stopped(a->s->l->s))
			return -EINTR;
	}
	return 0;
}

static int changed(const struct scrub *s, struct ranges *to)
{
	int r = 0;

	for (size_t i = 0; i < s->n && !r; i++)
		for (unsigned k = 0; k < SEAL_SECTORS && !r; k++) {
			uint64_t off = s->v[i].index * SEAL_LEAF + k * SEAL_SECTOR;

			if (s->v[i].sectors >> k & 1 && off < s->l->size)
				r = ranges_add(to, off,
					       s->l->size - off < SEAL_SECTOR ? s->l->size - off
									      : SEAL_SECTOR,
					       GRADE_DOUBTFUL, SCRUB_CHANGED);
		}
	return r;
}

int scrub_evidence(struct scrub *s)
{
	struct impact im = {0};
	struct ranges all = {0};
	int r;

	if (s->still || s->track.by || s->accept || !s->n)
		return 0;
	r = changed(s, &all);
	if (!r)
		r = impact_seed(&im, s->l, &all);
	if (!r)
		r = impact_run(&im, s->r->source);
	for (size_t i = 0; i < im.n && !r; i++) {
		const struct impact_layer *il = &im.v[i];
		struct asking a = {s, il->l};

		if (il->l->ops->fs && il->l->ops->fs->owners && !il->l->state && il->hit.n)
			r = il->l->ops->fs->owners(il->l, &il->hit, on_owner, &a);
	}
	impact_free(&im);
	ranges_free(&all);
	return r;
}

bool scrub_unwritten(const struct scrub_leaf *d)
{
	return d->path && !d->unknown && d->written < d->good - SLACK;
}
