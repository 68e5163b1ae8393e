/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/core/reads.h"

#include <errno.h>
#include <stdlib.h>

#include "vdiskck/core/session.h"

enum {
	RUNS_MAX = 1 << 16,  /* of what is noted, and of what it is on the disk */
	STEPS_MAX = 1 << 20, /* runs of maps that are followed: small ones gain nothing */
};

void reads_note(struct reads *r, struct layer *l, uint64_t off, uint64_t len)
{
	struct reads_run *last = r->n ? &r->v[r->n - 1] : NULL;

	if (!l)
		return;
	if (last && last->l == l && last->off + last->len == off) {
		last->len += len;
		return;
	}
	if (r->n == RUNS_MAX)
		return;
	if (r->n == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 64;
		struct reads_run *v = realloc(r->v, cap * sizeof(*v));

		if (!v)
			return;
		r->v = v;
		r->cap = cap;
	}
	r->v[r->n++] = (struct reads_run){l, off, len};
}

void reads_forget(struct reads *r, const struct layer *l)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].l == l)
			r->v[i].l = NULL;
}

/* Where byte @off of @l lies in @disk, and how much lies there together. -ENOENT: nowhere. */
static int find_in(struct layer *l, uint64_t off, uint64_t *len, struct layer *disk, uint64_t *at)
{
	*at = off;
	while (l != disk) {
		struct extent run;
		int r = layer_map(l, *at, &run);

		if (r)
			return r;
		if (!run.packed && run.len < *len)
			*len = run.len;
		if (run.kind != EXTENT_DATA || run.packed || run.in == l)
			return -ENOENT;
		l = run.in;
		*at = run.at;
		if (*at >= l->size)
			return -ENOENT;
	}
	return 0;
}

int reads_of(const struct reads *r, struct layer *disk, struct ranges *out)
{
	unsigned steps = 0;
	int err = 0;

	for (size_t i = 0; i < r->n; i++) {
		uint64_t off = r->v[i].off, end = off + r->v[i].len, at, len;

		if (!r->v[i].l)
			continue;
		for (; off < end && steps < STEPS_MAX && out->n < RUNS_MAX; off += len, steps++) {
			len = end - off;
			err = find_in(r->v[i].l, off, &len, disk, &at);
			if (!err)
				err = ranges_add(out, at, len, GRADE_LOST, FINDING_COUNT);
			else if (err == -ENOENT)
				err = 0;
			if (!err && session_stopped(disk->s))
				err = -EINTR;
			if (err)
				return err;
		}
	}
	ranges_sort(out);
	return 0;
}

void reads_free(struct reads *r)
{
	free(r->v);
	*r = (struct reads){0};
}
