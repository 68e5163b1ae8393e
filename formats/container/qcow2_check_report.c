/* SPDX-License-Identifier: Apache-2.0 */
/* What the check found, in terms of the guest: who refers to the clusters that are wrong. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/container/qcow2_check.h"
#include "vdiskck/core/session.h"

enum {
	SHOWN_MAX = 256,   /* findings of one kind; the rest is one more, with their number */
	L1_SHOWN_MAX = 16, /* of a run of clusters: each costs a walk through the L1 table */
};

/* Guest bytes of the active disk that entries stand for; nothing for a snapshot's. */
static void guest_range(const struct qc *c, uint32_t owner, uint64_t guest, uint64_t n,
			struct fact *f)
{
	unsigned shift = c->q->cluster_bits;

	if (owner != QC_OWNER_ACTIVE || guest >= (c->l->size + c->q->cluster_size - 1) >> shift)
		return;
	f->off = guest << shift;
	f->len = n << shift;
	if (f->len > c->l->size - f->off)
		f->len = c->l->size - f->off;
}

static int bad_order(const void *a, const void *b)
{
	const struct qc_bad *x = a, *y = b;

	if (x->owner != y->owner)
		return x->owner < y->owner ? -1 : 1;
	if (x->guest != y->guest)
		return x->guest < y->guest ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static const char *bad_text(enum finding_id id)
{
	switch ((int)id) {
	case QCOW2_L2_UNALIGNED: return "points into the middle of a cluster";
	case QCOW2_L2_PAST_END: return "points past the end of the file";
	case QCOW2_L2_RESERVED: return "has reserved bits set";
	case QCOW2_COPIED_UNUSED: return "has the COPIED flag, but no offset";
	case QCOW2_COMPRESSED_COPIED: return "is compressed and has the COPIED flag";
	case QCOW2_PACKED_IN_DATA_FILE: return "is compressed, but data lies in another file";
	case QCOW2_CLUSTER_SHARED: return "has the packed bytes of another entry";
	default: return "contradicts itself";
	}
}

/* What the reader makes of such an entry. */
static void guest_grade(const struct qc *c, const struct qc_bad *b, struct fact *f)
{
	struct qcow2_desc d = qcow2_desc(c->q, b->entry, 0);

	if (!f->len || b->id == QCOW2_COMPRESSED_COPIED)
		return;
	f->lost = d.kind == QCOW2_KIND_BAD;
	f->doubtful = d.reserved && !f->lost;
	if (b->id == QCOW2_COPIED_UNUSED || b->id == QCOW2_CLUSTER_SHARED)
		f->doubtful = !f->lost;
	if (b->id == QCOW2_SUBCLUSTERS)
		f->lost = true; /* some of it; the bitmaps of the entries in the row differ */
}

static void report_bad(struct qc *c)
{
	qc_sort(c->bad.v, c->bad.n, sizeof(*c->bad.v), bad_order);
	for (size_t i = 0; i < c->bad.n; i++) {
		const struct qc_bad *b = &c->bad.v[i];
		struct fact f = {
			.at = b->at,
			.at_len = (uint64_t)b->n * c->q->l2_entry,
			.stored = strf("0x%" PRIx64, b->entry),
		};
		char name[80];

		guest_range(c, b->owner, b->guest, b->n, &f);
		guest_grade(c, b, &f);
		if (i >= SHOWN_MAX) {
			finding(c->l, b->id, b->at, f.at_len,
				"%zu more places where L2 entries are wrong",
				c->bad.n - i + (size_t)c->bad_more);
			return;
		}
		finding_fact(c->l, b->id, &f, "%s for guest 0x%" PRIx64 " of %s %s",
			     b->n == 1 ? "the L2 entry"
				       : strf("%" PRIu32 " L2 entries in a row", b->n),
			     b->guest << c->q->cluster_bits, qc_owner_name(c, b->owner, name),
			     bad_text(b->id));
	}
}

/* References that follow each other, host and guest, in one table or in several. */
struct group {
	const struct qc_run *run; /* that they lie in */
	struct qc_ref ref;	  /* the first of them; its n entries lie in one table */
	uint64_t n;		  /* clusters */
};

static enum finding_id low_id(struct qc *c, const struct qc_run *run, const char *structure)
{
	if (structure && run->counted > 1)
		return QCOW2_METADATA_OVERLAP;
	if (run->counted > 1 && run->stored)
		return QCOW2_CLUSTER_SHARED;
	return c->q->incompat & QCOW2_INCOMPAT_DIRTY ? QCOW2_REFCOUNT_STALE : QCOW2_REFCOUNT_LOW;
}

static void report_group(struct qc *c, const struct group *g)
{
	const struct qc_run *run = g->run;
	uint64_t host = g->ref.host << c->q->cluster_bits;
	char buf[128], name[80];
	const char *structure = qc_metadata(c, g->ref.host, buf);
	struct fact f = {
		.at = g->ref.at,
		.at_len = g->ref.n * c->q->l2_entry,
		.stored = strf("0x%" PRIx64, g->ref.entry),
	};
	enum finding_id id = run->diff == QC_LOW ? low_id(c, run, structure) : QCOW2_COPIED_WRONG;

	guest_range(c, g->ref.owner, g->ref.guest, g->n, &f);
	f.doubtful = f.len && run->diff == QC_LOW && id != QCOW2_REFCOUNT_STALE;
	if (id == QCOW2_METADATA_OVERLAP)
		finding_fact(c->l, id, &f,
			     "guest 0x%" PRIx64 " of %s is said to lie at 0x%" PRIx64
			     ", where the %s is",
			     g->ref.guest << c->q->cluster_bits,
			     qc_owner_name(c, g->ref.owner, name), host, structure);
	else if (run->diff == QC_LOW)
		finding_fact(c->l, id, &f,
			     "guest 0x%" PRIx64 " of %s lies at 0x%" PRIx64
			     ", which has refcount %" PRIu32 " and %" PRIu32 " reference%s",
			     g->ref.guest << c->q->cluster_bits,
			     qc_owner_name(c, g->ref.owner, name), host, run->stored, run->counted,
			     run->counted == 1 ? "" : "s");
	else
		finding_fact(c->l, id, &f,
			     "the entry for guest 0x%" PRIx64 " %s COPIED, but the refcount of "
			     "0x%" PRIx64 " is %" PRIu32,
			     g->ref.guest << c->q->cluster_bits,
			     run->diff == QC_COPIED_SET ? "says" : "does not say", host,
			     run->stored);
}

/* A run that no L2 entry refers to: a structure's own clusters. */
static void report_structure(struct qc *c, const struct qc_run *run)
{
	char buf[128];
	const char *structure = qc_metadata(c, run->first, buf);
	uint64_t off = run->first << c->q->cluster_bits;
	enum finding_id id = run->diff == QC_LOW ? low_id(c, run, structure) : QCOW2_COPIED_WRONG;

	finding_fact(c->l, id,
		     &(struct fact){
			     .at = off,
			     .at_len = run->n << c->q->cluster_bits,
			     .stored = strf("refcount %" PRIu32, run->stored),
			     .expected = strf("refcount %" PRIu32, run->counted),
		     },
		     run->diff == QC_LOW ? "%s at 0x%" PRIx64 " has refcount %" PRIu32
					   ", but %" PRIu32 " references"
					 : "the entry for the %s at 0x%" PRIx64
					   " is wrong about COPIED: refcount %" PRIu32
					   ", references %" PRIu32,
		     structure ? structure : "the cluster", off, run->stored, run->counted);
}

/* By owner and guest, so that what lies in a row in both becomes one finding. */
static int guest_order(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	if (x->ref.owner != y->ref.owner)
		return x->ref.owner < y->ref.owner ? -1 : 1;
	return x->ref.guest < y->ref.guest ? -1 : x->ref.guest > y->ref.guest;
}

static bool continues(const struct group *g, const struct group *more)
{
	return more->ref.owner == g->ref.owner && more->ref.host == g->ref.host + g->n &&
	       more->ref.guest == g->ref.guest + g->n && !more->ref.packed && !g->ref.packed;
}

/* The part of a reference that lies in the run. */
static struct group clip(const struct qc *c, const struct qc_run *run, struct qc_ref ref)
{
	uint64_t skip = ref.host < run->first ? run->first - ref.host : 0;
	uint64_t end = ref.host + ref.n, run_end = run->first + run->n;

	ref.host += skip;
	ref.guest += skip;
	ref.at += skip * c->q->l2_entry;
	ref.entry += skip << c->q->cluster_bits;
	ref.n = (end < run_end ? end : run_end) - ref.host;
	return (struct group){run, ref, ref.n};
}

/* L1 entry @i of the disk leads to a table whose refcount is too low: one of two is wrong. */
static void report_l1(struct qc *c, const struct qc_run *run, const struct qc_table *t, uint64_t i,
		      enum finding_id id)
{
	struct fact f = {
		.at = c->q->l1_off + i * 8,
		.at_len = 8,
		.stored = strf("0x%" PRIx64, c->l1[i]),
	};

	guest_range(c, QC_OWNER_ACTIVE, i << c->q->l2_bits, UINT64_C(1) << c->q->l2_bits, &f);
	f.doubtful = f.len;
	finding_fact(c->l, id, &f,
		     "L1 entry %" PRIu64 " leads to an L2 table at 0x%" PRIx64
		     ", which has refcount %" PRIu64 " and %" PRIu32 " references",
		     i, t->off, qc_stored(c, t->off >> c->q->cluster_bits),
		     run->counted > t->weight ? run->counted : t->weight);
}

/*
 * Tables of the disk in a run of refcounts that are too low, which are named twice, or were named
 * by nobody: all that is read by such an L1 entry may be another part of the disk.
 */
static size_t report_tables(struct qc *c, const struct qc_run *run)
{
	uint64_t first = run->first << c->q->cluster_bits,
		 end = first + (run->n << c->q->cluster_bits);
	enum finding_id id = low_id(c, run, NULL);
	size_t shown = 0, lo = 0, hi = c->tables.n;

	if (run->diff != QC_LOW || id == QCOW2_REFCOUNT_STALE)
		return 0;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (c->tables.v[mid].off < first)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < c->tables.n && c->tables.v[lo].off < end && shown < L1_SHOWN_MAX; lo++) {
		const struct qc_table *t = &c->tables.v[lo];

		for (uint64_t i = 0; t->active && i < c->l1_entries && shown < L1_SHOWN_MAX; i++) {
			if ((c->l1[i] & QCOW2_OFFSET_MASK) != t->off)
				continue;
			report_l1(c, run, t, i, id);
			shown++;
		}
	}
	return shown;
}

