/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hives in arbitrary bytes. A bin says where in its hive it stands, so bins that lie as far apart as
 * they stand are taken to be of one hive, and read as one: keys and values are found as in a hive
 * of which the other bins are lost. A base block in front of them tells its name and its root.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/drivers.h"
#include "formats/log/log.h"
#include "formats/log/regf.h"
#include "vdiskck/core/session.h"

enum {
	SECTOR = 512,
	BINS_MAX = 1 << 20,
	SPAN_MAX = 256 << 20, /* of bins read at once: a hive that is larger comes in pieces */
	GAP = 16,	      /* how many times as much may lie between bins as they have */
};

/* Bin header; the root is in the first bin. */
struct regf_bin {
	char magic[4]; /* 0x00 "hbin" */
	le32_t off;    /* 0x04 in the hive, behind its base block */
	le32_t size;   /* 0x08 */
	uint8_t rest[20];
};
_Static_assert(sizeof(struct regf_bin) == REGF_BIN_HEAD, "regf spec, Hive bin header");

struct bin {
	uint64_t addr;
	uint32_t off, len;
};

struct carver {
	struct layer *l;
	const struct log_sink *sink;
	struct bin *bin;
	uint64_t *base; /* addresses of base blocks */
	size_t n, cap, n_bases, bases_cap;
	size_t run;   /* the first bin of the bytes that were shown in one piece */
	uint64_t end; /* of these */
};

void *regf_carve_begin(struct layer *l, const struct log_sink *sink)
{
	struct carver *v = calloc(1, sizeof(*v));

	if (v) {
		v->l = l;
		v->sink = sink;
	}
	return v;
}

/* Byte 0 of the hive, were all of it there: may lie before the layer's own. */
static uint64_t base_of(const struct bin *b)
{
	return b->addr - b->off - REGF_BASE;
}

static int by_hive(const void *a, const void *b)
{
	const struct bin *x = a, *y = b;
	uint64_t i = base_of(x), j = base_of(y);

	return i != j ? (i < j ? -1 : 1) : (x->off > y->off) - (x->off < y->off);
}

static int by_address(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* A bin ends where the next one begins, or what nobody may look at: other things are there by now. */
static void clip(struct carver *v, uint64_t end)
{
	for (size_t i = v->run; i < v->n; i++) {
		uint64_t stop = i + 1 < v->n ? v->bin[i + 1].addr : end;

		if (v->bin[i].len > stop - v->bin[i].addr)
			v->bin[i].len = (uint32_t)(stop - v->bin[i].addr) & ~7u;
	}
	v->run = v->n;
}

/* Bins [@i, @end) as a hive. */
static int put_hive(struct carver *v, const struct bin *b, size_t n)
{
	uint64_t base = base_of(b);
	struct layer stub = {.ops = &regf_ops, .s = v->l->s};
	struct regf h = {.l = &stub, .root = REGF_NONE, .minor = 5, .from = b->off};
	int r = 0;

	stub.priv = &h;
	h.len = b[n - 1].off + b[n - 1].len - b->off;
	stub.size = REGF_BASE + (uint64_t)h.from + h.len;
	h.bins = calloc(1, h.len);
	if (!h.bins)
		return -ENOMEM;
	for (size_t i = 0; i < n && !r; i++)
		r = layer_read_as(v->l, b[i].addr, h.bins + (b[i].off - h.from), b[i].len,
				  REGF_BASE + b[i].off, &h.lost);
	if (!r)
		r = ranges_flatten(&h.lost);
	if (!r && v->n_bases && bsearch(&base, v->base, v->n_bases, sizeof(base), by_address)) {
		r = layer_read(v->l, base, &h.base, sizeof(h.base), NULL);
		h.base_ok = true;
		h.minor = le32(h.base.minor);
		h.root = le32(h.base.root);
	}
	if (!regf_nk(&h, h.root))
		h.root = regf_root(&h);
	if (!r)
		r = regf_events(&h, base, true, v->sink);
	ranges_free(&h.lost);
	free(h.bins);
	return r;
}

/* Everything that was found, hive by hive; then anew. */
static int put_all(struct carver *v)
{
	int r = 0;

	clip(v, v->end);
	if (v->n)
		qsort(v->bin, v->n, sizeof(*v->bin), by_hive);
	if (v->n_bases) /* a million of them may be asked for by as many bins */
		qsort(v->base, v->n_bases, sizeof(*v->base), by_address);
	for (size_t i = 0, k; i < v->n && !r; i = k) {
		const struct bin *b = v->bin;
		uint64_t bytes = b[i].len;

		for (k = i + 1; k < v->n && base_of(&b[k]) == base_of(&b[i]); k++) {
			uint64_t gap = b[k].off - b[k - 1].off - (uint64_t)b[k - 1].len;

			if (gap > GAP * bytes ||
			    b[k].off + (uint64_t)b[k].len - b[i].off > SPAN_MAX)
				break;
			bytes += b[k].len;
		}
		r = session_stopped(v->l->s) ? -EINTR : put_hive(v, b + i, k - i);
	}
	v->n = v->run = 0;
	return r;
}

static void *room(void *p, size_t n, size_t *cap, size_t size)
{
	size_t more = *cap ? 2 * *cap : 256;

	if (n < *cap)
		return p;
	p = realloc(p, more * size);
	if (p)
		*cap = more;
	return p;
}

static int add_base(struct carver *v, const struct regf_base *b, uint64_t addr)
{
	uint64_t *more;

	/* A transaction log has one, too, and no bins behind it. */
	if (le32(b->major) != 1 || le32(b->type) != 0 || regf_sum(b) != le32(b->sum) ||
	    v->n_bases == BINS_MAX)
		return 0;
	more = room(v->base, v->n_bases, &v->bases_cap, sizeof(*more));
	if (!more)
		return -ENOMEM;
	v->base = more;
	v->base[v->n_bases++] = addr;
	return 0;
}

static int add_bin(struct carver *v, const struct regf_bin *b, uint64_t addr)
{
	uint32_t off = le32(b->off), size = le32(b->size);
	uint64_t left = v->l->size - addr;
	struct bin *more;

	if (off % REGF_PAGE || size % REGF_PAGE || !size || size > SPAN_MAX ||
	    off > UINT32_MAX - size)
		return 0;
	more = room(v->bin, v->n, &v->cap, sizeof(*more));
	if (!more)
		return -ENOMEM;
	v->bin = more;
	v->bin[v->n++] = (struct bin){addr, off, size < left ? size : (uint32_t)left & ~7u};
	return 0;
}

int regf_carve(void *state, const uint8_t *p, size_t len, size_t more, uint64_t off)
{
	struct carver *v = state;
	struct span s = {p, len + more, off};
	int r = 0;

	if (off != v->end)
		clip(v, v->end);
	if (v->n >= BINS_MAX)
		r = put_all(v);
	for (size_t i = (SECTOR - off % SECTOR) % SECTOR; i < len && !r; i += SECTOR) {
		const struct regf_bin *b = span_at(s, i, sizeof(*b));
		const struct regf_base *h = span_at(s, i, sizeof(*h));

		if (b && !memcmp(b->magic, "hbin", 4))
			r = add_bin(v, b, off + i);
		else if (h && !memcmp(h->magic, "regf", 4))
			r = add_base(v, h, off + i);
	}
	v->end = off + len;
	return r;
}

int regf_carve_end(void *state, int r)
{
	struct carver *v = state;

	if (!r)
		r = put_all(v);
	free(v->bin);
	free(v->base);
	free(v);
	return r;
}
