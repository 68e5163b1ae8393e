/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an address of the guest to the run that holds it.
 *
 * No table is held as a whole. L1 and L2 tables are read in slices through a bounded cache, by
 * their place in the file, so snapshots that share tables share slices too, and an 8 TiB disk
 * needs no more memory than a small one.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/container/chain.h"
#include "formats/container/qcow2_parts.h"
#include "vdiskck/core/cache.h"
#include "vdiskck/core/session.h"

enum {
	SLICE_MAX = 16 << 10,	 /* bytes of a table read at once */
	TABLES_MEMORY = 8 << 20, /* slices kept */
	MERGE_STEPS = 2048,	 /* entries that one map() looks at, or a slice of them */
};

/* ---- Tables ---- */

static size_t slice_size(const struct qcow2 *q)
{
	return q->cluster_size < SLICE_MAX ? (size_t)q->cluster_size : SLICE_MAX;
}

static int slice_fill(void *arg, struct cache_item *it)
{
	struct qcow2 *q = arg;

	return layer_read(q->l->below, it->key, it->buf, slice_size(q), &it->bad);
}

/* The slice with byte @at of the image file; @p is where that byte is. */
static int slice_get(struct qcow2 *q, uint64_t at, const struct cache_item **it, const uint8_t **p)
{
	size_t in = at & (slice_size(q) - 1);
	int r = cache_get(q->tables, at - in, 0, it);

	if (!r)
		*p = (*it)->buf + in;
	return r;
}

/* The first range of the slice's bad bytes that the entry at @at touches, or NULL. */
static const struct range *entry_bad(const struct cache_item *it, uint64_t at, uint64_t len)
{
	for (size_t i = 0; i < it->bad.n; i++) {
		const struct range *b = &it->bad.v[i];

		if (b->off < at + len && at < b->off + b->len)
			return b;
	}
	return NULL;
}

static void run_bad(struct qcow2_run *r, enum finding_id why)
{
	r->kind = QCOW2_KIND_BAD;
	r->why = why;
}

static const struct qcow2_adopted *adopted(const struct qcow2_view *v, uint64_t l1_index)
{
	size_t lo = 0, hi = v->n_adopted;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (v->adopted[mid].l1_index < l1_index)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < v->n_adopted && v->adopted[lo].l1_index == l1_index ? &v->adopted[lo] : NULL;
}

int qcow2_adopt_l2(struct layer *l, uint64_t l1_index, uint64_t host_off, bool certain)
{
	struct qcow2_view *v = l->priv;
	struct qcow2 *q = v->q;
	struct qcow2_adopted *a;
	size_t i = v->n_adopted;

	if (l1_index >= QCOW2_L1_MAX || l1_index << qcow2_l1_bits(q) >= v->size || !host_off ||
	    host_off % q->cluster_size || host_off >= q->file_size)
		return -EINVAL;
	a = (struct qcow2_adopted *)(uintptr_t)adopted(v, l1_index);
	if (a)
		return a->host_off == host_off ? 0 : -EEXIST;
	a = realloc(v->adopted, (v->n_adopted + 1) * sizeof(*a));
	if (!a)
		return -ENOMEM;
	v->adopted = a;
	for (; i && a[i - 1].l1_index > l1_index; i--)
		a[i] = a[i - 1];
	a[i] = (struct qcow2_adopted){l1_index, host_off, certain};
	v->n_adopted++;
	return 0;
}

/*
 * The L2 table for @off in @r->host (kind NORMAL), or the run that an L1 entry without one gives:
 * then it reaches over the L1 entries behind that are empty, too, up to @limit.
 */