/* All references to the clusters of a run. Returns how many findings that made. */
static size_t report_refs(struct qc *c, const struct qc_run *run, size_t shown)
{
	QC_VECTOR(struct group) v = {0};
	size_t made = report_tables(c, run), n = 0;

	for (size_t i = qc_ref_first(c, run->first, run->n); i < c->refs.n;
	     i = qc_ref_next(c, i + 1, run->first, run->n))
		if (QC_PUSH(v, clip(c, run, c->refs.v[i])))
			break; /* no memory: those that are known are reported */
	if (!v.n) {
		if (!made)
			report_structure(c, run);
		return made ? made : 1;
	}
	shown += made;
	made = 0;
	qc_sort(v.v, v.n, sizeof(*v.v), guest_order);
	for (size_t i = 0; i < v.n; i++) {
		if (n && continues(&v.v[n - 1], &v.v[i]))
			v.v[n - 1].n += v.v[i].n;
		else
			v.v[n++] = v.v[i];
	}
	for (; made < n && made + shown < SHOWN_MAX; made++)
		report_group(c, &v.v[made]);
	free(v.v);
	return n;
}

static void report_more(struct qc *c, enum finding_id id, const struct qc_run *run, size_t n)
{
	finding(c->l, id, run->first << c->q->cluster_bits, run->n << c->q->cluster_bits,
		"%zu more places like these; %" PRIu64 " clusters in all", n,
		c->diff_clusters[run->diff]);
}

