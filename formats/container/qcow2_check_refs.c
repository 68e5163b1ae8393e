/* SPDX-License-Identifier: Apache-2.0 */
/* Step 2 of the check: read every L2 table once and count what it refers to. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/container/qcow2_check.h"
#include "vdiskck/core/pool.h"
#include "vdiskck/core/session.h"

enum {
	WINDOW_8BIT = 32 << 20,	 /* host clusters that one window counts: 32 MiB of memory */
	WINDOW_2BIT = 128 << 20, /* the same */
	WINDOW_32BIT = 8 << 20,	 /* the same; after too many counters ran over */
	UNIT = WINDOW_32BIT,	 /* all windows are multiples of it */
	WINDOWS_MAX = 256,	 /* each reads all L2 tables again: more is not examined */
	AHEAD = 32,		 /* counters that are fetched before the first of them is changed */
};
#define CLUSTERS_MAX (UINT64_C(1) << 40)

/* Buffers for the threads of one pass; a thread takes one for each batch. */
struct pass {
	struct qc *c;
	int (*fn)(struct qc *c, struct qc_table *t, const uint8_t *p);
	size_t per_batch; /* tables */
	uint8_t **free;
	size_t n_free;
	pthread_mutex_t lock;
};

/* Read tables [i, j), which lie behind each other, and pass them on. */
static int pass_tables(struct pass *s, size_t i, size_t j, uint8_t *buf)
{
	struct qc *c = s->c;
	size_t size = (size_t)c->q->cluster_size;
	int r = layer_read(c->l->below, c->tables.v[i].off, buf, (j - i) * size, NULL);

	qc_checked(c, (j - i) * size);
	for (; !r && i < j; i++, buf += size)
		r = s->fn(c, &c->tables.v[i], buf);
	return r;
}

static int pass_batch(void *arg, size_t batch)
{
	struct pass *s = arg;
	struct qc *c = s->c;
	size_t i = batch * s->per_batch, end = i + s->per_batch, j;
	uint8_t *buf;
	int r = session_stopped(c->l->s) ? -EINTR : 0;

	if (end > c->tables.n)
		end = c->tables.n;
	pthread_mutex_lock(&s->lock);
	buf = s->free[--s->n_free];
	pthread_mutex_unlock(&s->lock);
	for (; !r && i < end; i = j) {
		for (j = i + 1; j < end; j++)
			if (c->tables.v[j].off != c->tables.v[j - 1].off + c->q->cluster_size)
				break;
		r = pass_tables(s, i, j, buf);
	}
	pthread_mutex_lock(&s->lock);
	s->free[s->n_free++] = buf;
	pthread_mutex_unlock(&s->lock);
	return r;
}

int qc_each_table(struct qc *c, int (*fn)(struct qc *c, struct qc_table *t, const uint8_t *p))
{
	unsigned jobs = session_jobs(c->l->s);
	size_t size = (size_t)c->q->cluster_size;
	struct pass s = {.c = c, .fn = fn, .per_batch = size < QC_BATCH ? QC_BATCH / size : 1};
	size_t batches = (c->tables.n + s.per_batch - 1) / s.per_batch;
	int r = -ENOMEM;

	if (jobs > batches)
		jobs = batches ? (unsigned)batches : 1;
	pthread_mutex_init(&s.lock, NULL);
	s.free = calloc(jobs, sizeof(*s.free));
	if (!s.free)
		goto out;
	for (; s.n_free < jobs; s.n_free++) {
		s.free[s.n_free] = malloc(s.per_batch * size);
		if (!s.free[s.n_free])
			goto out;
	}
	r = pool_run(jobs, batches, pass_batch, &s);
out:
	while (s.free && s.n_free)
		free(s.free[--s.n_free]);
	free(s.free);
	pthread_mutex_destroy(&s.lock);
	return r;
}

/* ---- The entries of one table ---- */

/* Masks of what makes an entry plain: a standard cluster, aligned, nothing reserved. */
struct plain {
	uint64_t odd; /* any of these bits: look closer */
	uint64_t end; /* host offsets from here on: look closer */
};

static void bad_entry(struct qc *c, struct qc_table *t, uint32_t i, uint64_t entry,
		      enum finding_id id)
{
	struct qc_bad b = {
		.id = id,
		.at = t->off + (uint64_t)i * c->q->l2_entry,
		.entry = entry,
		.guest = ((uint64_t)t->l1_index << c->q->l2_bits) + i,
		.n = 1,
		.owner = t->owner,
	};
	struct qc_bad *last;

