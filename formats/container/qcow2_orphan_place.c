/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where what was orphaned belongs: lost L2 tables in the L1 table, runs of orphaned clusters in
 * the disk. By the order in the file, and never where another answer is possible.
 */
#include <errno.h>
#include <stdlib.h>

#include "formats/container/qcow2_orphan.h"
#include "vdiskck/core/sum.h"

enum {
	HOLES_MAX = 4096, /* runs of orphans that are looked at */
	SKIP_MAX = 4096,  /* structures in a row between a run and its neighbour */
};

uint64_t qc_l1_needed(const struct qc *c)
{
	unsigned shift = c->q->l2_bits + c->q->cluster_bits;

	return (c->l->size >> shift) + ((c->l->size & ((UINT64_C(1) << shift) - 1)) != 0);
}

/* Does a table whose last entry is @last fit there? The last one of the disk may be shorter. */
static bool fits(const struct qc *c, const struct qc_lost *t, uint64_t l1_index)
{
	uint64_t guest = (l1_index << c->q->l2_bits) + t->last;

	return guest << c->q->cluster_bits < c->l->size;
}

void qc_place(const struct qc *c, struct qc_lost *t, uint64_t l1_index, enum qc_sure sure,
	      const char *why)
{
	if (t->sure != QC_UNKNOWN || !fits(c, t, l1_index))
		return;
	t->l1_index = l1_index;
	t->sure = sure;
	t->why = why;
}

/* ---- Tables ---- */

/* Is L1 entry @i without a table? Entries that the file does not hold are. */
static bool is_free(const struct qc *c, uint64_t i)
{
	return i >= c->l1_entries || qcow2_l1_desc(c->q, c->l1[i]).kind != QCOW2_KIND_NORMAL;
}

/* c->free_before[i]: how many of the places [0, i) are free. */
int qc_count_free(struct qc *c)
{
	uint64_t n = qc_l1_needed(c);

	c->free_before = calloc(n + 1, sizeof(*c->free_before));
	if (!c->free_before)
		return -ENOMEM;
	for (uint64_t i = 0; i < n; i++)
		c->free_before[i + 1] = c->free_before[i] + is_free(c, i);
	return 0;
}

uint64_t qc_free_places(const struct qc *c, uint64_t from, uint64_t to)
{
	uint64_t n = qc_l1_needed(c);

	if (to > n)
		to = n;
	return from < to ? c->free_before[to] - c->free_before[from] : 0;
}

/* An L1 entry that can't be right, one bit away from what would lead to the table. */
static void place_by_bits(const struct qc *c, struct qc_lost *t)
{
	for (uint64_t i = 0; i < c->l1_entries && i < qc_l1_needed(c); i++) {
		uint64_t e = c->l1[i];

		if (e && is_free(c, i) && __builtin_popcountll(e ^ (t->off | QCOW2_COPIED)) == 1)
			qc_place(c, t, i, QC_CERTAIN, "the L1 entry differs from it in one bit");
	}
}

/*
 * The active tables next to @off in the file; QC_NONE if there is none.
 * @at: where in c->tables the search for the last, smaller offset ended
 */
static void neighbours(const struct qc *c, uint64_t off, size_t *at, uint64_t *below,
		       uint64_t *above)
{
	for (; *at < c->tables.n && c->tables.v[*at].off < off; ++*at)
		if (c->tables.v[*at].owner == QC_OWNER_ACTIVE)
			*below = c->tables.v[*at].l1_index;
	for (size_t i = *at; i < c->tables.n; i++) {
		if (c->tables.v[i].owner != QC_OWNER_ACTIVE)
			continue;
		*above = c->tables.v[i].l1_index;
		return;
	}
	*above = QC_NONE;
}

/*
 * Lost tables [i, j) between the same two neighbours in the file: if the L1 places between these
 * are free for exactly as many, they are in order.
 */
static void place_group(struct qc *c, size_t i, size_t j, uint64_t below, uint64_t above)
{
	uint64_t from = below == QC_NONE ? 0 : below + 1;
	uint64_t to = above == QC_NONE ? qc_l1_needed(c) : above;

	if (from > to || qc_free_places(c, from, to) != j - i)
		return;
	for (; i < j && from < to; from++)
		if (is_free(c, from))
			qc_place(c, &c->lost.v[i++], from, QC_LIKELY,
				 "the tables beside it in the file leave this place");
}

