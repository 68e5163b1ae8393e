/* SPDX-License-Identifier: Apache-2.0 */
/* Step 1 of the check, and the whole of it: see qcow2_check.h. */
#include "formats/container/qcow2_check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/session.h"
#include "vdiskck/core/span.h"
#include "vdiskck/core/text.h"

enum {
	L1_PIECE = 8192, /* entries read at a time */
	/* An offer for `info` is looked for in no more than this: some 0.1 s. */
	OFFER_TABLES = 16 << 20, /* bytes of L2 tables */
	OFFER_CLUSTERS = 1 << 24,
	OFFER_ORPHANS = 1 << 14, /* clusters that are looked at for tables */
};

const char *qc_owner_name(const struct qc *c, uint32_t owner, char buf[80])
{
	if (owner == QC_OWNER_ACTIVE)
		return "the disk";
	memcpy(buf, "snapshot ", 9);
	if (owner - 1 < c->q->n_snapshots) {
		const char *name = c->q->snapshots[owner - 1].name;

		name_escape(name, strlen(name), buf + 9, 80 - 9);
	}
	return buf;
}

int qc_region(struct qc *c, uint64_t off, uint64_t len, const char *fmt, ...)
{
	uint64_t size = c->q->cluster_size, end;
	struct qc_region r = {.off = off & ~(size - 1)};
	va_list ap;

	if (!len || off >= c->q->file_size)
		return 0;
	if (len > c->q->file_size - off)
		len = c->q->file_size - off; /* what lies outside is reported by who reads it */
	end = (off + len + size - 1) & ~(size - 1);
	r.len = end - r.off;
	va_start(ap, fmt);
	vsnprintf(r.name, sizeof(r.name), fmt, ap);
	va_end(ap);
	return QC_PUSH(c->regions, r);
}

static int region_order(const void *a, const void *b)
{
	const struct qc_region *x = a, *y = b;

	return x->off < y->off ? -1 : x->off > y->off;
}

/* ---- L1 tables ---- */

static int table_order(const void *a, const void *b)
{
	const struct qc_table *x = a, *y = b;

	if (x->off != y->off)
		return x->off < y->off ? -1 : 1;
	if (x->owner != y->owner)
		return x->owner < y->owner ? -1 : 1;
	return x->l1_index < y->l1_index ? -1 : x->l1_index > y->l1_index;
}

/* One entry for each table, whoever names it: then each is read once. */
static void tables_unique(struct qc *c)
{
	size_t n = 0;

	qc_sort(c->tables.v, c->tables.n, sizeof(*c->tables.v), table_order);
	for (size_t i = 0; i < c->tables.n; i++) {
		const struct qc_table *t = &c->tables.v[i];
		struct qc_table *last = n ? &c->tables.v[n - 1] : NULL;

		if (!last || last->off != t->off) {
			c->tables.v[n++] = *t;
			continue;
		}
		last->weight += t->weight;
		last->active += t->active;
		last->flags |= t->flags;
	}
	c->tables.n = c->tables_sorted = n;
}

/* L1 entries in a row that are wrong in the same way make one finding. */
struct l1_bad {
	enum finding_id id;
	uint64_t first, n, value;
};

/* Are all of these read through other tables? Then nothing is lost, see QCOW2_L2_ADOPTED. */
static bool all_adopted(const struct qcow2_view *v, uint64_t first, uint64_t n)
{
	size_t found = 0;

	for (size_t i = 0; i < v->n_adopted; i++)
		found += v->adopted[i].l1_index - first < n;
	return found == n;
}

static void l1_bad_end(struct qc *c, uint32_t owner, uint64_t l1_off, struct l1_bad *b)
{
	const struct qcow2 *q = c->q;
	unsigned shift = q->l2_bits + q->cluster_bits;
	char name[80];
	struct fact f = {
		.at = l1_off + b->first * 8,
		.at_len = b->n * 8,
		.stored = strf("0x%" PRIx64, b->value),
		.expected = "an offset of a cluster in the file",
	};

	if (!b->n)
		return;
	if (owner == QC_OWNER_ACTIVE && b->first << shift < c->l->size) {
		f.off = b->first << shift;
		f.len = b->n << shift;
		if (f.len > c->l->size - f.off)
			f.len = c->l->size - f.off;
		f.lost = b->id == QCOW2_L1_ENTRY && !all_adopted(&q->active, b->first, b->n);
		f.doubtful = b->id != QCOW2_L1_ENTRY;
	}
	if (!c->silent)
		finding_fact(c->l, b->id, &f, "L1 %s %" PRIu64 "%s of %s %s",
			     b->n == 1 ? "entry" : "entries from", b->first,
			     b->n == 1 ? "" : strf(" (%" PRIu64 ")", b->n),
			     qc_owner_name(c, owner, name),
			     b->id == QCOW2_L1_ENTRY	  ? "can't point to an L2 table"
			     : b->id == QCOW2_L1_RESERVED ? "has reserved bits set"
							  : "has the COPIED flag, but no offset");
	b->n = 0;
}