static int l1_find(const struct qcow2_view *v, uint64_t off, uint64_t limit, struct qcow2_run *r)
{
	struct qcow2 *q = v->q;
	unsigned bits = qcow2_l1_bits(q);
	uint64_t index = off >> bits, at = v->l1_off + index * 8;
	const struct qcow2_adopted *a = v->n_adopted ? adopted(v, index) : NULL;
	const struct cache_item *it;
	const struct range *b;
	struct qcow2_desc d;
	const uint8_t *p;
	int err;

	*r = (struct qcow2_run){.off = off,
				.len = ((index + 1) << bits) - off,
				.doubt = QCOW2_NO_DOUBT,
				.steps = 1};
	if (a) {
		r->kind = QCOW2_KIND_NORMAL;
		r->host = a->host_off;
		if (!a->certain)
			r->doubt = QCOW2_L2_ADOPTED;
		return 0;
	}
	if (index >= v->l1_entries) {
		/* An adopted table may come behind: no further than this entry. */
		if (!v->n_adopted)
			r->len = v->size - off;
		run_bad(r, v->l1_why);
		return 0;
	}
	err = slice_get(q, at, &it, &p);
	if (err)
		return err;
	b = it->bad.n ? entry_bad(it, at, 8) : NULL;
	d = qcow2_l1_desc(q, be64(*(const be64_t *)p));
	r->kind = d.kind;
	r->host = d.host;
	r->why = d.why;
	if (d.reserved)
		r->doubt = QCOW2_L1_RESERVED;
	if (b && b->grade == GRADE_LOST)
		run_bad(r, b->why);
	else if (b)
		r->doubt = b->why;
	while (r->kind == QCOW2_KIND_UNALLOCATED && !it->bad.n && !v->n_adopted &&
	       ++index < v->l1_entries && r->off + r->len < limit) {
		p += 8;
		if (p == it->buf + slice_size(q) || be64(*(const be64_t *)p))
			break;
		r->len += UINT64_C(1) << bits;
		r->steps++;
	}
	cache_put(q->tables, it);
	return 0;
}

/* ---- Runs ---- */

/* Subcluster @i of @d: as alike ones follow, the run is longer. */
static void subclusters_run(const struct qcow2 *q, const struct qcow2_desc *d, uint64_t in,
			    struct qcow2_run *r)
{
	unsigned bits = q->cluster_bits - 5, i = (unsigned)(in >> bits), n = i + 1;
	uint32_t a = d->alloc >> i & 1, z = d->zero >> i & 1, b = d->bad >> i & 1;

	while (n < QCOW2_SUBCLUSTER_COUNT && (d->alloc >> n & 1) == a && (d->zero >> n & 1) == z &&
	       (d->bad >> n & 1) == b)
		n++;
	r->len = ((uint64_t)n << bits) - in;
	r->kind = z ? QCOW2_KIND_ZERO : a ? QCOW2_KIND_NORMAL : QCOW2_KIND_UNALLOCATED;
	if (b)
		run_bad(r, QCOW2_SUBCLUSTERS);
}

/* A cluster may begin inside the file that holds it and end behind its end. */
static void bound_by_data(const struct qcow2 *q, struct qcow2_run *r)
{
	if (r->kind != QCOW2_KIND_NORMAL)
		return;
	if (!q->data)
		run_bad(r, q->data_why);
	else if (r->host >= q->data->size)
		run_bad(r, QCOW2_L2_PAST_END);
	else if (r->len > q->data->size - r->host)
		r->len = q->data->size - r->host;
}

/* The run at @off by the L2 entry at @p, which is at @at of the file. It ends in the cluster. */
static void entry_run(const struct qcow2 *q, const struct cache_item *it, const uint8_t *p,
		      uint64_t at, uint64_t off, struct qcow2_run *r)
{
	const be64_t *e = (const be64_t *)p;
	struct qcow2_desc d = qcow2_desc(q, be64(e[0]), q->extended_l2 ? be64(e[1]) : 0);
	uint64_t in = off & (q->cluster_size - 1);
	const struct range *b = it->bad.n ? entry_bad(it, at, q->l2_entry) : NULL;

	*r = (struct qcow2_run){
		.off = off,
		.len = q->cluster_size - in,
		.kind = d.kind,
		.host = d.host + in,
		.why = d.why,
		.doubt = d.reserved ? QCOW2_L2_RESERVED : QCOW2_NO_DOUBT,
		.steps = 1,
	};
	if (b && b->grade == GRADE_LOST) {
		run_bad(r, b->why);
		return;
	}
	if (b)
		r->doubt = b->why;
	if (d.kind == QCOW2_KIND_COMPRESSED) {
		r->off -= in;
		r->len = q->cluster_size;
		r->host = d.host;
		r->packed = d.packed;
	} else if (d.kind == QCOW2_KIND_SUBCLUSTERS) {
		subclusters_run(q, &d, in, r);
	}
	bound_by_data(q, r);
}

