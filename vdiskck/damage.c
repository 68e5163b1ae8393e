/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/damage.h"

#include <errno.h>
#include <string.h>

#include "formats/stack.h"

/* Is @l an ancestor of @disk in its chain? */
static bool is_ancestor(const struct layer *l, const struct layer *disk)
{
	for (disk = disk->parent; disk; disk = disk->parent)
		if (disk == l)
			return true;
	return false;
}

/* One range of a layer on the disk, in the disk's addresses; what leads elsewhere is left out. */
static int follow_down(struct layer *l, struct layer *disk, const struct range *r,
		       struct ranges *to)
{
	uint64_t off = r->off, end = r->off + r->len;
	int err = 0;

	while (!err && off < end && off < l->size) {
		uint64_t at = off, len = end - off;
		struct layer *in = l;

		if (session_stopped(l->s))
			return -EINTR;
		while (in != disk) {
			struct extent run;

			err = layer_map(in, at, &run);
			if (err)
				return err;
			/* Bytes of the run from @at on; a packed run begins before it. */
			if (len > run.off + run.len - at)
				len = run.off + run.len - at;
			if (run.kind != EXTENT_DATA || run.packed || run.in == in)
				break;
			in = run.in;
			at = run.at;
		}
		if (in == disk)
			err = ranges_add(to, at, len, r->grade, r->why);
		off += len ? len : 1;
	}
	return err;
}

/* Add what @bad (sorted) says of [at, at + len) of an ancestor, which is [off, ...) of the disk. */
static int add_common(const struct ranges *bad, uint64_t at, uint64_t len, uint64_t off,
		      struct ranges *to)
{
	int err = 0;

	for (size_t i = ranges_find(bad, at); !err && i < bad->n; i++) {
		const struct range *r = &bad->v[i];
		uint64_t from = r->off > at ? r->off : at, end = r->off + r->len;

		if (from >= at + len)
			break;
		if (end > at + len)
			end = at + len;
		/* Ranges of several reasons may overlap: one may end before @at. */
		if (end > from)
			err = ranges_add(to, off + (from - at), end - from, r->grade, r->why);
	}
	return err;
}

/* Every run of the disk that lies in an ancestor: what do findings say of it there? */
static int follow_up(struct collect *c, struct layer *disk, struct ranges *to)
{
	uint64_t off = 0;
	int err = 0;

	while (!err && off < disk->size) {
		struct layer *in = disk;
		uint64_t at = off, len = disk->size - off;

		if (session_stopped(disk->s))
			return -EINTR;
		for (;;) {
			const struct ranges *bad = in == disk ? NULL : collect_lost(c, in->path);
			struct extent run;

			err = layer_map(in, at, &run);
			if (err)
				return err;
			if (len > run.off + run.len - at)
				len = run.off + run.len - at;
			if (bad)
				err = add_common(bad, at, len, off, to);
			if (err || run.kind != EXTENT_DATA || run.packed ||
			    !is_ancestor(run.in, disk))
				break;
			in = run.in;
			at = run.at;
		}
		off += len ? len : 1;
	}
	return err;
}

int damage_on_disk(struct collect *c, struct layer *source, struct layer *disk, struct ranges *to)
{
	bool above = false;
	int err = 0;

	for (size_t i = 0; i < c->n_lost && !err; i++) {
		struct layer *l = stack_find(source, c->lost[i].layer);
		struct ranges *r = &c->lost[i].r;

		/* A layer that could not be opened says nothing about where it lies. */
		if (!l || l->state)
			continue;
		ranges_sort(r);
		if (is_ancestor(l, disk)) {
			above = true;
			continue;
		}
		for (size_t k = 0; k < r->n && !err; k++)
			err = follow_down(l, disk, &r->v[k], to);
	}
	return !err && above ? follow_up(c, disk, to) : err;
}