static void l1_bad(struct qc *c, uint32_t owner, uint64_t l1_off, struct l1_bad *b, uint64_t i,
		   uint64_t entry, enum finding_id id)
{
	if (b->n && b->id == id && b->first + b->n == i) {
		b->n++;
		return;
	}
	l1_bad_end(c, owner, l1_off, b);
	*b = (struct l1_bad){id, i, 1, entry};
}

static int l1_entry(struct qc *c, uint32_t owner, uint64_t i, uint64_t entry)
{
	bool active = owner == QC_OWNER_ACTIVE;
	struct qc_table t = {
		.off = entry & QCOW2_OFFSET_MASK,
		.weight = 1,
		.active = active,
		.flags = !active		? 0
			 : entry & QCOW2_COPIED ? QC_COPIED
						: QC_SHARED,
		.l1_index = (uint32_t)i,
		.owner = owner,
	};

	/* Many snapshots name the same tables: keep the list as long as the tables are many. */
	if (c->tables.n > 2 * c->tables_sorted + 65536)
		tables_unique(c);
	return QC_PUSH(c->tables, t);
}

static int collect_l1(struct qc *c, uint32_t owner, uint64_t off, uint64_t entries)
{
	be64_t *buf = malloc(L1_PIECE * sizeof(*buf));
	struct l1_bad wrong = {0}, reserved = {0}, unused = {0};
	int r = buf ? qc_region(c, off, entries * 8, "L1 table of %s",
				qc_owner_name(c, owner, (char[80]){0}))
		    : -ENOMEM;

	for (uint64_t i = 0; !r && i < entries; i += L1_PIECE) {
		uint64_t n = entries - i < L1_PIECE ? entries - i : L1_PIECE;

		r = session_stopped(c->l->s)
			    ? -EINTR
			    : layer_read(c->l->below, off + i * 8, buf, n * 8, NULL);
		qc_checked(c, n * 8);
		for (uint64_t j = 0; !r && j < n; j++) {
			uint64_t e = be64(buf[j]);
			struct qcow2_desc d;

			if (owner == QC_OWNER_ACTIVE && c->l1)
				c->l1[i + j] = e;
			if (!e)
				continue;
			d = qcow2_l1_desc(c->q, e);
			if (d.kind == QCOW2_KIND_BAD)
				l1_bad(c, owner, off, &wrong, i + j, e, QCOW2_L1_ENTRY);
			else if (d.kind == QCOW2_KIND_UNALLOCATED)
				l1_bad(c, owner, off, &unused, i + j, e, QCOW2_COPIED_UNUSED);
			else if (d.reserved)
				l1_bad(c, owner, off, &reserved, i + j, e, QCOW2_L1_RESERVED);
			if (d.kind == QCOW2_KIND_NORMAL)
				r = l1_entry(c, owner, i + j, e);
		}
	}
	l1_bad_end(c, owner, off, &wrong);
	l1_bad_end(c, owner, off, &reserved);
	l1_bad_end(c, owner, off, &unused);
	free(buf);
	return r;
}

/* As many entries as lie in the file, and as QEMU allows. */
static uint64_t l1_bounded(const struct qc *c, uint64_t off, uint64_t entries)
{
	uint64_t fit = off < c->q->file_size ? (c->q->file_size - off) / 8 : 0;

	if (off & (c->q->cluster_size - 1))
		return 0;
	if (entries > QCOW2_L1_MAX)
		entries = QCOW2_L1_MAX;
	return entries < fit ? entries : fit;
}

static int collect_active(struct qc *c)
{
	c->l1_entries = l1_bounded(c, c->q->l1_off, c->q->l1_size);
	c->l1 = calloc(c->l1_entries + 1, sizeof(*c->l1));
	if (!c->l1)
		return -ENOMEM;
	return collect_l1(c, QC_OWNER_ACTIVE, c->q->l1_off, c->l1_entries);
}

static int collect_snapshots(struct qc *c)
{
	const struct qcow2 *q = c->q;
	int r = qc_region(c, q->snapshots_off, q->snapshot_table_len, "snapshot table");

	if (!q->nb_snapshots && q->snapshots_off & (q->cluster_size - 1) && !c->silent)
		finding_fact(
			c->l, QCOW2_SNAPSHOT_TABLE,
			&(struct fact){.at = offsetof(struct qcow2_header, snapshots_offset),
				       .at_len = 8,
				       .stored = strf("0x%" PRIx64, q->snapshots_off),
				       .expected = "0, or the offset of a cluster"},
			"there are no snapshots, but the header names a table that does not begin "
			"at a cluster; QEMU refuses to open the image");
	for (size_t i = 0; !r && i < q->n_snapshots; i++) {
		const struct qcow2_snapshot *s = &q->snapshots[i];
		uint64_t n = l1_bounded(c, s->l1_off, s->l1_entries);

		if (n < s->l1_entries && !c->silent) {
			char name[80];

			finding(c->l, QCOW2_SNAPSHOT_L1, s->at, s->at_len,
				"the L1 table of %s at 0x%" PRIx64 ", %" PRIu32 " entries, %s",
				qc_owner_name(c, (uint32_t)i + 1, name), s->l1_off, s->l1_entries,
				s->l1_off & (q->cluster_size - 1) ? "does not begin at a cluster"
								  : "does not lie in the file");
		}
		r = collect_l1(c, (uint32_t)i + 1, s->l1_off, n);
	}
	return r;
}

