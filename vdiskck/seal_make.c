/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leaves are read in the order in which their bytes lie in the image file, a window at a time, and
 * given to the caller in their own order: where that is the same, as soon as they are there.
 */
#include "vdiskck/seal_make.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/engine.h"
#include "vdiskck/core/pace.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/sum.h"

enum {
	PIECE = 1 << 20,
	WINDOW = 1 << 30,
	WINDOW_MIN = 16 << 20,
	WINDOW_SECONDS =
		4, /* that reading a window may take: what is in it is lost with the power */
};

/*
 * What a worker makes of a leaf that lies in its piece as a whole. It takes the place of the leaf's
 * first bytes there: nobody needs them any more, and so no list has to follow the piece.
 */
struct made {
	enum seal_kind kind;
	struct seal_leaf leaf;
};

/* Leaves that wait for those before them. */
struct waiting {
	uint64_t n; /* 0: none */
	struct made made;
};

struct making {
	const struct seal_reading *r;
	uint64_t end;	      /* of the bytes to read: of the layer, or of the last leaf */
	struct waiting *wait; /* leaf i at i % cap */
	uint64_t cap, next;   /* the leaf that the caller gets next */
	struct ranges bad;    /* of leaves that wait */
};

static size_t leaf_len(const struct making *m, uint64_t off)
{
	return m->end - off < SEAL_LEAF ? (size_t)(m->end - off) : SEAL_LEAF;
}

static void make(const struct making *m, const struct piece *p, uint64_t off, struct made *to)
{
	const uint8_t *at = p->buf + (off - p->off);
	size_t len = leaf_len(m, off);

	to->kind = SEAL_LOST;
	if (ranges_overlap(&p->bad, off, len))
		return;
	to->kind = all_zero(at, len) ? SEAL_ZERO : SEAL_DATA;
	if (to->kind == SEAL_DATA)
		seal_leaf_make(off / SEAL_LEAF, at, len, &to->leaf);
}

static int work(void *arg, struct piece *p)
{
	const struct making *m = arg;

	ranges_sort(&p->bad);
	for (uint64_t off = p->off; off < p->off + p->len; off += SEAL_LEAF) {
		struct made made;

		if (leaf_len(m, off) < sizeof(made)) /* the layer's last leaf: deliver() makes it */
			break;
		make(m, p, off, &made);
		memcpy(p->buf + (off - p->off), &made, sizeof(made));
	}
	return 0;
}

/* What is bad of leaves before @m->next; all of it, if nothing waits. */
static int pass_bad(struct making *m)
{
	struct ranges *bad = &m->bad;
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < bad->n && !r; i++) {
		const struct range *b = &bad->v[i];

		if (b->off >= m->next * SEAL_LEAF)
			bad->v[n++] = *b;
		else
			r = ranges_add(m->r->bad, b->off, b->len, b->grade, b->why);
	}
	bad->n = n;
	return r;
}

/* All leaves that follow those which the caller has. */
static int pass_on(struct making *m)
{
	int r = 0;

	for (;;) {
		struct waiting *w = &m->wait[m->next % m->cap];
		uint64_t first = m->next, n = w->n;

		if (!n || r)
			break;
		w->n = 0;
		m->next += n;
		if (m->bad.n)
			r = pass_bad(m);
		if (!r)
			r = m->r->fn(m->r->arg, first, n, w->made.kind,
				     w->made.kind == SEAL_DATA ? &w->made.leaf : NULL);
	}
	return r;
}

static int deliver(void *arg, struct piece *p)
{
	struct making *m = arg;
	uint64_t end = p->off + p->len;
	int r = m->r->bad ? ranges_append(&m->bad, &p->bad) : 0;

	if (p->kind != EXTENT_DATA)
		m->wait[p->off / SEAL_LEAF % m->cap] = (struct waiting){
			.n = (p->len + SEAL_LEAF - 1) / SEAL_LEAF,
			.made.kind = p->kind == EXTENT_ZERO ? SEAL_ZERO : SEAL_LOST};
	for (uint64_t off = p->off; p->kind == EXTENT_DATA && off < end; off += SEAL_LEAF) {
		struct waiting *w = &m->wait[off / SEAL_LEAF % m->cap];

		w->n = 1;
		if (leaf_len(m, off) < sizeof(w->made))
			make(m, p, off, &w->made);
		else
			memcpy(&w->made, p->buf + (off - p->off), sizeof(w->made));
	}
	return r ? r : pass_on(m);
}

/* How much is read out of order: with a slow pace less, for that is what a crash may cost. */
static uint64_t window(const struct session *s)
{
	uint64_t rate = s->pace ? s->pace->rate : 0, w = WINDOW;

	if (rate && rate < WINDOW / WINDOW_SECONDS)
		w = rate * WINDOW_SECONDS / SEAL_LEAF * SEAL_LEAF;
	return w < WINDOW_MIN ? WINDOW_MIN : w;
}

int seal_read_leaves(const struct seal_reading *rd)
{
	uint64_t all = rd->l->size / SEAL_LEAF + (rd->l->size % SEAL_LEAF != 0);
	uint64_t n = rd->first < all && rd->leaves < all - rd->first ? rd->leaves : all - rd->first;
	struct making m = {.r = rd, .next = rd->first};
	struct engine e = {.l = rd->l,
			   .off = rd->first * SEAL_LEAF,
			   .order = ENGINE_PHYSICAL,
			   .piece = PIECE,
			   .grain = SEAL_LEAF,
			   .window = window(rd->l->s),
			   .what = rd->what,
			   .work = work,
			   .deliver = deliver,
			   .arg = &m};
	int r;

	/* The last piece of a window may end behind it. */
	m.cap = (e.window + PIECE) / SEAL_LEAF;
	m.wait = calloc(m.cap, sizeof(*m.wait));
	if (!m.wait)
		return -ENOMEM;
	m.end = rd->first + n == all ? rd->l->size : (rd->first + n) * SEAL_LEAF;
	e.len = m.end - e.off;
	r = e.len ? engine_run(&e) : 0;
	ranges_free(&m.bad);
	free(m.wait);
	return r;
}
