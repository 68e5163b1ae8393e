/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/scrub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/source.h"
#include "vdiskck/seal_make.h"

struct pass {
	struct scrub *s;
	uint8_t *leaf; /* SEAL_LEAF bytes */
};

size_t scrub_leaf_len(const struct layer *l, uint64_t index)
{
	uint64_t left = l->size - index * SEAL_LEAF;

	return left < SEAL_LEAF ? (size_t)left : SEAL_LEAF;
}

int scrub_spans_add(struct scrub_spans *to, uint64_t first, uint64_t n)
{
	struct scrub_span *last = to->n ? &to->v[to->n - 1] : NULL;

	if (last && last->first + last->n == first) {
		last->n += n;
		return 0;
	}
	if (to->n == SCRUB_KEPT) {
		to->beyond += n;
		return 0;
	}
	if (to->n == to->cap) {
		size_t cap = to->cap ? to->cap * 2 : 16;
		struct scrub_span *more = realloc(to->v, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		to->v = more;
		to->cap = cap;
	}
	to->v[to->n++] = (struct scrub_span){first, n};
	return 0;
}

int scrub_sealed(const struct scrub *s, size_t gen, uint64_t index, struct seal_leaf *leaf,
		 size_t *since)
{
	enum seal_kind kind;
	int r = seal_get(s->to, gen, index, &kind, leaf, since);
	uint8_t *zeros;

	if (r || kind == SEAL_DATA)
		return r;
	if (kind != SEAL_ZERO)
		return -ENODATA;
	zeros = calloc(1, SEAL_LEAF);
	if (!zeros)
		return -ENOMEM;
	seal_leaf_make(index, zeros, scrub_leaf_len(s->l, index), leaf);
	free(zeros);
	return 0;
}

/* Read a leaf again, from the disk itself. */
static int again(struct pass *p, uint64_t index, struct seal_leaf *leaf, bool *lost)
{
	struct layer *l = p->s->l;
	uint64_t off = index * SEAL_LEAF, at = off;
	size_t len = scrub_leaf_len(l, index);
	struct ranges bad = {0};
	int r = 0;

	while (at < off + len && !r) {
		struct extent run;

		r = layer_resolve(l, at, &run);
		if (!r && run.kind == EXTENT_DATA)
			source_forget(run.in, run.at, run.packed ? run.packed : run.len);
		at = run.off + run.len > at ? run.off + run.len : at + 1;
	}
	if (!r)
		r = layer_read(l, off, p->leaf, len, &bad);
	*lost = bad.n > 0;
	ranges_free(&bad);
	if (!r)
		seal_leaf_make(index, p->leaf, len, leaf);
	return r;
}

static uint16_t which(const struct seal_leaf *a, const struct seal_leaf *b)
{
	uint16_t bits = 0;

	for (unsigned i = 0; i < SEAL_SECTORS; i++)
		bits |= (uint16_t)((le32(a->crc[i]) != le32(b->crc[i])) << i);
	return bits;
}

/* The generation that first had these sectors as they are in @was, of generation @since. */
static size_t first_so(const struct scrub *s, uint64_t index, const struct seal_leaf *was,
		       uint16_t sectors, size_t since)
{
	struct seal_leaf older;

	while (since && seal_leaf_is_mixed(index, was)) {
		if (scrub_sealed(s, since - 1, index, &older, &since) ||
		    which(&older, was) & sectors)
			break;
		was = &older;
	}
	return since;
}

static int keep(struct scrub *s, const struct scrub_leaf *d)
{
	if (s->n == SCRUB_KEPT) {
		s->beyond++;
		return 0;
	}
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 64;
		struct scrub_leaf *more = realloc(s->v, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->v = more;
		s->cap = cap;
	}
	s->v[s->n++] = *d;
	return 0;
}

static int known_cmp(const void *key, const void *member)
{
	const uint64_t *index = key;
	const struct scrub_known *k = member;

	return *index < k->index ? -1 : *index > k->index;
}

int64_t scrub_good(const struct scrub *s, uint64_t index, uint64_t since)
{
	size_t n, g = since;
	const struct seal_generation *gen = seal_generations(s->to, &n);
	const struct scrub_known *k = NULL;
	int64_t good;

	/* A generation in which something was kept as it was sealed is no proof of the rest. */
	for (size_t i = since + 1; i <= s->gen; i++)
		if (!gen[i].kept)
			g = i;
	good = gen[g].made;
	if (s->n_known)
		k = bsearch(&index, s->known, s->n_known, sizeof(*k), known_cmp);
	if (k)
		return k->good > good ? k->good : good;
	return s->verified > good ? s->verified : good;
}

/* One leaf whose record is not the sealed one: is it, when read again? */
static int differ(struct pass *p, uint64_t index)
{
	struct scrub *s = p->s;
	struct scrub_leaf d = {.index = index, .from = UINT64_MAX};
	struct seal_leaf was;
	size_t since;
	bool lost;
	int r = again(p, index, &d.is, &lost);

	if (r)
		return r;
	if (lost)
		return scrub_spans_add(&s->lost, index, 1);
	r = scrub_sealed(s, s->gen, index, &was, &since);
	if (r)
		return r == -ENOMEM ? r : 0;
	if (!memcmp(&was, &d.is, sizeof(was)))
		return scrub_spans_add(&s->once, index, 1);
	d.sectors = which(&was, &d.is);
	if (!d.sectors && seal_leaf_is_mixed(index, &was)) {
		s->intact++;
		return 0;
	}
	/* The hash differs where CRCs collide. */
	if (!d.sectors)
		d.sectors = UINT16_MAX;
	d.since = first_so(s, index, &was, d.sectors, since);
	d.good = scrub_good(s, index, d.since);
	return keep(s, &d);
}

static int compare_one(struct pass *p, uint64_t index, enum seal_kind kind,
		       const struct seal_leaf *leaf)
{
	struct scrub *s = p->s;
	struct seal_leaf was;
	enum seal_kind sealed_kind;
	size_t since;

	if (seal_get(s->to, s->gen, index, &sealed_kind, &was, &since) ||
	    sealed_kind == SEAL_LOST) {
		s->unsealed++;
		return 0;
	}
	if (kind == SEAL_LOST)
		return scrub_spans_add(&s->lost, index, 1);
	if (kind == sealed_kind && (kind == SEAL_ZERO || !memcmp(&was, leaf, sizeof(was)))) {
		s->intact++;
		return 0;
	}
	return differ(p, index);
}

static int compare(void *arg, uint64_t index, uint64_t n, enum seal_kind kind,
		   const struct seal_leaf *leaf)
{
	struct pass *p = arg;
	struct scrub *s = p->s;
	int r = 0;

	while (n && !r) {
		enum seal_kind was;
		uint64_t run = kind == SEAL_DATA ? 1 : seal_run(s->to, s->gen, index, &was);

		run = run < n ? run : n;
		if (kind == SEAL_ZERO && was == SEAL_ZERO) {
			s->intact += run;
		} else if (kind == SEAL_LOST && was != SEAL_LOST && was != SEAL_SAME) {
			r = scrub_spans_add(&s->lost, index, run);
		} else {
			r = compare_one(p, index, kind, leaf);
			run = 1;
		}
		if (r)
			break;
		index += run;
		n -= run;
		s->next = index;
		s->read += kind == SEAL_DATA ? SEAL_LEAF : 0;
		if (s->on_leaf)
			r = s->on_leaf(s);
		if (!r && session_stopped(s->l->s))
			r = -EINTR;
	}
	return r;
}

void scrub_init(struct scrub *s, struct run *r, struct layer *l, struct seal *to)
{
	size_t n;

	*s = (struct scrub){.r = r, .l = l, .to = to, .end = seal_leaves(to)};
	seal_generations(to, &n);
	s->gen = n - 1;
}

void scrub_free(struct scrub *s)
{
	seal_drop(s->renew);
	ranges_free(&s->track.dirty);
	ranges_free(&s->bad);
	free(s->lost.v);
	free(s->once.v);
	free(s->known);
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i].path);
	free(s->v);
}

int scrub_compare(struct scrub *s)
{
	struct pass p = {.s = s, .leaf = malloc(SEAL_LEAF)};
	struct seal_reading rd = {.l = s->l,
				  .first = s->next,
				  .leaves = s->end - s->next,
				  .what = "scrubbing",
				  .fn = compare,
				  .bad = &s->bad,
				  .arg = &p};
	int r = 0;

	if (!p.leaf)
		return -ENOMEM;
	if (s->next < s->end)
		r = seal_read_leaves(&rd);
	free(p.leaf);
	return r;
}

const char *scrub_still(const struct scrub *s)
{
	struct layer *source = layer_source(s->l);
	size_t n;
	const struct seal_generation *g = seal_generations(s->to, &n);
	int64_t mtime;
	bool known = source_mtime_ns(source, &mtime);
	bool same = known && mtime == g[s->gen].image_mtime && source->size == g[s->gen].image_size;

	/* A parent is written to by nobody but who merges a child into it, and a file's time tells. */
	if (s->l->chain_child && (same || !known))
		return "it is a parent, which nobody writes to";
	if (same)
		return "the image file has the size and time it had when it was sealed";
	return NULL;
}
