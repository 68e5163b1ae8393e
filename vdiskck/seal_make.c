/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/seal_make.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/engine.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/sum.h"

enum { PIECE = 1 << 20 };

/*
 * What a worker makes of a leaf that lies in its piece as a whole. It takes the place of the leaf's
 * first bytes there: nobody needs them any more, and so no list has to follow the piece.
 */
struct made {
	enum seal_kind kind;
	struct seal_leaf leaf;
};

struct making {
	const struct seal_reading *r;
	uint64_t end;	 /* of the bytes to read: of the layer, or of the last leaf */
	uint8_t *part;	 /* a leaf that comes in several pieces, */
	uint64_t filled; /* how much of it did, */
	bool lost;	 /* and whether any of that is lost */
};

static size_t leaf_len(const struct making *m, uint64_t off)
{
	return m->end - off < SEAL_LEAF ? (size_t)(m->end - off) : SEAL_LEAF;
}

static enum seal_kind make(uint64_t off, const uint8_t *p, size_t len, struct seal_leaf *leaf)
{
	if (all_zero(p, len))
		return SEAL_ZERO;
	seal_leaf_make(off / SEAL_LEAF, p, len, leaf);
	return SEAL_DATA;
}

/* Whole leaves of [off, end) of a piece: from, to. */
static void whole(const struct making *m, const struct piece *p, uint64_t *from, uint64_t *to)
{
	uint64_t end = p->off + p->len;

	*from = (p->off + SEAL_LEAF - 1) / SEAL_LEAF * SEAL_LEAF;
	*to = end == m->end ? end : end / SEAL_LEAF * SEAL_LEAF;
	if (*from > *to)
		*from = *to = end;
}

static int work(void *arg, struct piece *p)
{
	const struct making *m = arg;
	uint64_t from, to;

	whole(m, p, &from, &to);
	ranges_sort(&p->bad);
	for (uint64_t off = from; off < to; off += SEAL_LEAF) {
		size_t len = leaf_len(m, off);
		uint8_t *at = p->buf + (off - p->off);
		struct made made = {.kind = SEAL_LOST};

		if (len < sizeof(made)) /* the layer's last leaf: deliver() makes it */
			break;
		if (!ranges_overlap(&p->bad, off, len))
			made.kind = make(off, at, len, &made.leaf);
		memcpy(at, &made, sizeof(made));
	}
	return 0;
}

static int emit(const struct making *m, uint64_t off, uint64_t n, enum seal_kind kind,
		const struct seal_leaf *leaf)
{
	return m->r->fn(m->r->arg, off / SEAL_LEAF, n, kind, leaf);
}

/* Bytes of a leaf that does not lie in one piece. NULL: zeros. */
static int add_part(struct making *m, uint64_t off, const uint8_t *p, size_t len, bool lost)
{
	uint64_t start = off / SEAL_LEAF * SEAL_LEAF;
	struct seal_leaf leaf;
	enum seal_kind kind;
	bool was;

	if (p)
		memcpy(m->part + (off - start), p, len);
	else
		memset(m->part + (off - start), 0, len);
	m->lost |= lost;
	m->filled += len;
	if (m->filled < leaf_len(m, start))
		return 0;
	was = m->lost;
	m->filled = 0;
	m->lost = false;
	kind = was ? SEAL_LOST : make(start, m->part, leaf_len(m, start), &leaf);
	return emit(m, start, 1, kind, kind == SEAL_DATA ? &leaf : NULL);
}

/* Pieces that are no multiple of a leaf: up to @to, leaf by leaf. */
static int add_parts(struct making *m, const struct piece *p, uint64_t from, uint64_t to)
{
	int r = 0;

	while (from < to && !r) {
		uint64_t next = (from / SEAL_LEAF + 1) * SEAL_LEAF;
		size_t len = (size_t)((next < to ? next : to) - from);
		bool lost = p->kind == EXTENT_LOST || ranges_overlap(&p->bad, from, len);

		r = add_part(m, from, p->kind == EXTENT_DATA ? p->buf + (from - p->off) : NULL, len,
			     lost);
		from += len;
	}
	return r;
}

static int deliver(void *arg, struct piece *p)
{
	struct making *m = arg;
	uint64_t from, to, end = p->off + p->len;
	int r = m->r->bad ? ranges_append(m->r->bad, &p->bad) : 0;

	whole(m, p, &from, &to);
	if (!r)
		r = add_parts(m, p, p->off, from < end ? from : end);
	if (!r && p->kind != EXTENT_DATA && to > from)
		r = emit(m, from, (to - from + SEAL_LEAF - 1) / SEAL_LEAF,
			 p->kind == EXTENT_ZERO ? SEAL_ZERO : SEAL_LOST, NULL);
	for (uint64_t off = from; p->kind == EXTENT_DATA && off < to && !r; off += SEAL_LEAF) {
		struct made made;

		if (leaf_len(m, off) < sizeof(made)) {
			r = add_parts(m, p, off, to);
			continue;
		}
		memcpy(&made, p->buf + (off - p->off), sizeof(made));
		r = emit(m, off, 1, made.kind, made.kind == SEAL_DATA ? &made.leaf : NULL);
	}
	if (!r && to < end)
		r = add_parts(m, p, to, end);
	return r;
}

int seal_read_leaves(const struct seal_reading *rd)
{
	uint64_t all = rd->l->size / SEAL_LEAF + (rd->l->size % SEAL_LEAF != 0);
	uint64_t n = rd->first < all && rd->leaves < all - rd->first ? rd->leaves : all - rd->first;
	struct making m = {.r = rd, .part = malloc(SEAL_LEAF)};
	struct engine e = {.l = rd->l,
			   .off = rd->first * SEAL_LEAF,
			   .order = ENGINE_IN_ORDER,
			   .piece = PIECE,
			   .what = rd->what,
			   .work = work,
			   .deliver = deliver,
			   .arg = &m};
	int r;

	if (!m.part)
		return -ENOMEM;
	m.end = rd->first + n == all ? rd->l->size : (rd->first + n) * SEAL_LEAF;
	e.len = m.end - e.off;
	r = e.len ? engine_run(&e) : 0;
	free(m.part);
	return r;
}
