/* SPDX-License-Identifier: Apache-2.0 */
/* Which structure a host cluster belongs to, and which guest clusters refer to it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/container/qcow2_check.h"
#include "vdiskck/core/session.h"

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