	if (c->bad_seen)
		return; /* an earlier window's pass has reported it */
	pthread_mutex_lock(&c->lock);
	last = c->bad.n ? &c->bad.v[c->bad.n - 1] : NULL;
	if (last && last->id == id && last->owner == b.owner && last->guest + last->n == b.guest &&
	    last->at + (uint64_t)last->n * c->q->l2_entry == b.at)
		last->n++;
	else if (c->bad.n >= QC_EVENTS_MAX)
		c->bad_more++;
	else if (QC_PUSH(c->bad, b))
		atomic_store(&c->err, -ENOMEM);
	pthread_mutex_unlock(&c->lock);
}

/* Host clusters that are referred to, and in which windows they lie. */
static void refer(struct qc *c, uint64_t cluster, uint64_t n, uint32_t weight, uint32_t flags)
{
	if (c->touched) {
		for (uint64_t u = cluster / UNIT; u <= (cluster + n - 1) / UNIT; u++)
			if (u < c->n_touched)
				__atomic_store_n(&c->touched[u], 1, __ATOMIC_RELAXED);
	}
	if (n == 1)
		qc_add(&c->counts, cluster, weight, flags);
	else
		qc_add_run(&c->counts, cluster, n, weight, flags);
}

static uint32_t entry_flags(const struct qc_table *t, uint64_t entry)
{
	return !t->active ? 0 : entry & QCOW2_COPIED ? QC_COPIED : QC_SHARED;
}

/* The last cluster of the file may be cut, but what is packed can't reach a whole one further. */
static bool packed_past_end(const struct qcow2 *q, uint64_t entry)
{
	unsigned x = 62 - (q->cluster_bits - 8);
	uint64_t host = entry & ((UINT64_C(1) << x) - 1);
	uint64_t sectors = ((entry & ~(QCOW2_COPIED | QCOW2_COMPRESSED)) >> x) + 1;
	uint64_t end = (host & ~UINT64_C(511)) + sectors * 512;

	return end > q->file_size && end - q->file_size >= q->cluster_size;
}

static uint64_t be(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap64(v);
}

struct packed {
	uint64_t start;
	uint32_t i;
};

static int packed_order(const void *a, const void *b)
{
	const struct packed *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->i < y->i ? -1 : x->i > y->i;
}

/*
 * Two entries of a table that name the same packed bytes: QEMU packs each cluster for itself. Many
 * share a host cluster, so that refcounts may still agree. Between tables it is not looked for:
 * other bytes of one host cluster belong to guest clusters that were written one after the other,
 * so most of them are in one table.
 */
static int packed_twice(struct qc *c, struct qc_table *t, const uint8_t *p)
{
	uint32_t entries = 1u << c->q->l2_bits, size = c->q->l2_entry;
	uint64_t mask = (UINT64_C(1) << (62 - (c->q->cluster_bits - 8))) - 1, prev = 0;
	struct packed *v;
	bool ordered = true;
	size_t n = 0;

	for (uint32_t i = 0; i < entries && ordered; i++) {
		uint64_t e = be(p + (size_t)i * size);

		if (!(e & QCOW2_COMPRESSED))
			continue;
		ordered = (e & mask) > prev;
		prev = e & mask;
	}
	if (ordered || c->bad_seen)
		return 0;
	v = malloc(entries * sizeof(*v));
	if (!v)
		return -ENOMEM;
	for (uint32_t i = 0; i < entries; i++)
		if (be(p + (size_t)i * size) & QCOW2_COMPRESSED)
			v[n++] = (struct packed){be(p + (size_t)i * size) & mask, i};
	qc_sort(v, n, sizeof(*v), packed_order);
	for (size_t k = 0; k < n; k++)
		if ((k && v[k].start == v[k - 1].start) ||
		    (k + 1 < n && v[k].start == v[k + 1].start))
			bad_entry(c, t, v[k].i, be(p + (size_t)v[k].i * size),
				  QCOW2_CLUSTER_SHARED);
	free(v);
	return 0;
}

/*
 * Anything that is not plain. As in QEMU, an entry that points into the middle of a cluster
 * counts for that cluster: it is the one that was meant more often than not.
 */
