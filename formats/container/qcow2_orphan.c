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

#include "formats/container/qcow2_orphan.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/sum.h"

enum {
	HEAD = 4096,	  /* bytes of a cluster that tell whether it can be a table */
	L1_TRIES = 4,	  /* tables that an L1 table must lead to, if it leads to so many */
	LOST_MAX = 65536, /* tables that are kept */
};
#define CLUSTERS_MAX (UINT64_C(1) << 28) /* a bit for each: 32 MiB */

static bool bit(const uint8_t *map, uint64_t i)
{
	return map[i / 8] >> (i % 8) & 1;
}

bool qc_is_explained(const struct qc *c, uint64_t cluster)
{
	return c->explained && cluster <= c->clusters && bit(c->explained, cluster);
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
		if (!host || !qc_is_orphan(c, host))
			continue;
		t->orphans++;
		if (mark)
			qc_set_bit(c->explained, host);
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

		if (!host || !qc_is_orphan(c, host))
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

/* What L1 table @t says of the tables that were found; @first: the index of its first entry. */
static void apply_l1(struct qc *c, const struct qc_lost *t, const uint8_t *p, uint64_t first,
		     bool active)
{
	for (uint64_t k = 0; k < c->q->cluster_size / 8; k++) {
		struct qc_lost *to = lost_at(c, be(p + k * 8) & QCOW2_OFFSET_MASK);

		if (!to || to == t || to->l1)
			continue;
		if (active)
			qc_place(c, to, first + k, QC_CERTAIN,
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
		qc_set_bit(c->explained, t->off >> c->q->cluster_bits);
	}
	free(buf);
	return r;
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
		r = qc_count_free(c);
	if (r)
		return r;
	qc_place_all(c);
	r = qc_find_holes(c);
	if (!r)
		r = qc_locate(c);
	if (!r)
		qc_fill_holes(c);
	return r;
}

void qc_orphans_free(struct qc *c)
{
	free(c->wanted.v);
	free(c->lost.v);
	free(c->holes.v);
	free(c->explained);
	free(c->free_before);
}
