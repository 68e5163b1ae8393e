/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies beside a damage, and when it was written last: a write that went astray, was torn or
 * never arrived is as old as its neighbours, if it was one of theirs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/fs.h"
#include "formats/stack.h"
#include "vdiskck/causes.h"

enum { BESIDE = 64 << 10 }; /* bytes on either side */

struct near {
	struct causes *c;
	struct run *r;
	struct layer *fs;
	uint64_t *from, *to; /* of each cause in @fs; both 0: it does not lie there */
	struct ranges where;
	int err;
};

/* The bytes of the finding behind a cause, as the file system counts them. */
static bool place_in(const struct run *r, const struct cause *c, const struct layer *fs,
		     uint64_t *off, uint64_t *len)
{
	const struct entry *e = NULL;

	for (size_t i = 0; i < r->found.n && !e; i++)
		if (r->found.v[i].number == c->number)
			e = &r->found.v[i];
	/* A file system lies byte for byte on the layer below it. */
	for (size_t i = 0; e && i < e->n_where; i++)
		if (!strcmp(e->where[i].layer, fs->path) ||
		    !strcmp(e->where[i].layer, fs->below->path)) {
			*off = e->where[i].off;
			*len = e->where[i].len;
			return *len && *off < fs->size && *len <= fs->size - *off;
		}
	return false;
}

static int on_owner(void *arg, const struct fs_owner *o)
{
	struct near *n = arg;

	if (session_stopped(&n->r->s))
		return -EINTR;
	if (!o->file || o->file->deleted || o->file->system || !o->file->modified.set)
		return 0;
	for (size_t i = 0; i < n->c->n; i++) {
		struct cause *k = &n->c->v[i];
		char *path;

		if (o->off >= n->to[i] || n->from[i] >= o->off + o->len ||
		    (k->path && !strcmp(k->path, o->file->path)) ||
		    (k->beside && k->beside_written >= o->file->modified.sec))
			continue;
		path = strdup(o->file->path);
		if (!path)
			return -ENOMEM;
		free(k->beside);
		k->beside = path;
		k->beside_written = o->file->modified.sec;
	}
	return 0;
}

static int look(void *arg, struct layer *l)
{
	struct near *n = arg;
	uint64_t off, len;

	if (l->ops->kind != LAYER_FILESYSTEM || l->state || !l->ops->fs || !l->ops->fs->owners)
		return 0;
	n->fs = l;
	for (size_t i = 0; i < n->c->n; i++) {
		uint64_t from, to;

		n->from[i] = n->to[i] = 0;
		if (!place_in(n->r, &n->c->v[i], l, &off, &len))
			continue;
		from = off > BESIDE ? off - BESIDE : 0;
		to = l->size - off - len > BESIDE ? off + len + BESIDE : l->size;
		n->from[i] = from;
		n->to[i] = to;
		if (ranges_add(&n->where, from, to - from, GRADE_DOUBTFUL, n->c->v[i].id))
			return -ENOMEM;
	}
	if (!n->where.n)
		return 0;
	ranges_flatten(&n->where);
	n->err = l->ops->fs->owners(l, &n->where, on_owner, n);
	ranges_free(&n->where);
	n->where = (struct ranges){0};
	/* What can't be walked has a finding. */
	return n->err == -EINTR || n->err == -ENOMEM ? n->err : 0;
}

int causes_near(struct causes *c, struct run *r)
{
	struct near n = {.c = c, .r = r};
	int err = -ENOMEM;

	if (!c->n)
		return 0;
	n.from = calloc(c->n, sizeof(*n.from));
	n.to = calloc(c->n, sizeof(*n.to));
	if (n.from && n.to)
		err = stack_walk(r->source, look, &n);
	ranges_free(&n.where);
	free(n.from);
	free(n.to);
	return err;
}
