/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transaction logs: pages of the hive that Windows wrote there first. Log entries of the new kind
 * ("HvLE", Windows 8.1 and later) prove themselves by hashes and are applied by sequence number,
 * whichever of the two logs holds them; a log of the old kind ("DIRT") is one set of pages.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/log/regf.h"
#include "vdiskck/core/session.h"

enum {
	LOG_MAX = 256 << 20, /* bytes of a log; Windows keeps them below the hive's size */
	ENTRIES_MAX = 65536,
	SECTOR = 512,
};

/* Log entry, new kind */
struct regf_entry_head {
	char magic[4]; /* 0x00 "HvLE" */
	le32_t size;   /* 0x04 a multiple of 512 */
	le32_t flags;  /* 0x08 */
	le32_t seq;    /* 0x0c */
	le32_t bins;   /* 0x10 bytes of all bins, then */
	le32_t pages;  /* 0x14 */
	le64_t hash1;  /* 0x18 of all behind these hashes */
	le64_t hash2;  /* 0x20 of the 32 bytes before */
};
_Static_assert(sizeof(struct regf_entry_head) == 40, "regf spec, Log entry");

struct log_page {
	le32_t off, len;
};

/* One log in memory. */
struct log {
	struct span s;
	uint8_t *buf;
	struct regf_base base;
	bool base_ok;
};

struct entry {
	struct span s;
	uint32_t seq;
};

static uint32_t rotl(uint32_t v, unsigned n)
{
	return v << n | v >> (32 - n);
}

static void marvin_mix(uint32_t v[2])
{
	v[1] ^= v[0];
	v[0] = rotl(v[0], 20) + v[1];
	v[1] = rotl(v[1], 9) ^ v[0];
	v[0] = rotl(v[0], 27) + v[1];
	v[1] = rotl(v[1], 19);
}

/* Marvin32 with the seed that Windows uses for logs. @len: a multiple of 4 here. */
static uint64_t marvin32(const uint8_t *p, size_t len)
{
	uint32_t v[2] = {0x7a4e55c5, 0x82ef4d88};

	for (size_t i = 0; i + 4 <= len; i += 4) {
		le32_t word;

		memcpy(&word, p + i, 4);
		v[0] += le32(word);
		marvin_mix(v);
	}
	v[0] += 0x80;
	marvin_mix(v);
	marvin_mix(v);
	return (uint64_t)v[1] << 32 | v[0];
}

static int load(struct layer *l, struct log *g)
{
	size_t len = l->size < LOG_MAX ? (size_t)l->size : LOG_MAX;
	struct ranges bad = {0};
	const struct regf_base *b;
	int r;

	*g = (struct log){.buf = malloc(len ? len : 1)};
	if (!g->buf)
		return -ENOMEM;
	/* What is lost is zero, and no hash will fit it. */
	r = layer_read(l, 0, g->buf, len, &bad);
	ranges_free(&bad);
	if (r)
		return r;
	g->s = (struct span){g->buf, len, 0};
	b = span_at(g->s, 0, sizeof(*b));
	if (b) {
		g->base = *b;
		g->base_ok = !memcmp(b->magic, "regf", 4) && regf_sum(b) == le32(b->sum);
	}
	return 0;
}

static struct regf_entry_head *entry_at(const struct log *g, uint64_t off)
{
	const struct regf_entry_head *e = span_at(g->s, off, sizeof(*e));
	uint32_t size = e ? le32(e->size) : 0;
	const uint8_t *p =
		size >= sizeof(*e) && size % SECTOR == 0 ? span_at(g->s, off, size) : NULL;

	if (!p || memcmp(e->magic, "HvLE", 4) || marvin32(p, 32) != le64(e->hash2) ||
	    marvin32(p + 40, size - 40) != le64(e->hash1))
		return NULL;
	return (struct regf_entry_head *)(uintptr_t)e;
}

/* The entries of a log follow each other; what stands behind the last one is of an earlier time. */
static size_t collect(const struct log *g, struct entry *v, size_t n)
{
	const struct regf_entry_head *e;
	uint32_t last = 0;

	for (uint64_t off = SECTOR; n < ENTRIES_MAX && (e = entry_at(g, off));
	     off += le32(e->size)) {
		if (off > SECTOR && le32(e->seq) != last + 1)
			break;
		last = le32(e->seq);
		v[n++] = (struct entry){{g->s.p + off, le32(e->size), off}, last};
	}
	return n;
}

