/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots of the device-mapper: a volume that holds the chunks which changed since, old or new,
 * and lists of where they are. Source: kernel, Documentation/admin-guide/device-mapper/snapshot.rst
 * and what it writes: a header in chunk 0, then by turns a chunk of the list and the data for it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/part/lvm2.h"
#include "vdiskck/core/session.h"

#define SNAP_MAGIC 0x70416e53u /* "SnAp" */

enum {
	EXCEPTIONS_MAX = 1 << 24, /* 256 MiB of them */
	CHUNK_MAX = 1 << 20,	  /* bytes */
};

struct header {
	le32_t magic, valid, version, chunk; /* sectors */
};

struct disk_exception {
	le64_t old, new; /* chunks; new 0: the list ends */
};

struct exception {
	uint64_t old, new;
};

struct lvm_snapshot {
	uint64_t chunk; /* bytes */
	struct exception *v;
	size_t n;
	bool bad;
};

static int by_old(const void *a, const void *b)
{
	const struct exception *x = a, *y = b;

	return (x->old > y->old) - (x->old < y->old);
}

static int add(struct lvm_snapshot *s, uint64_t old, uint64_t new, size_t *cap)
{
	if (s->n == *cap) {
		size_t more = *cap ? 2 * *cap : 1024;
		struct exception *v = realloc(s->v, more * sizeof(*v));

		if (!v)
			return -ENOMEM;
		s->v = v;
		*cap = more;
	}
	s->v[s->n++] = (struct exception){old, new};
	return 0;
}

/* All lists. A part that can't be read leaves us without what it would have said. */
static int load(struct lvm *g, struct lvm_lv *lv, struct lvm_snapshot *s)
{
	uint64_t per = s->chunk / sizeof(struct disk_exception), chunks = lv->size / s->chunk;
	struct disk_exception *list = malloc((size_t)s->chunk);
	size_t cap = 0;
	bool end = false;
	int r = list ? 0 : -ENOMEM;

	for (uint64_t at = 1; at < chunks && !r && !end; at += per + 1) {
		struct ranges bad = {0};

		r = lvm_read(g, lv, at * s->chunk, list, (size_t)s->chunk, &bad);
		s->bad = s->bad || bad.n;
		ranges_free(&bad);
		for (uint64_t i = 0; i < per && !r && !end; i++) {
			end = !le64(list[i].new) || s->n >= EXCEPTIONS_MAX;
			if (end)
				break;
			if (le64(list[i].new) >= chunks)
				s->bad = true;
			r = add(s, le64(list[i].old), le64(list[i].new), &cap);
		}
	}
	if (s->n)
		qsort(s->v, s->n, sizeof(*s->v), by_old);
	free(list);
	return r;
}

int lvm_snapshot_open(struct lvm *g, struct lvm_lv *lv)
{
	struct lvm_snapshot *s = calloc(1, sizeof(*s));
	struct ranges bad = {0};
	struct header h;
	uint64_t chunk;
	int r;

	if (!s)
		return -ENOMEM;
	lv->snapshot = s;
	r = lvm_read(g, lv, 0, &h, sizeof(h), &bad);
	chunk = (uint64_t)le32(h.chunk) * LVM_SECTOR;
	if (bad.n || le32(h.magic) != SNAP_MAGIC || !le32(h.valid) || le32(h.version) != 1 ||
	    chunk < LVM_SECTOR || chunk > CHUNK_MAX || chunk & (chunk - 1))
		s->bad = true;
	else if (!r)
		s->chunk = chunk;
	ranges_free(&bad);
	if (!r && s->chunk)
		r = load(g, lv, s);
	if (!r && s->bad)
		finding(g->l, LVM2_SNAPSHOT_BAD, 0, 0, "snapshot %s: %s", lv->name,
			!s->chunk ? "its header is lost, or says that it is not valid"
				  : "parts of its lists of chunks are lost or can't be true");
	return r;
}

static const struct exception *find(const struct lvm_snapshot *s, uint64_t old)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->v[mid].old < old)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->n ? &s->v[lo] : NULL;
}

int lvm_snapshot_map(struct lvm *g, const struct lvm_lv *lv, uint64_t off, struct extent *run,
		     unsigned depth)
{
	const struct lvm_snapshot *s = lv->snapshot;
	const struct exception *e;
	struct extent sub;
	uint64_t asked = run->off;
	int r;

	if (!s || !s->chunk || depth > LVM_DEPTH) {
		run->kind = EXTENT_LOST;
		run->why = LVM2_SNAPSHOT_BAD;
		return 0;
	}
	e = find(s, off / s->chunk);
	if (e && e->old == off / s->chunk) {
		if (run->len > s->chunk - off % s->chunk)
			run->len = s->chunk - off % s->chunk;
		sub = *run;
		sub.kind = EXTENT_LOST;
		sub.why = LVM2_SNAPSHOT_BAD;
		r = e->new < lv->size / s->chunk
			    ? lvm_map_own(g, lv, e->new * s->chunk + off % s->chunk, &sub,
					  depth + 1)
			    : 0;
	} else {
		/* Up to the next chunk that changed, it is what the origin is. */
		if (e && e->old <= (off + run->len) / s->chunk &&
		    run->len > e->old * s->chunk - off)
			run->len = e->old * s->chunk - off;
		sub = *run;
		r = lvm_map(g, lv->origin, off, &sub, depth + 1);
	}
	if (sub.len > run->len)
		sub.len = run->len;
	*run = sub;
	run->off = asked;
	return r;
}

void lvm_snapshot_close(struct lvm_snapshot *s)
{
	if (s)
		free(s->v);
	free(s);
}