/* Does @b go on where @a ends? Then @a is made longer. */
static bool run_join(struct qcow2_run *a, const struct qcow2_run *b)
{
	if (a->kind != b->kind || a->kind == QCOW2_KIND_COMPRESSED || a->doubt != b->doubt ||
	    a->off + a->len != b->off ||
	    (a->kind == QCOW2_KIND_NORMAL && a->host + a->len != b->host) ||
	    (a->kind == QCOW2_KIND_BAD && a->why != b->why))
		return false;
	a->len += b->len;
	a->steps += b->steps;
	return true;
}

/*
 * Entries that go on as the one at @p does are most of all entries, and need no decoding: the
 * next cluster, or the same entry for what has none. @r ends with the cluster of @p; returns the
 * last entry that it was made longer by.
 */
static const uint8_t *alike(const struct qcow2 *q, const uint8_t *p, const uint8_t *end,
			    uint64_t limit, struct qcow2_run *r)
{
	uint64_t entry = be64(*(const be64_t *)p), step = 0;

	if (r->kind == QCOW2_KIND_NORMAL)
		step = q->cluster_size;
	else if (r->kind != QCOW2_KIND_UNALLOCATED && r->kind != QCOW2_KIND_ZERO)
		return p;
	while (p + 8 < end && r->off + r->len < limit) {
		entry += step;
		if (be64(*(const be64_t *)(p + 8)) != entry)
			break;
		if (step && r->host + r->len + step > q->data->size)
			break;
		r->len += q->cluster_size;
		r->steps++;
		p += 8;
	}
	return p;
}

/* The run at @off by the slice of its L2 table, no longer than needed to reach @limit. */
static int l2_find(const struct qcow2_view *v, uint64_t table, uint64_t off, uint64_t limit,
		   struct qcow2_run *r)
{
	struct qcow2 *q = v->q;
	uint64_t index = off >> q->cluster_bits & ((UINT64_C(1) << q->l2_bits) - 1);
	uint64_t at = table + index * q->l2_entry;
	const struct cache_item *it;
	const uint8_t *p, *end;
	int err = slice_get(q, at, &it, &p);

	if (err)
		return err;
	end = it->buf + slice_size(q);
	entry_run(q, it, p, at, off, r);
	if (!q->extended_l2 && !it->bad.n && !((r->off + r->len) & (q->cluster_size - 1))) {
		const uint8_t *last = alike(q, p, end, limit, r);

		at += (uint64_t)(last - p);
		p = last;
	}
	while (r->off + r->len < limit) {
		struct qcow2_run next;
		uint64_t to = r->off + r->len;

		if (!(to & (q->cluster_size - 1))) {
			p += q->l2_entry;
			at += q->l2_entry;
			if (p == end)
				break;
		}
		entry_run(q, it, p, at, to, &next);
		if (!run_join(r, &next))
			break;
	}
	cache_put(q->tables, it);
	return 0;
}

/*
 * With a raw external data file, every guest byte is at its own offset there: what a broken table
 * leaves out is read without it. spec, autoclear bit 1.
 */
static void rescue_raw(const struct qcow2_view *v, struct qcow2_run *r)
{
	const struct layer *data = v->q->data;

	if (!v->q->data_raw || !data || r->kind != QCOW2_KIND_BAD || r->off >= data->size)
		return;
	r->kind = QCOW2_KIND_NORMAL;
	r->host = r->off;
	if (r->len > data->size - r->off)
		r->len = data->size - r->off;
}

int qcow2_run_find(const struct qcow2_view *v, uint64_t off, uint64_t limit, struct qcow2_run *r)
{
	enum finding_id doubt;
	int err = l1_find(v, off, limit, r);

	if (!err && r->kind == QCOW2_KIND_NORMAL) {
		doubt = r->doubt;
		err = l2_find(v, r->host, off, limit, r);
		if (doubt != QCOW2_NO_DOUBT)
			r->doubt = doubt;
	}
	if (!err)
		rescue_raw(v, r);
	return err;
}

