/* SPDX-License-Identifier: Apache-2.0 */
/* Step 3 of the check: the refcounts that are stored against the references that were counted. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/container/qcow2_check.h"
#include "vdiskck/core/pool.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/span.h"
#include "vdiskck/core/sum.h"

enum { TABLE_MAX = 8 << 20 }; /* bytes of a refcount table, QEMU's limit */

int qc_room(void *v, size_t *cap, size_t n, size_t size)
{
	void **p = v, *more;
	size_t want = *cap ? *cap * 2 : 64;

	if (n < *cap)
		return 0;
	more = realloc(*p, want * size);
	if (!more)
		return -ENOMEM;
	*p = more;
	*cap = want;
	return 0;
}

/* ---- The refcount table ---- */

/* An entry of the table that is not zero: where its block lies, or QC_BLOCK_LOST. */
static uint64_t block_of(struct qc *c, uint64_t index, uint64_t entry, uint64_t at)
{
	const char *why = NULL;
	uint64_t off = entry & ~UINT64_C(0x1ff);

	if (entry & 0x1ff)
		why = "has reserved bits set";
	else if (off & (c->q->cluster_size - 1))
		why = "points into the middle of a cluster";
	else if (off >= c->q->file_size)
		why = "points past the end of the file";
	if (!why)
		return off;
	if (!c->silent)
		finding_fact(
			c->l, QCOW2_REFCOUNT_TABLE_ENTRY,
			&(struct fact){.at = at, .at_len = 8, .stored = strf("0x%" PRIx64, entry)},
			"refcount table entry %" PRIu64 " %s: the refcounts of 0x%" PRIx64
			"..0x%" PRIx64 " are unknown",
			index, why, index * c->block_entries << c->q->cluster_bits,
			(index + 1) * c->block_entries << c->q->cluster_bits);
	return QC_BLOCK_LOST;
}

static int table_outside(struct qc *c, const char *why)
{
	if (!c->silent)
		finding(c->l, QCOW2_REFCOUNT_TABLE_LOST, c->q->refcount_table_off,
			(uint64_t)c->q->refcount_table_clusters << c->q->cluster_bits,
			"the refcount table at 0x%" PRIx64 ", %" PRIu32 " clusters, %s",
			c->q->refcount_table_off, c->q->refcount_table_clusters, why);
	return 0;
}

int qc_load_blocks(struct qc *c)
{
	const struct qcow2 *q = c->q;
	uint64_t len = (uint64_t)q->refcount_table_clusters << q->cluster_bits;
	uint64_t off = q->refcount_table_off;
	be64_t *raw = NULL;
	int r = 0;

	if (!len)
		return table_outside(c, "is empty");
	if (off & (q->cluster_size - 1))
		return table_outside(c, "does not begin at a cluster");
	if (off >= q->file_size)
		return table_outside(c, "lies past the end of the file");
	if (len > TABLE_MAX)
		len = TABLE_MAX;
	if (!range_inside(off, len, q->file_size)) {
		table_outside(c, "ends past the end of the file");
		len = (q->file_size - off) & ~UINT64_C(7);
	}
	raw = malloc(len + 8);
	c->blocks = calloc(len / 8 + 1, sizeof(*c->blocks));
	if (!raw || !c->blocks) {
		r = -ENOMEM;
		goto out;
	}
	r = layer_read(c->l->below, off, raw, len, NULL);
	if (r)
		goto out;
	qc_checked(c, len);
	c->n_blocks = len / 8;
	for (uint64_t i = 0; i < c->n_blocks; i++) {
		uint64_t e = be64(raw[i]);

		c->blocks[i] = e ? block_of(c, i, e, off + i * 8) : 0;
	}
	/* All refcounts are in there: a table that lies behind the end tells nothing. */
	c->table_ok = true;
out:
	free(raw);
	return r;
}

/* ---- Refcount blocks ---- */

/* Refcount @i of a block, spec "Refcount blocks"; narrow ones begin at the lowest bit. */
static uint64_t refcount_at(const uint8_t *p, uint32_t bits, uint64_t i)
{
	uint64_t v = 0;

	if (bits < 8)
		return p[i * bits / 8] >> (i * bits % 8) & ((1u << bits) - 1);
	for (uint32_t k = 0; k < bits / 8; k++)
		v = v << 8 | p[i * (bits / 8) + k];
	return v;
}

