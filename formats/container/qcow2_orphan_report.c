/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of orphans, and what --rebuild does with them. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "formats/container/qcow2_orphan.h"
#include "vdiskck/core/session.h"

static void report_unplaced(struct qc *c, const struct qc_lost *t)
{
	finding(c->l, QCOW2_TABLE_ORPHANED, t->off, c->q->cluster_size,
		"an L2 table at 0x%" PRIx64 " with %" PRIu32 " entries was lost from the L1 table; "
		"it belongs to one of %" PRIu64 " free places",
		t->off, t->entries, qc_free_places(c, 0, qc_l1_needed(c)));
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
		if (shown++ == QC_SHOWN_MAX) {
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
	for (size_t i = 0; i < c->holes.n && shown < QC_SHOWN_MAX; i++) {
		if (c->holes.v[i].guest == QC_NONE)
			continue;
		report_hole(c, &c->holes.v[i]);
		shown++;
	}
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
		if (++*shown <= QC_SHOWN_MAX) {
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
