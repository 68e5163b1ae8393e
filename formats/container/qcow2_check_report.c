/* SPDX-License-Identifier: Apache-2.0 */
/* What the check found, in terms of the guest: who refers to the clusters that are wrong. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/container/qcow2_check.h"
#include "vdiskck/core/session.h"

enum {
	SHOWN_MAX = 256,   /* findings of one kind; the rest is one more, with their number */
	L1_SHOWN_MAX = 16, /* of a run of clusters: each costs a walk through the L1 table */
};

/* ---- Which structure lies there ---- */

static int offset_order(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int sort_blocks(struct qc *c)
{
	c->blocks_sorted = malloc((c->n_blocks + 1) * sizeof(*c->blocks_sorted));
	if (!c->blocks_sorted)
		return -ENOMEM;
	for (uint64_t i = 0; i < c->n_blocks; i++)
		if (c->blocks[i] && c->blocks[i] != QC_BLOCK_LOST)
			c->blocks_sorted[c->n_blocks_sorted++] = c->blocks[i];
	qc_sort(c->blocks_sorted, c->n_blocks_sorted, sizeof(uint64_t), offset_order);
	return 0;
}

static const struct qc_table *table_at(const struct qc *c, uint64_t off)
{
	size_t lo = 0, hi = c->tables.n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (c->tables.v[mid].off < off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < c->tables.n && c->tables.v[lo].off == off ? &c->tables.v[lo] : NULL;
}

const char *qc_metadata(struct qc *c, uint64_t cluster, char buf[128])
{
	uint64_t off = cluster << c->q->cluster_bits;
	const struct qc_table *t = table_at(c, off);
	char name[80];

	for (size_t i = 0; i < c->regions.n && c->regions.v[i].off <= off; i++)
		if (off - c->regions.v[i].off < c->regions.v[i].len)
			return c->regions.v[i].name;
	if (t) {
		snprintf(buf, 128, "L2 table %" PRIu32 " of %s", t->l1_index,
			 qc_owner_name(c, t->owner, name));
		return buf;
	}
	if (!c->blocks_sorted && sort_blocks(c))
		return NULL;
	return bsearch(&off, c->blocks_sorted, c->n_blocks_sorted, sizeof(off), offset_order)
		       ? "refcount block"
		       : NULL;
}

/* ---- Who refers to it ---- */

int qc_want(struct qc *c, uint64_t first, uint64_t n)
{
	return QC_PUSH(c->wanted, (struct qc_span){first, n});
}

static int span_order(const void *a, const void *b)
{
	const struct qc_span *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

static void sort_wanted(struct qc *c)
{
	size_t n = 0;

	qc_sort(c->wanted.v, c->wanted.n, sizeof(*c->wanted.v), span_order);
	for (size_t i = 0; i < c->wanted.n; i++) {
		struct qc_span *s = &c->wanted.v[i], *last = n ? &c->wanted.v[n - 1] : NULL;

		if (!last || s->first > last->first + last->n)
			c->wanted.v[n++] = *s;
		else if (s->first + s->n > last->first + last->n)
			last->n = s->first + s->n - last->first;
	}
	c->wanted.n = n;
}

static bool is_wanted(const struct qc *c, uint64_t cluster)
{
	size_t lo = 0, hi = c->wanted.n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (c->wanted.v[mid].first + c->wanted.v[mid].n <= cluster)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < c->wanted.n && c->wanted.v[lo].first <= cluster;
}

static int keep_ref(struct qc *c, struct qc_ref *ref)
{
	int r = 0;

	if (!ref->n)
		return 0;
	pthread_mutex_lock(&c->lock);
	if (c->refs.n >= QC_EVENTS_MAX)
		c->refs_more += ref->n;
	else
		r = QC_PUSH(c->refs, *ref);
	pthread_mutex_unlock(&c->lock);
	ref->n = 0;
	return r;
}

/* Entries in a row that refer to clusters in a row are one reference of many clusters. */
static int add_ref(struct qc *c, const struct qc_table *t, struct qc_ref *ref, uint32_t i,
		   uint64_t cluster, uint64_t entry)
{
	uint64_t guest = ((uint64_t)t->l1_index << c->q->l2_bits) + i;
	bool packed = entry & QCOW2_COMPRESSED;
	int r;

	if (ref->n && !packed && !ref->packed && ref->host + ref->n == cluster &&
	    ref->guest + ref->n == guest) {
		ref->n++;
		return 0;
	}
	r = keep_ref(c, ref);
	*ref = (struct qc_ref){
		.host = cluster,
		.guest = guest,
		.n = 1,
		.at = t->off + (uint64_t)i * c->q->l2_entry,
		.entry = entry,
		.owner = t->owner,
		.packed = packed,
	};
	return r;
}

/* The host clusters that an entry refers to, 0 none. */
static uint64_t entry_hosts(const struct qcow2 *q, uint64_t e, uint64_t *last)
{
	struct qcow2_desc d;

	*last = (e & QCOW2_OFFSET_MASK) >> q->cluster_bits;
	if (!(e & QCOW2_COMPRESSED))
		return *last;
	d = qcow2_desc(q, e, 0);
	if (d.kind != QCOW2_KIND_COMPRESSED || !d.packed)
		return 0;
	*last = (d.host + d.packed - 1) >> q->cluster_bits;
	return d.host >> q->cluster_bits;
}

static int locate_in_table(struct qc *c, struct qc_table *t, const uint8_t *p)
{
	const struct qcow2 *q = c->q;
	uint64_t lowest = c->wanted.v[0].first;
	const struct qc_span *end = &c->wanted.v[c->wanted.n - 1];
	uint64_t highest = end->first + end->n;
	struct qc_ref ref = {0};
	int r = 0;

	for (uint32_t i = 0; !r && i < 1u << q->l2_bits; i++, p += q->l2_entry) {
		uint64_t e, first, last;

		memcpy(&e, p, sizeof(e));
		if (!e)
			continue;
		e = __builtin_bswap64(e);
		first = entry_hosts(q, e, &last);
		if (!first || first >= highest || last < lowest)
			continue;
		for (; !r && first <= last; first++)
			if (is_wanted(c, first))
				r = add_ref(c, t, &ref, i, first, e);
	}
	return r ? r : keep_ref(c, &ref);
}

static int ref_order(const void *a, const void *b)
{
	const struct qc_ref *x = a, *y = b;

	if (x->host != y->host)
		return x->host < y->host ? -1 : 1;
	if (x->owner != y->owner)
		return x->owner < y->owner ? -1 : 1;
	return x->guest < y->guest ? -1 : x->guest > y->guest;
}

int qc_locate(struct qc *c)
{
	int r;

	if (!c->wanted.n || c->q->incompat & QCOW2_INCOMPAT_DATA_FILE)
		return 0;
	sort_wanted(c);
	r = qc_each_table(c, locate_in_table);
	qc_sort(c->refs.v, c->refs.n, sizeof(*c->refs.v), ref_order);
	return r;
}

size_t qc_ref_next(const struct qc *c, size_t i, uint64_t first, uint64_t n)
{
	for (; i < c->refs.n && c->refs.v[i].host < first + n; i++)
		if (c->refs.v[i].host + c->refs.v[i].n > first)
			return i;
	return c->refs.n;
}

size_t qc_ref_first(const struct qc *c, uint64_t first, uint64_t n)
{
	uint64_t longest = UINT64_C(1) << c->q->l2_bits; /* it lies in one table */
	uint64_t from = first > longest ? first - longest : 0;
	size_t lo = 0, hi = c->refs.n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (c->refs.v[mid].host < from)
			lo = mid + 1;
		else
			hi = mid;
	}
	return qc_ref_next(c, lo, first, n);
}

/* ---- Findings ---- */

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