void qc_place_all(struct qc *c)
{
	uint64_t below = QC_NONE, above = QC_NONE, group_below = QC_NONE, group_above = QC_NONE;
	size_t n = 0, start = 0, at = 0;

	for (size_t i = 0; i < c->lost.n; i++)
		if (c->lost.v[i].sure != QC_SNAPSHOT)
			c->lost.v[n++] = c->lost.v[i]; /* the others are leaks like any other */
	c->lost.n = n;
	for (size_t i = 0; i < n && i < QC_SHOWN_MAX; i++)
		place_by_bits(c, &c->lost.v[i]);
	if (n == 1 && qc_free_places(c, 0, qc_l1_needed(c)) == 1)
		for (uint64_t i = 0; i < qc_l1_needed(c); i++)
			if (is_free(c, i))
				qc_place(c, &c->lost.v[0], i, QC_CERTAIN,
					 "only this place in the L1 table is free");
	for (size_t i = 0; i <= n; i++) {
		if (i < n)
			neighbours(c, c->lost.v[i].off, &at, &below, &above);
		if (i && (i == n || below != group_below || above != group_above)) {
			place_group(c, start, i, group_below, group_above);
			start = i;
		}
		group_below = below;
		group_above = above;
	}
}

/* ---- Data ---- */

/* The next host cluster from @from on, in direction @step, that holds no structure. */
static uint64_t beside(struct qc *c, uint64_t from, int step)
{
	char buf[128];

	for (int i = 0; i < SKIP_MAX && from && from < c->clusters; i++) {
		if (!qc_metadata(c, from, buf))
			return from;
		from += (uint64_t)(int64_t)step;
	}
	return QC_NONE;
}

/* Runs of orphans with nothing but structures between them are one hole. */
int qc_find_holes(struct qc *c)
{
	int r = 0;

	for (size_t i = 0; !r && i < c->runs.n && c->holes.n < HOLES_MAX; i++) {
		const struct qc_run *run = &c->runs.v[i];
		struct qc_hole *last = c->holes.n ? &c->holes.v[c->holes.n - 1] : NULL;
		struct qc_hole h = {.first = run->first, .end = run->first + run->n, .n = run->n};

		if (run->diff != QC_ORPHAN || qc_is_explained(c, run->first) ||
		    qc_is_explained(c, h.end - 1))
			continue;
		h.guest = QC_NONE;
		h.below = beside(c, h.first - 1, -1);
		if (last && h.below != QC_NONE && h.below == last->end - 1) {
			last->end = h.end;
			last->n += h.n;
			last->above = beside(c, h.end, 1);
			continue;
		}
		h.above = beside(c, h.end, 1);
		r = QC_PUSH(c->holes, h);
	}
	for (size_t i = 0; !r && i < c->holes.n; i++) {
		if (c->holes.v[i].below == QC_NONE || c->holes.v[i].above == QC_NONE)
			continue;
		r = qc_want(c, c->holes.v[i].below, 1);
		if (!r)
			r = qc_want(c, c->holes.v[i].above, 1);
	}
	return r;
}

/* The one guest cluster of the disk that lies there, or QC_NONE. */
static uint64_t only_guest(const struct qc *c, uint64_t host)
{
	size_t i = qc_ref_first(c, host, 1);
	const struct qc_ref *ref;

	if (i == c->refs.n)
		return QC_NONE;
	ref = &c->refs.v[i];
	if (ref->packed || ref->owner != QC_OWNER_ACTIVE ||
	    qc_ref_next(c, i + 1, host, 1) != c->refs.n)
		return QC_NONE;
	return ref->guest + (host - ref->host);
}

/* Is nothing at all said about guest clusters [from, to)? */
static bool all_unallocated(const struct qc *c, uint64_t from, uint64_t to)
{
	const struct qcow2 *q = c->q;
	uint8_t buf[16];

	for (; from < to; from++) {
		uint64_t i = from >> q->l2_bits;
		uint64_t k = from & ((UINT64_C(1) << q->l2_bits) - 1);
		struct qcow2_desc t;

		if (i >= c->l1_entries)
			return false;
		t = qcow2_l1_desc(q, c->l1[i]);
		if (t.kind != QCOW2_KIND_NORMAL) {
			from = ((i + 1) << q->l2_bits) - 1; /* no table: none of it */
			continue;
		}
		if (layer_read(c->l->below, t.host + k * q->l2_entry, buf, q->l2_entry, NULL) ||
		    !all_zero(buf, q->l2_entry))
			return false;
	}
	return true;
}

void qc_fill_holes(struct qc *c)
{
	for (size_t i = 0; i < c->holes.n; i++) {
		struct qc_hole *h = &c->holes.v[i];
		uint64_t below = only_guest(c, h->below), above = only_guest(c, h->above);

		if (h->below == QC_NONE || h->above == QC_NONE || below == QC_NONE ||
		    above == QC_NONE || above <= below || above - below - 1 != h->n ||
		    !all_unallocated(c, below + 1, above))
			continue;
		h->guest = below + 1;
		for (uint64_t k = h->first; k < h->end; k++)
			if (qc_is_orphan(c, k))
				qc_set_bit(c->explained, k);
	}
}
