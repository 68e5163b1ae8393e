/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often each host cluster is referred to, in as little memory as it takes.
 *
 * Nearly all clusters of an image have one reference or none, so counters are small and what does
 * not fit goes into a hash table:
 *
 *	2 bits	0 none, 1 one with COPIED, 2 one without a say in it, 3 in the table
 *	8 bits	a count of up to 62 (63: in the table), bit 6 COPIED, bit 7 SHARED
 *	32 bits a count of up to 2^30 - 1, bits 30 and 31 the flags; never in the table
 *
 * Threads add at the same time: every change is a compare-and-swap.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "formats/container/qcow2_check.h"

enum {
	HUGE_PAGE = 2 << 20,
	OVER_FIRST = 1 << 10,
	OVER_MAX = 1 << 20, /* slots of 16 bytes */
	FULL_8 = 63,
};

#define ONE_2BIT UINT64_C(0x5555555555555555)
#define ONE_8BIT UINT64_C(0x4141414141414141)

struct qc_over {
	uint64_t key; /* host cluster + 1; 0: empty */
	uint32_t n, flags;
};

int qc_counts_init(struct qc_counts *c, enum qc_width width, uint64_t first, uint64_t n)
{
	static const uint8_t per_byte[] = {[QC_2BIT] = 4, [QC_8BIT] = 1, [QC_32BIT] = 1};
	uint64_t whole = (n + 63) / 64 * 64;

	memset(c, 0, sizeof(*c));
	c->width = width;
	c->first = first;
	c->n = n;
	pthread_mutex_init(&c->lock, NULL);
	c->v_len = whole / per_byte[width] * (width == QC_32BIT ? 4 : 1);
	c->v_len += 8; /* words are looked at as a whole */
	c->v = mmap(NULL, c->v_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (c->v == MAP_FAILED) {
		c->v = NULL;
		return -ENOMEM;
	}
	/* References of a fragmented image go all over it: with small pages each one misses the TLB. */
	if (c->v_len >= HUGE_PAGE)
		madvise(c->v, c->v_len, MADV_HUGEPAGE);
	return 0;
}

void qc_counts_fini(struct qc_counts *c)
{
	if (!c->v)
		return;
	munmap(c->v, c->v_len);
	free(c->over);
	pthread_mutex_destroy(&c->lock);
	memset(c, 0, sizeof(*c));
}

static uint32_t add_bounded(uint32_t a, uint32_t b)
{
	return a < QC_COUNT_MAX - b ? a + b : QC_COUNT_MAX;
}

/* The slot of @cluster, or the empty one where it belongs. */
static struct qc_over *over_slot(struct qc_over *t, size_t cap, uint64_t cluster)
{
	size_t i = (size_t)((cluster + 1) * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (cap - 1);

	while (t[i].key && t[i].key != cluster + 1)
		i = (i + 1) & (cap - 1);
	return &t[i];
}

static bool over_grow(struct qc_counts *c)
{
	size_t cap = c->over_cap ? c->over_cap * 2 : OVER_FIRST;
	struct qc_over *t = cap <= OVER_MAX ? calloc(cap, sizeof(*t)) : NULL;

	if (!t)
		return false;
	for (size_t i = 0; i < c->over_cap; i++)
		if (c->over[i].key)
			*over_slot(t, cap, c->over[i].key - 1) = c->over[i];
	free(c->over);
	c->over = t;
	c->over_cap = cap;
	return true;
}

static void over_add(struct qc_counts *c, uint64_t cluster, uint32_t weight, uint32_t flags)
{
	struct qc_over *o;

	pthread_mutex_lock(&c->lock);
	if (c->over_n >= c->over_cap / 4 * 3 && !over_grow(c)) {
		atomic_store(&c->full, true);
		goto out;
	}
	o = over_slot(c->over, c->over_cap, cluster);
	if (!o->key) {
		o->key = cluster + 1;
		c->over_n++;
	}
	o->n = add_bounded(o->n, weight);
	o->flags |= flags;
out:
	pthread_mutex_unlock(&c->lock);
}

static struct qc_count over_get(const struct qc_counts *c, uint64_t cluster)
{
	const struct qc_over *o = c->over_cap ? over_slot(c->over, c->over_cap, cluster) : NULL;

	return o ? (struct qc_count){o->n, o->flags} : (struct qc_count){0};
}

static void add_2bit(struct qc_counts *c, uint64_t i, uint32_t weight, uint32_t flags)
{
	uint8_t *p = (uint8_t *)c->v + i / 4, old = __atomic_load_n(p, __ATOMIC_RELAXED), new;
	unsigned shift = i % 4 * 2, was;

	do {
		was = old >> shift & 3;
		new = (uint8_t)(old | 3u << shift);
		if (!was && weight == 1 && flags != QC_SHARED)
			new = (uint8_t)(old | (flags ? 1u : 2u) << shift);
		if (was == 3)
			break;
	} while (!__atomic_compare_exchange_n(p, &old, new, true, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	if (was)
		over_add(c, c->first + i, was == 3 ? weight : add_bounded(weight, 1),
			 flags | (was == 1 ? QC_COPIED : 0));
	else if (weight != 1 || flags == QC_SHARED)
		over_add(c, c->first + i, weight, flags);
}

static void add_8bit(struct qc_counts *c, uint64_t i, uint32_t weight, uint32_t flags)
{
	uint8_t *p = (uint8_t *)c->v + i, old = __atomic_load_n(p, __ATOMIC_RELAXED), new;
	uint32_t was;

	do {
		was = old & FULL_8;
		if (was == FULL_8 || weight >= FULL_8 - was)
			new = (uint8_t)(old | FULL_8 | flags << 6);
		else
			new = (uint8_t)((old + weight) | flags << 6);
		if (new == old)
			break;
	} while (!__atomic_compare_exchange_n(p, &old, new, true, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	if ((new &FULL_8) == FULL_8)
		over_add(c, c->first + i, was == FULL_8 ? weight : add_bounded(weight, was), 0);
}

static void add_32bit(struct qc_counts *c, uint64_t i, uint32_t weight, uint32_t flags)
{
	uint32_t *p = (uint32_t *)c->v + i, old = __atomic_load_n(p, __ATOMIC_RELAXED), new;

	do
		new = add_bounded(old & QC_COUNT_MAX, weight) | (old & ~QC_COUNT_MAX) | flags << 30;
	while (!__atomic_compare_exchange_n(p, &old, new, true, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED));
}

void qc_add(struct qc_counts *c, uint64_t cluster, uint32_t weight, uint32_t flags)
{
	uint64_t i = cluster - c->first;

	if (i >= c->n)
		return; /* of another window, or behind the end: reported where it is read */
	if (weight > QC_COUNT_MAX)
		weight = QC_COUNT_MAX;
	if (c->width == QC_8BIT)
		add_8bit(c, i, weight, flags);
	else if (c->width == QC_2BIT)
		add_2bit(c, i, weight, flags);
	else
		add_32bit(c, i, weight, flags);
}

/* Set a word of counters that are all zero to "one with COPIED" at once. */
static bool add_word(struct qc_counts *c, uint64_t i, unsigned per_word, uint64_t one)
{
	uint64_t *p = (uint64_t *)c->v + i / per_word, none = 0;

	return __atomic_compare_exchange_n(p, &none, one, false, __ATOMIC_RELAXED,
					   __ATOMIC_RELAXED);
}

void qc_add_run(struct qc_counts *c, uint64_t cluster, uint64_t n, uint32_t weight, uint32_t flags)
{
	unsigned per_word = c->width == QC_2BIT ? 32 : 8;
	uint64_t one = c->width == QC_2BIT ? ONE_2BIT : ONE_8BIT, end;
	bool plain = c->width != QC_32BIT && weight == 1 && flags == QC_COPIED;

	end = cluster + n;
	if (cluster < c->first)
		cluster = c->first;
	if (end > c->first + c->n)
		end = c->first + c->n;
	while (cluster < end) {
		uint64_t i = cluster - c->first;

		if (plain && i % per_word == 0 && end - cluster >= per_word &&
		    add_word(c, i, per_word, one)) {
			cluster += per_word;
			continue;
		}
		qc_add(c, cluster++, weight, flags);
	}
}

struct qc_count qc_get(const struct qc_counts *c, uint64_t cluster)
{
	uint64_t i = cluster - c->first;
	struct qc_count r = {0};
	uint32_t v;

	if (i >= c->n)
		return r;
	switch (c->width) {
	case QC_2BIT:
		v = ((const uint8_t *)c->v)[i / 4] >> (i % 4 * 2) & 3;
		if (v == 3)
			return over_get(c, cluster);
		return (struct qc_count){v != 0, v == 1 ? QC_COPIED : 0};
	case QC_8BIT:
		v = ((const uint8_t *)c->v)[i];
		r.n = v & FULL_8;
		if (r.n == FULL_8)
			r.n = over_get(c, cluster).n;
		r.flags = v >> 6;
		return r;
	default:
		v = ((const uint32_t *)c->v)[i];
		return (struct qc_count){v & QC_COUNT_MAX, v >> 30};
	}
}

bool qc_all_64(const struct qc_counts *c, uint64_t cluster, bool one)
{
	uint64_t i = cluster - c->first, want = 0, differ = 0;
	const uint64_t *p;
	unsigned words;

	if (i + 64 > c->n || c->width == QC_32BIT)
		return false;
	if (c->width == QC_2BIT) {
		p = (const uint64_t *)c->v + i / 32;
		words = 2;
		want = one ? ONE_2BIT : 0;
	} else {
		p = (const uint64_t *)c->v + i / 8;
		words = 8;
		want = one ? ONE_8BIT : 0;
	}
	for (unsigned w = 0; w < words; w++)
		differ |= p[w] ^ want;
	return !differ;
}