uint64_t qc_stored(struct qc *c, uint64_t cluster)
{
	uint64_t block = cluster / c->block_entries, i = cluster % c->block_entries;
	uint32_t bits = c->q->refcount_bits;
	uint8_t buf[8] = {0};

	if (block >= c->n_blocks || !c->blocks[block] || c->blocks[block] == QC_BLOCK_LOST ||
	    layer_read(c->l->below, c->blocks[block] + i * bits / 8, buf, sizeof(buf), NULL))
		return 0;
	return bits < 8 ? refcount_at(buf, bits, i % (8 / bits)) : refcount_at(buf, bits, 0);
}

struct blocks {
	struct qc *c;
	uint64_t first; /* block */
};

static void run_end(struct qc *c, struct qc_run *run)
{
	if (!run->n)
		return;
	pthread_mutex_lock(&c->lock);
	c->diff_clusters[run->diff] += run->n;
	if (c->runs.n >= QC_EVENTS_MAX)
		c->runs_more[run->diff] += run->n;
	else if (QC_PUSH(c->runs, *run))
		atomic_store(&c->err, -ENOMEM);
	pthread_mutex_unlock(&c->lock);
	run->n = 0;
}

static uint32_t bounded(uint64_t v)
{
	return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

static void differs(struct qc *c, struct qc_run *run, uint64_t cluster, enum qc_diff diff,
		    uint64_t stored, uint32_t counted)
{
	if (run->n && run->first + run->n == cluster && run->stored == bounded(stored) &&
	    run->counted == counted) {
		run->n++;
		return;
	}
	run_end(c, run);
	*run = (struct qc_run){cluster, 1, diff, bounded(stored), counted};
}

/* One run is kept per kind of difference, since a cluster can have two. */
static void compare_one(struct qc *c, struct qc_run runs[QC_DIFFS], uint64_t cluster,
			uint64_t stored)
{
	struct qc_count n = qc_get(&c->counts, cluster);
	bool lower = n.n < QC_COUNT_MAX ? stored < n.n : stored < QC_COUNT_MAX;

	if (lower) {
		differs(c, &runs[QC_LOW], cluster, QC_LOW, stored, n.n);
		return; /* what COPIED says follows from it */
	}
	if (stored > n.n && !n.n)
		differs(c, &runs[QC_ORPHAN], cluster, QC_ORPHAN, stored, 0);
	else if (stored > n.n && n.n < QC_COUNT_MAX)
		differs(c, &runs[QC_HIGH], cluster, QC_HIGH, stored, n.n);
	if (n.flags & QC_COPIED && stored != 1)
		differs(c, &runs[QC_COPIED_SET], cluster, QC_COPIED_SET, stored, n.n);
	if (n.flags & QC_SHARED && stored == 1)
		differs(c, &runs[QC_COPIED_CLEAR], cluster, QC_COPIED_CLEAR, stored, n.n);
}

/* 64 refcounts of 16 bits that are all @v (0 or 1). */
static bool all_16bit(const uint8_t *p, uint8_t v)
{
	uint64_t word[16], want = v ? UINT64_C(0x0100010001000100) : 0, differ = 0;

	memcpy(word, p, sizeof(word));
	for (unsigned i = 0; i < 16; i++)
		differ |= word[i] ^ want;
	return !differ;
}

/* Do 64 refcounts of 16 bits agree with 64 counters of 8 bits? See qcow2_count.c. */
static bool agree_16bit(const uint8_t *p, const uint8_t *counts)
{
	uint16_t stored[64], wrong = 0;

	memcpy(stored, p, sizeof(stored));
	for (unsigned i = 0; i < 64; i++) {
		uint16_t r = (uint16_t)(stored[i] << 8 | stored[i] >> 8), v = counts[i];
		uint16_t one = r == 1, n = v & 63;

		wrong |= (uint16_t)((r ^ n) | (n == 63) | (v >> 6 & 1 & !one) | (v >> 7 & one));
	}
	return !wrong;
}

static bool chunk_agrees(const struct qc *c, uint64_t cluster, const uint8_t *p)
{
	const struct qc_counts *n = &c->counts;

	if (c->q->refcount_bits != 16 || cluster + 64 > n->first + n->n)
		return false;
	if (all_16bit(p, 1) && qc_all_64(n, cluster, true))
		return true;
	if (n->width == QC_8BIT)
		return agree_16bit(p, (const uint8_t *)n->v + (cluster - n->first));
	return all_16bit(p, 0) && qc_all_64(n, cluster, false);
}

/* Clusters [from, to) of a window against block @p, whose first cluster is @base; NULL: zeros. */
static void compare_block(struct qc *c, const uint8_t *p, uint64_t base, uint64_t from, uint64_t to)
{
	struct qc_run runs[QC_DIFFS] = {0};
	uint32_t bits = c->q->refcount_bits;

	while (from < to) {
		uint64_t n = to - from < 64 ? to - from : 64;

		if (n == 64 && from % 64 == 0) {
			if (p ? chunk_agrees(c, from, p + (from - base) * bits / 8)
			      : qc_all_64(&c->counts, from, false)) {
				from += 64;
				continue;
			}
		} else if (from % 64 && n > 64 - from % 64) {
			n = 64 - from % 64;
		}
		for (uint64_t end = from + n; from < end; from++)
			compare_one(c, runs, from, p ? refcount_at(p, bits, from - base) : 0);
	}
	for (int d = 0; d < QC_DIFFS; d++)
		run_end(c, &runs[d]);
}

/* Refcounts behind the end of the file: blocks are made ahead of the data. */
static void count_past_end(struct qc *c, const uint8_t *p, uint64_t base, uint64_t from)
{
	uint64_t n = 0;

	for (; from < base + c->block_entries; from++)
		n += refcount_at(p, c->q->refcount_bits, from - base) != 0;
	pthread_mutex_lock(&c->lock);
	c->past_end += n;
	pthread_mutex_unlock(&c->lock);
}

static int compare_nth(void *arg, size_t i)
{
	struct blocks *b = arg;
	struct qc *c = b->c;
	uint64_t block = b->first + i, base = block * c->block_entries, from = base;
	uint64_t to = base + c->block_entries, end = c->counts.first + c->counts.n;
	uint64_t off = block < c->n_blocks ? c->blocks[block] : 0;
	uint8_t *p = NULL;
	struct ranges bad = {0};
	int r = session_stopped(c->l->s) ? -EINTR : 0;

	if (from < c->counts.first)
		from = c->counts.first;
	if (to > end)
		to = end;
	if (off == QC_BLOCK_LOST || r)
		goto out; /* said when the table was read */
	if (off) {
		r = -ENOMEM;
		p = malloc(c->q->cluster_size);
		if (p)
			r = layer_read(c->l->below, off, p, c->q->cluster_size, &bad);
		qc_checked(c, c->q->cluster_size);
	}
	if (r || bad.n)
		goto out; /* unreadable: the source says so, and nothing is known here */
	compare_block(c, p, base, from, to);
	if (p && to == c->clusters + 1 && to < base + c->block_entries &&
	    !all_zero(p + (to - base) * c->q->refcount_bits / 8,
		      c->q->cluster_size - (to - base) * c->q->refcount_bits / 8))
		count_past_end(c, p, base, to);
out:
	ranges_free(&bad);
	free(p);
	return r ? r : atomic_load(&c->err);
}

static int by_first(const void *a, const void *b)
{
	const struct qc_run *x = a, *y = b;

	if (x->diff != y->diff)
		return x->diff < y->diff ? -1 : 1;
	return x->first < y->first ? -1 : x->first > y->first;
}

/* By kind, then by place; those that were cut at a block's end are joined. */
static void sort_runs(struct qc *c)
{
	size_t n = 0;

	qc_sort(c->runs.v, c->runs.n, sizeof(*c->runs.v), by_first);
	for (size_t i = 0; i < c->runs.n; i++) {
		struct qc_run *run = &c->runs.v[i], *last = n ? &c->runs.v[n - 1] : NULL;

		if (last && last->diff == run->diff && last->first + last->n == run->first &&
		    last->stored == run->stored && last->counted == run->counted)
			last->n += run->n;
		else
			c->runs.v[n++] = *run;
	}
	c->runs.n = n;
}

int qc_compare(struct qc *c)
{
	struct blocks b = {.c = c, .first = c->counts.first / c->block_entries};
	uint64_t end = (c->counts.first + c->counts.n + c->block_entries - 1) / c->block_entries;
	int r;

	if (!c->table_ok)
		return 0; /* no refcounts to compare with: one finding says so */
	r = pool_run(session_jobs(c->l->s), end - b.first, compare_nth, &b);
	if (!r && c->runs.n)
		sort_runs(c);
	return r;
}

const struct qc_run *qc_run_find(const struct qc *c, uint64_t cluster, enum qc_diff diff)
{
	size_t lo = 0, hi = c->runs.n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct qc_run *run = &c->runs.v[mid];

		if (run->diff < diff || (run->diff == diff && run->first + run->n <= cluster))
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == c->runs.n || c->runs.v[lo].diff != diff || c->runs.v[lo].first > cluster)
		return NULL;
	return &c->runs.v[lo];
}