int qcow2_map(struct layer *l, uint64_t off, struct extent *run)
{
	struct qcow2_view *v = l->priv;
	struct qcow2 *q = v->q;
	struct qcow2_run r, next;
	int err = qcow2_run_find(v, off, v->size, &r);

	while (!err && r.steps < MERGE_STEPS && r.off + r.len < v->size) {
		if (r.kind == QCOW2_KIND_COMPRESSED)
			break;
		err = qcow2_run_find(v, r.off + r.len, v->size, &next);
		if (err || !run_join(&r, &next))
			break;
	}
	if (err)
		return err;
	run->off = r.off;
	run->len = r.len;
	switch (r.kind) {
	case QCOW2_KIND_UNALLOCATED:
		if (q->backing)
			return chain_map(q->l, off, r.len, q->backing_why, run);
		run->kind = EXTENT_ZERO;
		break;
	case QCOW2_KIND_ZERO: run->kind = EXTENT_ZERO; break;
	case QCOW2_KIND_BAD:
		run->kind = EXTENT_LOST;
		run->why = r.why;
		break;
	default:
		run->kind = EXTENT_DATA;
		run->in = r.packed ? q->l->below : q->data;
		run->at = r.host;
		run->packed = r.packed;
		run->coded = q->crypt_method != 0;
		run->exact = !r.packed && !q->crypt_method && r.doubt == QCOW2_NO_DOUBT;
	}
	return 0;
}

/* ---- Opening ---- */

/* A small file has few tables: a cache for more takes longer to make than to fill. */
struct cache *qcow2_tables_cache(struct qcow2 *q)
{
	uint64_t n = TABLES_MEMORY / slice_size(q), in_file = q->l->below->size / slice_size(q);

	return cache_new(slice_size(q), (size_t)(n > in_file ? in_file + 1 : n), slice_fill, q);
}

static void view_lost(struct layer *l, const struct qcow2_view *v, enum finding_id id,
		      uint64_t from, uint64_t at, uint64_t at_len, const char *stored,
		      const char *what)
{
	uint64_t off = from << qcow2_l1_bits(v->q);

	finding_fact(l, id,
		     &(struct fact){.at = at,
				    .at_len = at_len,
				    .off = off,
				    .len = v->size - off,
				    .lost = !v->q->data_raw,
				    .stored = stored},
		     "%s", what);
}

void qcow2_view_init(struct layer *l, struct qcow2_view *v, uint64_t l1_off, uint64_t l1_entries,
		     uint64_t at, uint64_t at_len)
{
	const struct qcow2 *q = v->q;
	unsigned bits = qcow2_l1_bits(q);
	uint64_t need = (l->size >> bits) + ((l->size & ((UINT64_C(1) << bits) - 1)) != 0);
	uint64_t in_file = l1_off < q->file_size ? (q->file_size - l1_off) / 8 : 0;
	const char *stored = strf("%" PRIu64 " entries at 0x%" PRIx64, l1_entries, l1_off);

	v->l1_off = l1_off;
	v->size = l->size;
	v->l1_why = QCOW2_L1_SHORT;
	v->l1_entries = need < l1_entries ? need : l1_entries;
	if (l1_entries > QCOW2_L1_MAX)
		finding_fact(l, QCOW2_L1_SIZE,
			     &(struct fact){.at = at, .at_len = at_len, .stored = stored},
			     "the L1 table states %" PRIu64 " entries; the disk needs %" PRIu64,
			     l1_entries, need);
	if (l1_entries < need)
		view_lost(l, v, QCOW2_L1_SHORT, l1_entries, at, at_len, stored,
			  "the L1 table ends before the disk does");
	if (v->l1_entries && (l1_off < q->cluster_size || l1_off % q->cluster_size)) {
		v->l1_entries = 0;
		v->l1_why = QCOW2_L1_OUTSIDE;
		view_lost(l, v, QCOW2_L1_OUTSIDE, 0, at, at_len, stored,
			  "the L1 table can't be where the image says");
	} else if (v->l1_entries > in_file) {
		v->l1_entries = in_file;
		v->l1_why = QCOW2_L1_OUTSIDE;
		view_lost(l, v, QCOW2_L1_OUTSIDE, in_file, at, at_len, stored,
			  "the L1 table ends behind the end of the file");
	}
}