static void report_runs(struct qc *c)
{
	size_t shown[QC_DIFFS] = {0};

	for (size_t i = 0; i < c->runs.n; i++) {
		const struct qc_run *run = &c->runs.v[i];

		if (run->diff == QC_ORPHAN || run->diff == QC_HIGH)
			continue;
		shown[run->diff] +=
			shown[run->diff] < SHOWN_MAX ? report_refs(c, run, shown[run->diff]) : 1;
		if ((i + 1 == c->runs.n || c->runs.v[i + 1].diff != run->diff) &&
		    shown[run->diff] > SHOWN_MAX)
			report_more(c,
				    run->diff == QC_LOW ? QCOW2_REFCOUNT_LOW : QCOW2_COPIED_WRONG,
				    run, shown[run->diff] - SHOWN_MAX);
	}
}

static void report_leak(struct qc *c, uint64_t first, uint64_t n, const struct qc_run *run)
{
	finding_fact(c->l, QCOW2_CLUSTER_LEAKED,
		     &(struct fact){
			     .at = first << c->q->cluster_bits,
			     .at_len = n << c->q->cluster_bits,
			     .stored = strf("refcount %" PRIu32, run->stored),
			     .expected = strf("refcount %" PRIu32, run->counted),
		     },
		     "%s at 0x%" PRIx64 ": refcount %" PRIu32 ", but %s",
		     n == 1 ? "a cluster" : strf("%" PRIu64 " clusters", n),
		     first << c->q->cluster_bits, run->stored,
		     run->counted ? strf("%" PRIu32 " references", run->counted)
				  : "nothing refers to it");
}

static void report_leaks(struct qc *c)
{
	size_t shown = 0;

	for (size_t i = 0; i < c->runs.n; i++) {
		const struct qc_run *run = &c->runs.v[i];
		uint64_t first = run->first, end = run->first + run->n;

		if (run->diff != QC_ORPHAN && run->diff != QC_HIGH)
			continue;
		while (first < end) {
			uint64_t to = first;

			if (run->diff == QC_ORPHAN && qc_is_explained(c, first)) {
				first++;
				continue;
			}
			while (to < end && !(run->diff == QC_ORPHAN && qc_is_explained(c, to)))
				to++;
			if (shown++ == SHOWN_MAX) {
				finding(c->l, QCOW2_CLUSTER_LEAKED, first << c->q->cluster_bits,
					(to - first) << c->q->cluster_bits,
					"more leaks follow; %" PRIu64 " clusters in all",
					c->diff_clusters[QC_ORPHAN] + c->diff_clusters[QC_HIGH]);
				return;
			}
			report_leak(c, first, to - first, run);
			first = to;
		}
	}
}

int qc_report(struct qc *c)
{
	report_bad(c);
	report_runs(c);
	qc_orphans_report(c);
	report_leaks(c);
	if (c->past_end)
		finding(c->l, QCOW2_REFCOUNT_PAST_END, c->q->file_size, 0,
			"%" PRIu64 " clusters behind the end of the file have a refcount",
			c->past_end);
	return 0;
}
