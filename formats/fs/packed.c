/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/fs/packed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/fs.h"
#include "vdiskck/core/cache.h"
#include "vdiskck/core/inflate.h"

enum { CACHED = 8 /* unpacked units that stay for readers of small pieces */ };

struct packed {
	struct packed_new how;
	struct cache *units;
};

static uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Bytes of unit @n that lie in the file and are not zeros by themselves. */
static size_t unit_len(const struct packed *p, uint64_t n)
{
	uint64_t off = n * p->how.unit, end = min64(p->how.size, p->how.valid);

	return off < end ? (size_t)min64(p->how.unit, end - off) : 0;
}

/* Unpack unit @n, of @len bytes, to @out; @bad counts from @out. */
static int unpack(const struct packed *p, const struct packed_unit *u, uint8_t *out, size_t len,
		  struct ranges *bad)
{
	struct ranges in_bad = {0};
	void *in = scratch_take(u->len ? (size_t)u->len : 1);
	int r = -ENOMEM;

	if (!in)
		goto out;
	r = layer_read_as(p->how.stored, u->at, in, (size_t)u->len, 0, &in_bad);
	if (!r)
		r = ranges_flatten(&in_bad);
	if (!r)
		r = p->how.ops->unpack(p->how.arg, in, (size_t)u->len, &in_bad, out, len, bad);
out:
	scratch_give(in);
	ranges_free(&in_bad);
	return r;
}

static int fill_unit(void *arg, struct cache_item *it)
{
	struct packed *p = arg;
	struct packed_unit u;
	int r = p->how.ops->unit(p->how.arg, p->how.stored, it->key, &u);

	return r ? r : unpack(p, &u, it->buf, unit_len(p, it->key), &it->bad);
}

/* Bytes [from, from + n) of the unit, through the cache. */
static int read_part(struct packed *p, uint64_t unit, size_t from, uint8_t *out, size_t n,
		     struct ranges *bad)
{
	const struct cache_item *it;
	uint64_t base = unit * p->how.unit;
	int r = cache_get(p->units, unit, 0, &it);

	if (r)
		return r;
	memcpy(out, it->buf + from, n);
	for (size_t i = 0; !r && i < it->bad.n; i++) {
		const struct range *b = &it->bad.v[i];
		uint64_t lo = b->off > from ? b->off : from;
		uint64_t hi = min64(b->off + b->len, from + n);

		if (lo < hi)
			r = ranges_add(bad, base + lo, hi - lo, b->grade, b->why);
	}
	cache_put(p->units, it);
	return r;
}

/* @n bytes at @off, which lie in one unit and before what is zero. */
static int read_unit(struct packed *p, uint64_t off, uint8_t *out, size_t n, struct ranges *bad)
{
	uint64_t unit = off / p->how.unit;
	size_t from = (size_t)(off % p->how.unit);
	struct ranges own = {0};
	struct packed_unit u;
	int r = p->how.ops->unit(p->how.arg, p->how.stored, unit, &u);

	if (r)
		return r;
	switch (u.kind) {
	case PACKED_RAW: return layer_read_as(p->how.stored, u.at + from, out, n, off, bad);
	case PACKED_UNIT:
		if (from || n != unit_len(p, unit))
			return read_part(p, unit, from, out, n, bad);
		r = unpack(p, &u, out, n, &own);
		ranges_shift(&own, 0, 0, off);
		if (!r && bad)
			r = ranges_append(bad, &own);
		ranges_free(&own);
		return r;
	case PACKED_ZERO: memset(out, 0, n); return 0;
	case PACKED_LOST: break;
	}
	memset(out, 0, n);
	return ranges_add(bad, off, n, GRADE_LOST, u.why);
}

static int packed_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	struct packed *p = l->priv;
	uint8_t *out = buf;
	int r = 0;

	while (!r && len) {
		uint64_t unit = off / p->how.unit;
		size_t from = (size_t)(off % p->how.unit), have = unit_len(p, unit), n;

		if (from >= have) { /* all behind is zero, too */
			memset(out, 0, len);
			break;
		}
		n = (size_t)min64(len, have - from);
		r = read_unit(p, off, out, n, bad);
		off += n;
		out += n;
		len -= n;
	}
	return r;
}

/* Unit @u as it is stored: an extent of the volume when it lies there in one piece. */
static int map_packed(const struct packed *p, const struct packed_unit *u, uint64_t n,
		      struct extent *run)
{
	struct extent in;
	int r = layer_map(p->how.stored, u->at, &in);

	run->off = n * p->how.unit;
	run->len = unit_len(p, n);
	run->kind = EXTENT_DATA;
	run->packed = u->len;
	run->in = p->how.stored;
	run->at = u->at;
	if (!r && in.kind == EXTENT_LOST && in.len >= u->len) {
		run->kind = EXTENT_LOST;
		run->why = in.why;
		run->packed = 0;
	} else if (!r && in.kind == EXTENT_DATA && !in.packed && in.len >= u->len) {
		run->in = in.in;
		run->at = in.at;
	}
	return r;
}

static int map_raw(const struct packed *p, uint64_t at, struct extent *run)
{
	struct extent in;
	int r = layer_map(p->how.stored, at, &in);

	if (r)
		return r;
	run->kind = in.kind;
	run->why = in.why;
	run->in = in.in;
	run->at = in.at;
	run->len = min64(run->len, in.len);
	return 0;
}

static int packed_map(struct layer *l, uint64_t off, struct extent *run)
{
	struct packed *p = l->priv;
	uint64_t unit = off / p->how.unit, from = off % p->how.unit;
	size_t have = unit_len(p, unit);
	struct packed_unit u;
	int r;

	run->kind = EXTENT_ZERO;
	run->len = l->size - off;
	if (from >= have)
		return 0;
	run->len = have - from;
	r = p->how.ops->unit(p->how.arg, p->how.stored, unit, &u);
	if (r || u.kind == PACKED_ZERO)
		return r;
	if (u.kind == PACKED_UNIT)
		return map_packed(p, &u, unit, run);
	if (u.kind == PACKED_RAW)
		return map_raw(p, u.at + from, run);
	run->kind = EXTENT_LOST;
	run->why = u.why;
	return 0;
}

static void packed_close(struct layer *l)
{
	struct packed *p = l->priv;

	cache_free(p->units);
	p->how.ops->free(p->how.arg);
	layer_free(p->how.stored);
	free(p);
}

static const struct layer_ops packed_ops = {
	.name = "file",
	.kind = LAYER_FILE,
	.read = packed_read,
	.map = packed_map,
	.close = packed_close,
};

int packed_file_new(struct layer *fs, const char *path, const struct packed_new *how,
		    struct layer **file)
{
	struct packed *p = malloc(sizeof(*p));

	*file = NULL;
	if (p) {
		p->how = *how;
		p->units = cache_new(how->unit, CACHED, fill_unit, p);
	}
	if (p && p->units)
		*file = layer_file_new(&packed_ops, fs, path);
	if (!*file) {
		if (p)
			cache_free(p->units);
		free(p);
		how->ops->free(how->arg);
		layer_free(how->stored);
		return -ENOMEM;
	}
	(*file)->priv = p;
	(*file)->size = how->size;
	return 0;
}