static void odd_entry(struct qc *c, struct qc_table *t, uint32_t i, uint64_t entry, uint64_t bitmap)
{
	const struct qcow2 *q = c->q;
	struct qcow2_desc d = qcow2_desc(q, entry, bitmap);
	uint64_t off = entry & QCOW2_OFFSET_MASK, first, last;
	bool data_file = q->incompat & QCOW2_INCOMPAT_DATA_FILE;

	if (d.reserved)
		bad_entry(c, t, i, entry, QCOW2_L2_RESERVED);
	if (d.kind == QCOW2_KIND_BAD && !(d.reserved && d.why == QCOW2_L2_RESERVED))
		bad_entry(c, t, i, entry, d.why);
	if (d.kind == QCOW2_KIND_SUBCLUSTERS && d.bad)
		bad_entry(c, t, i, entry, QCOW2_SUBCLUSTERS);
	/* A preallocated cluster that reads as zeros: nothing is lost, but it is wrong. */
	if (d.kind == QCOW2_KIND_ZERO && off & (q->cluster_size - 1))
		bad_entry(c, t, i, entry, QCOW2_L2_UNALIGNED);
	else if (d.kind == QCOW2_KIND_ZERO && !data_file && off >= c->counted_end)
		bad_entry(c, t, i, entry, QCOW2_L2_PAST_END);
	if (!off && !data_file && (entry & (QCOW2_COPIED | QCOW2_COMPRESSED)) == QCOW2_COPIED)
		bad_entry(c, t, i, entry, QCOW2_COPIED_UNUSED);
	if (entry & QCOW2_COMPRESSED) {
		if (entry & QCOW2_COPIED)
			bad_entry(c, t, i, entry, QCOW2_COMPRESSED_COPIED);
		if (d.kind != QCOW2_KIND_COMPRESSED || !d.packed)
			return;
		if (packed_past_end(q, entry)) {
			bad_entry(c, t, i, entry, QCOW2_L2_PAST_END);
			return;
		}
		first = d.host >> q->cluster_bits;
		last = (d.host + d.packed - 1) >> q->cluster_bits;
		refer(c, first, last - first + 1, t->weight, 0);
		return;
	}
	if (d.kind == QCOW2_KIND_UNALLOCATED || !off || data_file || off >= c->counted_end)
		return;
	refer(c, off >> q->cluster_bits, 1, t->weight, entry_flags(t, entry));
}

static bool zeros(const uint8_t *p)
{
	uint64_t v[8];

	memcpy(v, p, sizeof(v));
	return !(v[0] | v[1] | v[2] | v[3] | v[4] | v[5] | v[6] | v[7]);
}

/* How many entries from @p on, at most @max, continue @entry by one cluster each. */
static uint32_t run_length(const uint8_t *p, uint64_t entry, uint32_t max, uint64_t cluster_size)
{
	uint32_t n = 1;

	if (max < 2 || be(p + 8) != entry + cluster_size)
		return 1; /* fragmented: the usual case where there are no runs */
	while (n + 8 <= max) {
		uint64_t differ = 0;

		for (uint32_t k = 0; k < 8; k++)
			differ |= be(p + 8 * (n + k)) ^ (entry + (n + k) * cluster_size);
		if (differ)
			break;
		n += 8;
	}
	while (n < max && be(p + 8 * n) == entry + n * cluster_size)
		n++;
	return n;
}

/* Single references whose counters are on their way from memory. */
struct ahead {
	uint32_t n;
	uint64_t cluster[AHEAD];
	uint8_t flags[AHEAD];
};

static void ahead_flush(struct qc *c, uint32_t weight, struct ahead *a)
{
	for (uint32_t i = 0; i < a->n; i++)
		refer(c, a->cluster[i], 1, weight, a->flags[i]);
	a->n = 0;
}

static int count_table(struct qc *c, struct qc_table *t, const uint8_t *p)
{
	const struct qcow2 *q = c->q;
	uint32_t n = 1u << q->l2_bits, allocated = 0, len;
	uint64_t plain = QCOW2_OFFSET_MASK & ~(q->cluster_size - 1);
	uint64_t odd = ~(plain | QCOW2_COPIED);
	struct ahead a = {0};
	bool packed = false;
	int r = 0;

	for (uint32_t i = 0; i < n; i += len) {
		uint64_t e = be(p + 8 * i), off = e & plain;

		len = 1;
		if (!e) {
			while (i + len + 8 <= n && zeros(p + 8 * (i + len)))
				len += 8;
			continue;
		}
		allocated++;
		if (e & odd || !off || off >= c->plain_end) {
			odd_entry(c, t, i, e, 0);
			packed |= (e & QCOW2_COMPRESSED) != 0;
			continue;
		}
		len = n - i;
		if (len > (c->plain_end - off) >> q->cluster_bits)
			len = (uint32_t)((c->plain_end - off) >> q->cluster_bits);
		len = run_length(p + 8 * i, e, len ? len : 1, q->cluster_size);
		allocated += len - 1;
		if (len > 1) {
			refer(c, off >> q->cluster_bits, len, t->weight, entry_flags(t, e));
			continue;
		}
		qc_prefetch(&c->counts, off >> q->cluster_bits);
		a.cluster[a.n] = off >> q->cluster_bits;
		a.flags[a.n++] = (uint8_t)entry_flags(t, e);
		if (a.n == AHEAD)
			ahead_flush(c, t->weight, &a);
	}
	ahead_flush(c, t->weight, &a);
	t->allocated = allocated;
	if (packed)
		r = packed_twice(c, t, p);
	return r ? r : atomic_load(&c->counts.full) ? -ENOBUFS : atomic_load(&c->err);
}

