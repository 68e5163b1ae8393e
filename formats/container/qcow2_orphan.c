/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is stored as used, and referred to by nothing.
 *
 * Most of it is plain leakage: a crash between allocating a cluster and linking it. But a table
 * that was overwritten with zeros looks the same to QEMU, and is the loss of all it held. The
 * difference shows in the orphans themselves:
 *
 * - An orphan that parses as an L2 table, and whose entries lead to orphans, was linked once:
 *   QEMU links a table only when it is written, and frees clusters before their table. Either an
 *   L1 entry is lost, or a snapshot was deleted by halves: then its L1 table lies among the
 *   orphans, too.
 * - Orphans between two data clusters whose guest clusters leave exactly as much room, with
 *   nothing allocated in it: the entries in between are lost. A disk written in order looks like
 *   that, a crash at its end does not, since then there is no neighbour behind.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/container/qcow2_check.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/sum.h"

enum {
	HEAD = 4096,	  /* bytes of a cluster that tell whether it can be a table */
	L1_TRIES = 4,	  /* tables that an L1 table must lead to, if it leads to so many */
	LOST_MAX = 65536, /* tables that are kept */
	HOLES_MAX = 4096, /* runs of orphans that are looked at */
	SKIP_MAX = 4096,  /* structures in a row between a run and its neighbour */
	SHOWN_MAX = 256,  /* findings of one kind */
};
#define CLUSTERS_MAX (UINT64_C(1) << 28) /* a bit for each: 32 MiB */

static bool bit(const uint8_t *map, uint64_t i)
{
	return map[i / 8] >> (i % 8) & 1;
}

static void set_bit(uint8_t *map, uint64_t i)
{
	map[i / 8] |= (uint8_t)(1u << (i % 8));
}

bool qc_is_explained(const struct qc *c, uint64_t cluster)
{
	return c->explained && cluster <= c->clusters && bit(c->explained, cluster);
}

static bool is_orphan(const struct qc *c, uint64_t cluster)
{
	return qc_run_find(c, cluster, QC_ORPHAN);
}

/* ---- Tables among the orphans ---- */

static uint64_t be(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap64(v);
}

/*
 * Could [p, p + len) be entries of an L2 table? Entries that are not zero must be as QEMU writes
 * them. Random bytes fail at the first entry: one in 2^30 has no reserved bit, is aligned, and
 * points into the file.
 */
static bool parses(const struct qc *c, const uint8_t *p, size_t len)
{
	const struct qcow2 *q = c->q;

	for (size_t i = 0; i < len; i += q->l2_entry) {
		uint64_t e = be(p + i), bitmap = q->extended_l2 ? be(p + i + 8) : 0;
		struct qcow2_desc d;

		if (!e && !bitmap)
			continue;
		d = qcow2_desc(q, e, bitmap);
		if (d.kind == QCOW2_KIND_BAD || d.reserved)
			return false;
		if (e & QCOW2_COMPRESSED && e & QCOW2_COPIED)
			return false;
		if (d.kind == QCOW2_KIND_UNALLOCATED)
			return false; /* flags without an offset are never written */
		if (d.host && d.host < q->cluster_size)
			return false; /* the header */
	}
	return true;
}

static uint64_t target(const struct qc *c, const uint8_t *p)
{
	uint64_t e = be(p);

	if (e & QCOW2_COMPRESSED)
		return qcow2_desc(c->q, e, 0).host >> c->q->cluster_bits;
	return (e & QCOW2_OFFSET_MASK) >> c->q->cluster_bits;
}

/* Count what a table leads to; @mark: those clusters are accounted for, and are data, no tables. */
static void claim(struct qc *c, const uint8_t *p, struct qc_lost *t, bool mark)
{
	const struct qcow2 *q = c->q;

	t->entries = t->orphans = 0;
	for (uint32_t i = 0; i < 1u << q->l2_bits; i++, p += q->l2_entry) {
		uint64_t host;

		if (!be(p))
			continue;
		host = target(c, p);
		t->entries++;
		t->last = i;
		if (!host || !is_orphan(c, host))
			continue;
		t->orphans++;
		if (mark)
			set_bit(c->explained, host);
	}
}