static int by_seq(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* Make room for bins up to @len. */
static int grow(struct regf *h, uint32_t len)
{
	uint8_t *more;

	if (len <= h->len)
		return 0;
	more = realloc(h->bins, len);
	if (!more)
		return -ENOMEM;
	memset(more + h->len, 0, len - h->len);
	h->bins = more;
	h->len = len;
	return 0;
}

static int put_page(struct regf *h, uint32_t off, const uint8_t *p, uint32_t len)
{
	struct regf_page *more;

	if (!range_inside(off, len, h->len))
		return 0;
	more = realloc(h->page, (h->n_pages + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	h->page = more;
	h->page[h->n_pages++] = (struct regf_page){off, len};
	memcpy(h->bins + off, p, len);
	return 0;
}

static int apply_entry(struct regf *h, struct span s)
{
	const struct regf_entry_head *e = span_at(s, 0, sizeof(*e));
	uint64_t n = le32(e->pages), at = sizeof(*e) + n * sizeof(struct log_page);
	uint32_t bins = le32(e->bins);
	int r = bins % REGF_PAGE || bins > LOG_MAX ? 0 : grow(h, bins);

	for (uint64_t i = 0; i < n && !r; i++) {
		const struct log_page *pg = span_at(s, sizeof(*e) + i * sizeof(*pg), sizeof(*pg));
		uint32_t len = pg ? le32(pg->len) : 0;
		const uint8_t *p = pg ? span_at(s, at, len) : NULL;

		if (!p)
			break;
		r = put_page(h, le32(pg->off), p, len);
		at += len;
	}
	h->log_seq = le32(e->seq);
	return r;
}

static int replay_new(struct regf *h, const struct log *g, size_t n, const struct regf_base *base)
{
	struct entry *v = malloc(ENTRIES_MAX * sizeof(*v));
	size_t count = 0;
	uint32_t next = 0;
	int r = 0;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (g[i].base_ok && le32(g[i].base.type) == 6)
			count = collect(&g[i], v, count);
	qsort(v, count, sizeof(*v), by_seq);
	for (size_t i = 0; i < count && !r; i++) {
		if (v[i].seq < le32(base->seq2) || (h->replayed && v[i].seq < next))
			continue;
		if (h->replayed && v[i].seq != next)
			break;
		r = apply_entry(h, v[i].s);
		h->replayed = true;
		next = v[i].seq + 1;
	}
	free(v);
	return r;
}

/* "DIRT", a bit for every 512 bytes of the bins, then those bytes, from the next sector on. */
static int replay_old(struct regf *h, const struct log *g)
{
	const char *magic = span_at(g->s, SECTOR, 4);
	uint32_t bins = le32(g->base.bins);
	uint64_t bits = (uint64_t)bins / SECTOR, at = SECTOR + 4 + bits / 8;
	const uint8_t *map = span_at(g->s, SECTOR + 4, bits / 8);
	int r;

	if (!magic || memcmp(magic, "DIRT", 4) || !map || bins % REGF_PAGE || bins > LOG_MAX)
		return 0;
	at = (at + SECTOR - 1) / SECTOR * SECTOR;
	r = grow(h, bins);
	for (uint64_t i = 0; i < bits && !r; i++) {
		const uint8_t *p;

		if (!(map[i / 8] >> (i % 8) & 1))
			continue;
		p = span_at(g->s, at, SECTOR);
		if (!p)
			break;
		r = put_page(h, (uint32_t)(i * SECTOR), p, SECTOR);
		at += SECTOR;
		h->replayed = true;
	}
	return r;
}

/* The log of the old kind that belongs to the hive: written in full, and not before it. */
static const struct log *old_log(const struct regf *h, const struct log *g, size_t n)
{
	const struct log *best = NULL;

	for (size_t i = 0; i < n; i++) {
		const struct regf_base *b = &g[i].base;

		if (!g[i].base_ok || (le32(b->type) != 1 && le32(b->type) != 2) ||
		    le32(b->seq1) != le32(b->seq2) ||
		    (h->base_ok && le32(b->seq2) < le32(h->base.seq2)))
			continue;
		if (!best || le32(b->seq2) > le32(best->base.seq2))
			best = &g[i];
	}
	return best;
}

static int by_off(const void *a, const void *b)
{
	const struct regf_page *x = a, *y = b;

	return x->off < y->off ? -1 : x->off > y->off;
}

/* What was lost of the hive, less what its logs gave back. */
static int mend_lost(struct regf *h)
{
	struct ranges left = {0};
	int r = 0;

	for (size_t i = 0; i < h->lost.n && !r; i++) {
		const struct range *b = &h->lost.v[i];
		uint64_t off = b->off, end = b->off + b->len;

		for (size_t k = 0; k < h->n_pages && off < end && !r; k++) {
			uint64_t lo = (uint64_t)REGF_BASE + h->page[k].off;
			uint64_t hi = lo + h->page[k].len;

			if (hi <= off || lo >= end)
				continue;
			if (lo > off)
				r = ranges_add(&left, off, lo - off, b->grade, b->why);
			off = hi;
		}
		if (off < end && !r)
			r = ranges_add(&left, off, end - off, b->grade, b->why);
	}
	ranges_free(&h->lost);
	h->lost = left;
	return r;
}

int regf_replay(struct regf *h, struct layer *const *log, size_t n)
{
	struct log g[2] = {{.buf = NULL}, {.buf = NULL}};
	const struct regf_base *base = h->base_ok ? &h->base : NULL;
	const struct log *old;
	size_t have = 0;
	int r = 0;

	for (size_t i = 0; i < n && i < 2 && !r; i++)
		if (log[i])
			r = load(log[i], &g[have++]);
	/* A lost base block has copies in the logs. */
	for (size_t i = 0; i < have && !h->base_ok; i++)
		if (g[i].base_ok && (!base || le32(g[i].base.seq2) > le32(base->seq2)))
			base = &g[i].base;
	if (!r && base) {
		if (!h->base_ok) {
			h->root = le32(base->root);
			h->minor = le32(base->minor);
		}
		old = old_log(h, g, have);
		r = old ? replay_old(h, old) : replay_new(h, g, have, base);
	}
	if (!r && h->n_pages) {
		qsort(h->page, h->n_pages, sizeof(*h->page), by_off);
		r = mend_lost(h);
	}
	for (size_t i = 0; i < have; i++)
		free(g[i].buf);
	return r;
}