static int count_extended(struct qc *c, struct qc_table *t, const uint8_t *p)
{
	uint32_t n = 1u << c->q->l2_bits, allocated = 0;
	bool packed = false;
	int r = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t e = be(p + 16 * i), bitmap = be(p + 16 * i + 8);

		if (!e && !bitmap)
			continue;
		allocated++;
		odd_entry(c, t, i, e, bitmap);
		packed |= (e & QCOW2_COMPRESSED) != 0;
	}
	t->allocated = allocated;
	if (packed)
		r = packed_twice(c, t, p);
	return r ? r : atomic_load(&c->counts.full) ? -ENOBUFS : atomic_load(&c->err);
}

/* ---- Windows ---- */

static int count_window(struct qc *c)
{
	const struct qcow2 *q = c->q;
	int r;

	for (size_t i = 0; i < c->regions.n; i++)
		refer(c, c->regions.v[i].off >> q->cluster_bits,
		      c->regions.v[i].len >> q->cluster_bits, 1, 0);
	for (uint64_t i = 0; i < c->n_blocks; i++)
		if (c->blocks[i] && c->blocks[i] != QC_BLOCK_LOST)
			refer(c, c->blocks[i] >> q->cluster_bits, 1, 1, 0);
	for (size_t i = 0; i < c->tables.n; i++)
		refer(c, c->tables.v[i].off >> q->cluster_bits, 1, c->tables.v[i].weight,
		      c->tables.v[i].flags);
	r = qc_each_table(c, q->extended_l2 ? count_extended : count_table);
	if (r != -ENOBUFS)
		c->bad_seen = true;
	else
		c->bad.n = 0, c->bad_more = 0;
	return r;
}

/* Does anything at all lie in host clusters [first, first + n)? */
static bool window_used(const struct qc *c, uint64_t first, uint64_t n)
{
	if (!c->touched || !c->bad_seen)
		return true; /* not known before the first pass is through */
	for (uint64_t u = first / UNIT; u < (first + n + UNIT - 1) / UNIT && u < c->n_touched; u++)
		if (c->touched[u])
			return true;
	for (uint64_t i = first / c->block_entries;
	     i < c->n_blocks && i * c->block_entries < first + n; i++)
		if (c->blocks[i])
			return true;
	return false;
}

static int not_compared(struct qc *c, uint64_t first)
{
	if (!c->silent)
		finding(c->l, QCOW2_NOT_COMPARED, first << c->q->cluster_bits,
			c->q->file_size - (first << c->q->cluster_bits),
			"refcounts from 0x%" PRIx64 " on were not compared: the file has too many "
			"clusters",
			first << c->q->cluster_bits);
	return 0;
}

int qc_count_and_compare(struct qc *c)
{
	/* One cluster more: the last packed cluster's sectors may reach behind the end. */
	uint64_t all = c->clusters + 1, first = 0, n;
	enum qc_width width = all <= WINDOW_8BIT ? QC_8BIT : QC_2BIT;
	unsigned windows = 0;
	int r = 0;

	if (all > CLUSTERS_MAX)
		return not_compared(c, 0);
	if (all > WINDOW_2BIT) {
		c->n_touched = all / UNIT + 1;
		c->touched = calloc(c->n_touched, 1);
		if (!c->touched)
			return -ENOMEM;
	}
	while (!r && first < all) {
		n = width == QC_8BIT ? WINDOW_8BIT : width == QC_2BIT ? WINDOW_2BIT : WINDOW_32BIT;
		if (n > all - first)
			n = all - first;
		if (!window_used(c, first, n)) {
			first += n;
			continue;
		}
		if (windows++ == WINDOWS_MAX)
			return not_compared(c, first);
		qc_counts_fini(&c->counts);
		r = qc_counts_init(&c->counts, width, first, n);
		if (!r)
			r = count_window(c);
		if (r == -ENOBUFS) {
			width = QC_32BIT;
			r = 0;
			continue;
		}
		if (!r)
			r = qc_compare(c);
		first += n;
	}
	c->one_window = windows == 1;
	return r;
}