/* Could [p, p + len) be entries of an L1 table? */
static bool parses_as_l1(const struct qc *c, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t e = be(p + i);
		struct qcow2_desc d = e ? qcow2_l1_desc(c->q, e) : (struct qcow2_desc){0};

		if (e && (d.kind != QCOW2_KIND_NORMAL || d.reserved || d.host < c->q->cluster_size))
			return false;
	}
	return true;
}

typedef bool parse_fn(const struct qc *c, const uint8_t *p, size_t len);

/* Read a cluster; *is: all of it parses, and there is something in it. */
static int read_table(struct qc *c, uint64_t cluster, uint8_t *buf, parse_fn *parse, bool *is)
{
	size_t size = (size_t)c->q->cluster_size, head = size < HEAD ? size : HEAD;
	uint64_t off = cluster << c->q->cluster_bits;
	int r = layer_read(c->l->below, off, buf, head, NULL);

	*is = !r && parse(c, buf, head);
	if (*is && size > head) {
		r = layer_read(c->l->below, off + head, buf + head, size - head, NULL);
		*is = !r && parse(c, buf + head, size - head);
	}
	*is = *is && !all_zero(buf, size);
	return r;
}

/* An L1 table: the first orphans that it leads to are L2 tables. */
static int try_l1(struct qc *c, uint64_t cluster, uint8_t *buf, uint8_t *buf2, bool *is)
{
	uint64_t n = c->q->cluster_size / 8;
	int r = read_table(c, cluster, buf, parses_as_l1, is), tried = 0;

	for (uint64_t i = 0; !r && *is && tried < L1_TRIES && i < n; i++) {
		uint64_t host = (be(buf + i * 8) & QCOW2_OFFSET_MASK) >> c->q->cluster_bits;

		if (!host || !is_orphan(c, host))
			continue;
		r = read_table(c, host, buf2, parses, is);
		tried++;
	}
	*is = *is && tried;
	return r;
}

/* Is the orphan at @cluster a table that leads to orphans, for the most part? */
static int try_table(struct qc *c, uint64_t cluster, uint8_t *buf, uint8_t *buf2)
{
	struct qc_lost t = {.off = cluster << c->q->cluster_bits};
	size_t head = c->q->cluster_size < HEAD ? (size_t)c->q->cluster_size : HEAD;
	bool is = false;
	int r = layer_read(c->l->below, t.off, buf, head, NULL);

	/* Most orphans are data: their first bytes say so. */
	if (r || (!parses(c, buf, head) && !parses_as_l1(c, buf, head)))
		return r;
	r = try_l1(c, cluster, buf, buf2, &t.l1);
	if (!r && !t.l1)
		r = read_table(c, cluster, buf, parses, &is);
	if (r || (!is && !t.l1))
		return r;
	if (is)
		claim(c, buf, &t, true);
	if ((t.l1 || (t.orphans && t.orphans >= t.entries / 2)) && c->lost.n < LOST_MAX)
		return QC_PUSH(c->lost, t);
	return 0;
}

static int find_tables(struct qc *c)
{
	uint8_t *buf = malloc(c->q->cluster_size), *buf2 = malloc(c->q->cluster_size);
	int r = buf && buf2 ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < c->runs.n; i++) {
		const struct qc_run *run = &c->runs.v[i];

		if (run->diff != QC_ORPHAN)
			continue;
		for (uint64_t k = 0; !r && k < run->n; k++) {
			if (k % 1024 == 0 && session_stopped(c->l->s))
				r = -EINTR;
			/* What a table before it leads to is data, however it looks. */
			else if (!bit(c->explained, run->first + k))
				r = try_table(c, run->first + k, buf, buf2);
		}
	}
	free(buf);
	free(buf2);
	return r;
}