int qc_collect(struct qc *c)
{
	const struct qcow2 *q = c->q;
	uint64_t table_len = (uint64_t)q->refcount_table_clusters << q->cluster_bits;
	int r = qc_region(c, 0, q->cluster_size, "header");

	if (!r)
		r = collect_active(c);
	if (!r)
		r = collect_snapshots(c);
	if (!r && q->refcount_bits)
		r = qc_load_blocks(c);
	if (!r && c->table_ok)
		r = qc_region(c, q->refcount_table_off, table_len, "refcount table");
	if (!r && q->luks_len)
		r = qc_region(c, q->luks_off, q->luks_len, "encryption header");
	if (!r)
		r = qc_bitmaps(c);
	if (r)
		return r;
	tables_unique(c);
	qc_sort(c->regions.v, c->regions.n, sizeof(*c->regions.v), region_order);
	return 0;
}

/* ---- All of it ---- */

int qc_init(struct qc *c, struct layer *l)
{
	struct qcow2 *q = qcow2_of(l);

	*c = (struct qc){.l = l, .q = q};
	pthread_mutex_init(&c->lock, NULL);
	c->clusters = (q->file_size + q->cluster_size - 1) >> q->cluster_bits;
	c->block_entries = q->cluster_size * 8 / (q->refcount_bits ? q->refcount_bits : 16);
	c->counted_end = q->file_size;
	c->plain_end = q->file_size & ~(q->cluster_size - 1);
	/* Guest clusters lie in another file, and have no refcounts: look at each entry. */
	if (q->incompat & QCOW2_INCOMPAT_DATA_FILE)
		c->plain_end = 0;
	return 0;
}

void qc_fini(struct qc *c)
{
	qc_counts_fini(&c->counts);
	free(c->tables.v);
	free(c->regions.v);
	free(c->blocks);
	free(c->blocks_sorted);
	free(c->l1);
	free(c->touched);
	free(c->bad.v);
	free(c->runs.v);
	free(c->refs.v);
	qc_orphans_free(c);
	pthread_mutex_destroy(&c->lock);
}

int qcow2_check(struct layer *l)
{
	struct qc c;
	int r;

	if (qcow2_of(l)->l != l)
		return 0; /* a snapshot: its tables are checked with the image */
	r = qc_init(&c, l);
	if (!r)
		r = qc_collect(&c);
	if (!r)
		r = qc_count_and_compare(&c);
	if (!r)
		r = qc_orphans(&c);
	if (!r)
		r = qc_report(&c);
	qc_fini(&c);
	return r;
}

int qcow2_rebuild(struct layer *l)
{
	struct qc c;
	int r = qc_init(&c, l);

	c.silent = true;
	if (!r)
		r = qc_collect(&c);
	if (!r)
		r = qc_count_and_compare(&c);
	if (!r)
		r = qc_orphans(&c);
	if (!r)
		r = qc_adopt(&c);
	qc_fini(&c);
	return r;
}

/* Entries of the active L1 table that have no table (*free), and of these, that can't be right. */
static void l1_places(const struct qc *c, uint64_t *free_places, uint64_t *wrong)
{
	unsigned shift = c->q->l2_bits + c->q->cluster_bits;
	uint64_t need = (c->l->size >> shift) + ((c->l->size & ((UINT64_C(1) << shift) - 1)) != 0);

	*free_places = *wrong = need > c->l1_entries ? need - c->l1_entries : 0;
	for (uint64_t i = 0; i < c->l1_entries && i < need; i++) {
		struct qcow2_desc d = qcow2_l1_desc(c->q, c->l1[i]);

		*free_places += d.kind != QCOW2_KIND_NORMAL;
		*wrong += d.kind == QCOW2_KIND_BAD;
	}
}

int qcow2_offer(struct layer *l, char *text, size_t cap)
{
	struct qc c;
	uint64_t places = 0, wrong = 0;
	bool small;
	int r = qc_init(&c, l);

	*text = '\0';
	c.silent = true;
	if (!r)
		r = qc_collect(&c);
	if (!r)
		l1_places(&c, &places, &wrong);
	small = c.tables.n << c.q->cluster_bits <= OFFER_TABLES && c.clusters <= OFFER_CLUSTERS;
	if (!r && places && small)
		r = qc_count_and_compare(&c);
	if (!r && places && small && c.diff_clusters[QC_ORPHAN] <= OFFER_ORPHANS) {
		r = qc_orphans(&c);
		if (!r)
			qc_offer(&c, text, cap);
	} else if (!r && wrong) {
		snprintf(text, cap, "%" PRIu64 " L1 entries can't be right; see what check finds",
			 wrong);
	}
	qc_fini(&c);
	return r;
}
