/* SPDX-License-Identifier: Apache-2.0 */
/* The step of a LUKS2 reencryption that was cut short: old and new blocks side by side. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/luks.h"
#include "crypto/unit.h"
#include "vdiskck/core/session.h"

/* What a block of the zone is. */
enum state { OLD, NEW, UNSURE };

uint32_t luks_hot_unit(const struct luks *u)
{
	const struct luks_segment *g = &u->segment[u->hot.segment];
	uint32_t unit = g->sector;

	if (u->hot.previous.sector > unit)
		unit = u->hot.previous.sector;
	if (u->hot.how == LUKS_HOT_CHECKSUM && u->hot.block > unit)
		unit = u->hot.block;
	/* A zone that is no multiple of it can't be: then by its own sectors. */
	return g->len % unit || g->start % unit ? g->sector : unit;
}

/* Was the block at @in of the zone, whose bytes are @p now, rewritten already? */
static int state_of(const struct luks *u, uint64_t in, const uint8_t *p, enum state *s)
{
	const struct luks_hot *h = &u->hot;
	size_t n = prim_hash_len((enum prim_hash)h->hash);
	uint8_t sum[PRIM_HASH_MAX], now[PRIM_HASH_MAX];
	struct ranges bad = {0};
	int r;

	*s = UNSURE;
	if (!range_inside(in / h->block * n, n, h->len))
		return 0;
	r = layer_read(u->meta, h->off + in / h->block * n, sum, n, &bad);
	if (!r && !bad.n) {
		prim_hash((enum prim_hash)h->hash, p, h->block, now);
		*s = memcmp(sum, now, n) ? NEW : OLD;
	}
	ranges_free(&bad);
	return r;
}

uint64_t luks_hot_at(const struct luks *u, uint64_t in)
{
	const struct luks_hot *h = &u->hot;
	const struct luks_segment *g = &u->segment[h->segment];
	uint64_t at = g->off, shifted;
	bool lost = false;

	if (h->how == LUKS_HOT_SHIFT && !g->start && h->moved.id != UINT_MAX) {
		at = h->moved.off;
		lost = in >= h->moved.len;
	} else if (h->how == LUKS_HOT_SHIFT) {
		lost = h->backward ? __builtin_sub_overflow(at, h->shift, &shifted)
				   : __builtin_add_overflow(at, h->shift, &shifted);
		at = shifted;
	}
	return lost || __builtin_add_overflow(at, in, &at) ? UINT64_MAX : at;
}

/* Bytes at @in of the zone, in place: as @g, the new segment or the one before, has them. */
static int decrypt(const struct luks *u, const struct luks_segment *g, uint64_t in, uint8_t *p,
		   size_t len)
{
	/* Wherever it lay, the segment before counted its sectors as the volume does. */
	uint64_t at = g == &u->hot.previous ? u->segment[u->hot.segment].start + in : in;

	if (g->kind == LUKS_LINEAR)
		return 0;
	if (!g->c || at % g->sector || len % g->sector)
		return -ENOKEY;
	return sector_decrypt(g->c, g->iv_tweak * 512 + at, p, len);
}

/* One unit, or a piece of the zone that is read by its own sectors. */
static int read_unit(struct layer *l, uint64_t off, uint8_t *p, size_t len, struct ranges *bad)
{
	const struct luks *u = l->priv;
	const struct luks_hot *h = &u->hot;
	const struct luks_segment *g = &u->segment[h->segment];
	uint64_t in = off - g->start;
	size_t from = bad ? bad->n : 0;
	enum state s = UNSURE;
	int r;

	if (h->how == LUKS_HOT_JOURNAL && range_inside(in, len, h->len)) {
		s = OLD;
		r = layer_read_as(u->meta, h->off + in, p, len, off, bad);
	} else {
		s = h->how == LUKS_HOT_SHIFT ? OLD : UNSURE;
		r = layer_read_as(l->below, luks_hot_at(u, in), p, len, off, bad);
	}
	if (!r && h->how == LUKS_HOT_CHECKSUM && len % h->block == 0)
		r = state_of(u, in, p, &s);
	if (!r && s == OLD && h->previous.id == UINT_MAX)
		s = UNSURE;
	if (!r)
		r = decrypt(u, s == OLD ? &h->previous : g, in, p, len);
	if (r == -ENOKEY) {
		memset(p, 0, len);
		return ranges_add(bad, off, len, GRADE_LOST, LAYER_LOCKED);
	}
	unit_blank(bad, from, off, p, len, PRIM_BLOCK, 0, g->sector);
	if (!r && s == UNSURE)
		r = ranges_add(bad, off, len, GRADE_DOUBTFUL, LUKS_REENCRYPTION);
	return r;
}

int luks_hot_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	size_t unit = luks_hot_unit(l->priv);
	uint8_t *p = buf;
	int r = 0;

	for (size_t n; !r && len; off += n, p += n, len -= n) {
		n = len < unit ? len : unit;
		r = read_unit(l, off, p, n, bad);
	}
	return r;
}