static struct qc_lost *lost_at(const struct qc *c, uint64_t off)
{
	size_t lo = 0, hi = c->lost.n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (c->lost.v[mid].off < off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < c->lost.n && c->lost.v[lo].off == off ? &c->lost.v[lo] : NULL;
}

static uint64_t l1_needed(const struct qc *c)
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

static void place(const struct qc *c, struct qc_lost *t, uint64_t l1_index, enum qc_sure sure,
		  const char *why)
{
	if (t->sure != QC_UNKNOWN || !fits(c, t, l1_index))
		return;
	t->l1_index = l1_index;
	t->sure = sure;
	t->why = why;
}

/* What L1 table @t says of the tables that were found; @first: the index of its first entry. */
static void apply_l1(struct qc *c, const struct qc_lost *t, const uint8_t *p, uint64_t first,
		     bool active)
{
	for (uint64_t k = 0; k < c->q->cluster_size / 8; k++) {
		struct qc_lost *to = lost_at(c, be(p + k * 8) & QCOW2_OFFSET_MASK);

		if (!to || to == t || to->l1)
			continue;
		if (active)
			place(c, to, first + k, QC_CERTAIN,
			      "an L1 table that nothing refers to says so");
		else
			to->sure = QC_SNAPSHOT;
	}
}

/*
 * L1 tables among the orphans: of a snapshot that was deleted by halves. Or the disk's own, if the
 * header does not lead to one any more and there is only one (in clusters that follow each other).
 */
static int sort_out_l1(struct qc *c, uint8_t *buf)
{
	uint64_t runs = 0, prev = QC_NONE, first = 0;
	bool active;
	int r = 0;

	for (size_t i = 0; i < c->lost.n; i++) {
		if (!c->lost.v[i].l1)
			continue;
		runs += prev == QC_NONE || c->lost.v[i].off != prev + c->q->cluster_size;
		prev = c->lost.v[i].off;
	}
	active = !c->l1_entries && runs == 1;
	for (size_t i = 0; !r && i < c->lost.n; i++) {
		struct qc_lost *t = &c->lost.v[i];

		if (!t->l1)
			continue;
		t->sure = QC_SNAPSHOT;
		r = layer_read(c->l->below, t->off, buf, c->q->cluster_size, NULL);
		if (!r)
			apply_l1(c, t, buf, first, active);
		first += c->q->cluster_size / 8;
	}
	return r;
}

/*
 * A table that another table holds among much else is guest data that looks like one: a qcow2
 * image inside the disk.
 */
static int sort_out(struct qc *c)
{
	uint8_t *buf = malloc(c->q->cluster_size);
	const struct qcow2 *q = c->q;
	size_t n = 0;
	int r = buf ? sort_out_l1(c, buf) : -ENOMEM;

	for (size_t i = 0; !r && i < c->lost.n; i++) {
		if (c->lost.v[i].l1)
			continue;
		r = layer_read(c->l->below, c->lost.v[i].off, buf, q->cluster_size, NULL);
		for (uint32_t k = 0; !r && k < 1u << q->l2_bits; k++) {
			const uint8_t *p = buf + k * q->l2_entry;
			struct qc_lost *to =
				be(p) ? lost_at(c, target(c, p) << q->cluster_bits) : NULL;

			if (to && to != &c->lost.v[i] && to->sure == QC_UNKNOWN)
				to->data = true;
		}
	}
	for (size_t i = 0; i < c->lost.n; i++)
		if (!c->lost.v[i].data)
			c->lost.v[n++] = c->lost.v[i];
	c->lost.n = n;
	free(buf);
	return r;
}

/* Only what lost tables of the disk account for is explained; the rest has leaked. */
static int explain(struct qc *c)
{
	uint8_t *buf = malloc(c->q->cluster_size);
	int r = buf ? 0 : -ENOMEM;

	memset(c->explained, 0, c->clusters / 8 + 1);
	for (size_t i = 0; !r && i < c->lost.n; i++) {
		struct qc_lost *t = &c->lost.v[i];

		if (t->sure == QC_SNAPSHOT)
			continue;
		r = layer_read(c->l->below, t->off, buf, c->q->cluster_size, NULL);
		if (!r)
			claim(c, buf, t, true);
		set_bit(c->explained, t->off >> c->q->cluster_bits);
	}
	free(buf);
	return r;
}

/* ---- Where a lost table belongs ---- */

/* Is L1 entry @i without a table? Entries that the file does not hold are. */
static bool is_free(const struct qc *c, uint64_t i)
{
	return i >= c->l1_entries || qcow2_l1_desc(c->q, c->l1[i]).kind != QCOW2_KIND_NORMAL;
}

/* c->free_before[i]: how many of the places [0, i) are free. */
static int count_free(struct qc *c)
{
	uint64_t n = l1_needed(c);

	c->free_before = calloc(n + 1, sizeof(*c->free_before));
	if (!c->free_before)
		return -ENOMEM;
	for (uint64_t i = 0; i < n; i++)
		c->free_before[i + 1] = c->free_before[i] + is_free(c, i);
	return 0;
}

static uint64_t free_places(const struct qc *c, uint64_t from, uint64_t to)
{
	uint64_t n = l1_needed(c);

	if (to > n)
		to = n;
	return from < to ? c->free_before[to] - c->free_before[from] : 0;
}

/* An L1 entry that can't be right, one bit away from what would lead to the table. */
static void place_by_bits(const struct qc *c, struct qc_lost *t)
{
	for (uint64_t i = 0; i < c->l1_entries && i < l1_needed(c); i++) {
		uint64_t e = c->l1[i];

		if (e && is_free(c, i) && __builtin_popcountll(e ^ (t->off | QCOW2_COPIED)) == 1)
			place(c, t, i, QC_CERTAIN, "the L1 entry differs from it in one bit");
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
	uint64_t to = above == QC_NONE ? l1_needed(c) : above;

	if (from > to || free_places(c, from, to) != j - i)
		return;
	for (; i < j && from < to; from++)
		if (is_free(c, from))
			place(c, &c->lost.v[i++], from, QC_LIKELY,
			      "the tables beside it in the file leave this place");
}

static void place_all(struct qc *c)
{
	uint64_t below = QC_NONE, above = QC_NONE, group_below = QC_NONE, group_above = QC_NONE;
	size_t n = 0, start = 0, at = 0;

	for (size_t i = 0; i < c->lost.n; i++)
		if (c->lost.v[i].sure != QC_SNAPSHOT)
			c->lost.v[n++] = c->lost.v[i]; /* the others are leaks like any other */
	c->lost.n = n;
	for (size_t i = 0; i < n && i < SHOWN_MAX; i++)
		place_by_bits(c, &c->lost.v[i]);
	if (n == 1 && free_places(c, 0, l1_needed(c)) == 1)
		for (uint64_t i = 0; i < l1_needed(c); i++)
			if (is_free(c, i))
				place(c, &c->lost.v[0], i, QC_CERTAIN,
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

/* ---- Data among the orphans ---- */

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
static int find_holes(struct qc *c)
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

static void fill_holes(struct qc *c)
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
			if (is_orphan(c, k))
				set_bit(c->explained, k);
	}
}

/* ---- All of it ---- */

static int want_differences(struct qc *c)
{
	int r = 0;

	for (size_t i = 0; !r && i < c->runs.n; i++)
		if (c->runs.v[i].diff != QC_ORPHAN && c->runs.v[i].diff != QC_HIGH)
			r = qc_want(c, c->runs.v[i].first, c->runs.v[i].n);
	return r;
}

int qc_orphans(struct qc *c)
{
	int r = want_differences(c);

	if (!c->diff_clusters[QC_ORPHAN] || c->clusters > CLUSTERS_MAX)
		return r ? r : qc_locate(c);
	c->explained = calloc(c->clusters / 8 + 1, 1);
	if (!c->explained)
		return -ENOMEM;
	if (!r)
		r = find_tables(c);
	if (!r)
		r = sort_out(c);
	if (!r)
		r = explain(c);
	if (!r)
		r = count_free(c);
	if (r)
		return r;
	place_all(c);
	r = find_holes(c);
	if (!r)
		r = qc_locate(c);
	if (!r)
		fill_holes(c);
	return r;
}

static void report_unplaced(struct qc *c, const struct qc_lost *t)
{
	finding(c->l, QCOW2_TABLE_ORPHANED, t->off, c->q->cluster_size,
		"an L2 table at 0x%" PRIx64 " with %" PRIu32 " entries was lost from the L1 table; "
		"it belongs to one of %" PRIu64 " free places",
		t->off, t->entries, free_places(c, 0, l1_needed(c)));
}

static bool is_adopted(const struct qc *c, const struct qc_lost *t)
{
	const struct qcow2_view *v = &c->q->active;

	for (size_t i = 0; i < v->n_adopted; i++)
		if (v->adopted[i].l1_index == t->l1_index)
			return v->adopted[i].host_off == t->off;
	return false;
}

/* Do lost tables @t and @t + @n belong to L1 entries in a row, for the same reason? */
static bool in_a_row(const struct qc_lost *t, size_t n)
{
	return t[n].sure == t->sure && t[n].why == t->why && t[n].l1_index == t->l1_index + n;
}

/* @n lost tables from @t, of L1 entries in a row. */
static void report_placed(struct qc *c, const struct qc_lost *t, size_t n)
{
	unsigned shift = c->q->l2_bits + c->q->cluster_bits;
	struct fact f = {
		.at = t->off,
		.at_len = c->q->cluster_size,
		.off = t->l1_index << shift,
		.len = (uint64_t)n << shift,
		.lost = true,
		.stored =
			t->l1_index < c->l1_entries ? strf("0x%" PRIx64, c->l1[t->l1_index]) : NULL,
		.expected = strf("0x%" PRIx64, t->off | QCOW2_COPIED),
	};
	const char *sure = t->sure == QC_CERTAIN ? "certain" : "likely";
	const char *use = "--rebuild uses";

	if (f.len > c->l->size - f.off)
		f.len = c->l->size - f.off;
	if (is_adopted(c, t)) {
		use = "the disk is read through";
		f.lost = false;
		f.doubtful = t->sure != QC_CERTAIN;
	}
	if (n == 1)
		finding_fact(c->l, QCOW2_TABLE_ORPHANED, &f,
			     "L1 entry %" PRIu64 " was lost: its L2 table with %" PRIu32
			     " entries lies at 0x%" PRIx64 " (%s: %s); %s it",
			     t->l1_index, t->entries, t->off, sure, t->why, use);
	else
		finding_fact(c->l, QCOW2_TABLE_ORPHANED, &f,
			     "L1 entries %" PRIu64 " to %" PRIu64 " were lost: their %zu L2 tables "
			     "lie at 0x%" PRIx64 " to 0x%" PRIx64 " (%s: %s); %s them",
			     t->l1_index, t->l1_index + n - 1, n, t->off, t[n - 1].off, sure,
			     t->why, use);
}

static void report_lost(struct qc *c)
{
	size_t shown = 0, n;

	for (size_t i = 0; i < c->lost.n; i += n) {
		const struct qc_lost *t = &c->lost.v[i];

		n = 1;
		if (shown++ == SHOWN_MAX) {
			finding(c->l, QCOW2_TABLE_ORPHANED, t->off, c->q->cluster_size,
				"%zu more L2 tables were lost from the L1 table", c->lost.n - i);
			return;
		}
		if (t->sure == QC_UNKNOWN) {
			report_unplaced(c, t);
			continue;
		}
		while (i + n < c->lost.n && in_a_row(t, n))
			n++;
		report_placed(c, t, n);
	}
}

static void report_hole(struct qc *c, const struct qc_hole *h)
{
	struct fact f = {
		.at = h->first << c->q->cluster_bits,
		.at_len = (h->end - h->first) << c->q->cluster_bits,
		.off = h->guest << c->q->cluster_bits,
		.len = h->n << c->q->cluster_bits,
		.lost = true,
	};

	if (f.len > c->l->size - f.off)
		f.len = c->l->size - f.off;
	finding_fact(c->l, QCOW2_CLUSTER_ORPHANED, &f,
		     "%" PRIu64 " cluster%s at 0x%" PRIx64 " most likely hold%s guest 0x%" PRIx64
		     "..0x%" PRIx64
		     ": the L2 entries are zero, and the clusters on both sides leave "
		     "just that room",
		     h->n, h->n == 1 ? "" : "s", f.at, h->n == 1 ? "s" : "", f.off, f.off + f.len);
}

void qc_orphans_report(struct qc *c)
{
	size_t shown = 0;

	report_lost(c);
	for (size_t i = 0; i < c->holes.n && shown < SHOWN_MAX; i++) {
		if (c->holes.v[i].guest == QC_NONE)
			continue;
		report_hole(c, &c->holes.v[i]);
		shown++;
	}
}

void qc_orphans_free(struct qc *c)
{
	free(c->wanted.v);
	free(c->lost.v);
	free(c->holes.v);
	free(c->explained);
	free(c->free_before);
}

/* ---- Using them: --rebuild ---- */

/* The guest bytes that @n tables from @t, of L1 entries in a row, stand for. */
static void placed_range(const struct qc *c, const struct qc_lost *t, size_t n, uint64_t *off,
			 uint64_t *len)
{
	unsigned shift = c->q->l2_bits + c->q->cluster_bits;

	*off = t->l1_index << shift;
	*len = (uint64_t)n << shift;
	if (*len > c->l->size - *off)
		*len = c->l->size - *off;
}

static void report_adopted(struct qc *c, const struct qc_lost *t, size_t n)
{
	struct fact f = {
		.at = t->off,
		.at_len = c->q->cluster_size,
		.doubtful = t->sure != QC_CERTAIN,
	};

	placed_range(c, t, n, &f.off, &f.len);
	finding_fact(c->l, QCOW2_L2_ADOPTED, &f,
		     "guest 0x%" PRIx64 "..0x%" PRIx64 " is read through %s at 0x%" PRIx64
		     "%s, which the L1 table does not name (%s: %s)",
		     f.off, f.off + f.len, n == 1 ? "the L2 table" : strf("%zu L2 tables", n),
		     t->off, n == 1 ? "" : strf(" to 0x%" PRIx64, t[n - 1].off),
		     t->sure == QC_CERTAIN ? "certain" : "likely, so what it gives is doubtful",
		     t->why);
}

/* The tables that are as sure as @sure; a place that is taken by then stays as it is. */
static int adopt(struct qc *c, enum qc_sure sure, size_t *shown)
{
	bool certain = sure == QC_CERTAIN;
	size_t n, more = 0, last = 0;
	int r;

	for (size_t i = 0; i < c->lost.n; i += n) {
		const struct qc_lost *t = &c->lost.v[i];

		n = 1;
		if (t->sure != sure)
			continue;
		r = qcow2_adopt_l2(c->l, t->l1_index, t->off, certain);
		if (r == -ENOMEM)
			return r;
		if (r)
			continue;
		while (i + n < c->lost.n && in_a_row(t, n) &&
		       !qcow2_adopt_l2(c->l, t[n].l1_index, t[n].off, certain))
			n++;
		if (++*shown <= SHOWN_MAX) {
			report_adopted(c, t, n);
		} else {
			more += n;
			last = i;
		}
	}
	if (more)
		finding(c->l, QCOW2_L2_ADOPTED, c->lost.v[last].off, c->q->cluster_size,
			"%zu more L2 tables are used that the L1 table does not name", more);
	return 0;
}

int qc_adopt(struct qc *c)
{
	size_t shown = 0;
	int r = adopt(c, QC_CERTAIN, &shown);

	return r ? r : adopt(c, QC_LIKELY, &shown);
}

void qc_offer(const struct qc *c, char *text, size_t cap)
{
	const struct qc_lost *first = NULL;
	size_t placed = 0;
	uint64_t off, len;

	for (size_t i = 0; i < c->lost.n; i++) {
		const struct qc_lost *t = &c->lost.v[i];

		if (t->sure != QC_LIKELY && t->sure != QC_CERTAIN)
			continue;
		first = placed++ ? first : t;
	}
	*text = '\0';
	if (!c->lost.n)
		return;
	if (!placed) {
		snprintf(text, cap, "%zu orphaned L2 table%s found, but not where %s", c->lost.n,
			 c->lost.n == 1 ? "" : "s", c->lost.n == 1 ? "it belongs" : "they belong");
		return;
	}
	placed_range(c, first, 1, &off, &len);
	snprintf(text, cap, "%zu orphaned L2 table%s 0x%" PRIx64 "..0x%" PRIx64 "%s; try --rebuild",
		 placed, placed == 1 ? " fits" : "s fit", off, off + len,
		 placed == 1 ? "" : " and more");
}
