/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/scrub.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vdiskck/core/source.h"
#include "vdiskck/core/text.h"
#include "vdiskck/seal_make.h"

enum { KEPT_MAX = 65536 };

/* A leaf that is not what was sealed. */
struct differs {
	uint64_t index, from; /* @from: where its content was sealed; UINT64_MAX: nowhere */
	struct seal_leaf is;
	uint16_t sectors; /* a bit for each that differs */
	size_t since;	  /* the first generation that has it as it was sealed */
};

struct pass {
	struct scrub *s;
	uint8_t *leaf; /* SEAL_LEAF bytes */
	struct differs *v;
	size_t n, cap;
	uint64_t beyond; /* that KEPT_MAX left no room for */
};

static size_t leaf_len(const struct layer *l, uint64_t index)
{
	uint64_t left = l->size - index * SEAL_LEAF;

	return left < SEAL_LEAF ? (size_t)left : SEAL_LEAF;
}

/* What the generation has for a leaf, as a record, be it data or zeros. */
static int sealed(struct pass *p, uint64_t index, struct seal_leaf *leaf, enum seal_kind *kind,
		  size_t *since)
{
	int r = seal_get(p->s->to, p->s->gen, index, kind, leaf, since);

	if (!r && *kind == SEAL_ZERO) {
		memset(p->leaf, 0, SEAL_LEAF);
		seal_leaf_make(index, p->leaf, leaf_len(p->s->l, index), leaf);
	}
	return r;
}

/* Read a leaf again, from the disk itself. */
static int again(struct pass *p, uint64_t index, struct seal_leaf *leaf, bool *lost)
{
	struct layer *l = p->s->l;
	uint64_t off = index * SEAL_LEAF, at = off;
	size_t len = leaf_len(l, index);
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
	/* The hash differs where CRCs collide, or the leaf's record itself was changed. */
	return bits ? bits : UINT16_MAX;
}

static int keep(struct pass *p, const struct differs *d)
{
	if (p->n == KEPT_MAX) {
		p->beyond++;
		return 0;
	}
	if (p->n == p->cap) {
		size_t cap = p->cap ? p->cap * 2 : 64;
		struct differs *more = realloc(p->v, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		p->v = more;
		p->cap = cap;
	}
	p->v[p->n++] = *d;
	return 0;
}

static void say_transient(struct scrub *s, uint64_t index)
{
	s->transient++;
	finding_fact(
		s->l, SCRUB_TRANSIENT,
		&(struct fact){.in = s->l, .off = index * SEAL_LEAF, .len = leaf_len(s->l, index)},
		"read once as something else, and then as it was sealed");
}

static void say_unreadable(struct scrub *s, uint64_t index, uint64_t n)
{
	uint64_t off = index * SEAL_LEAF, len = n * SEAL_LEAF;

	s->unreadable += n;
	finding_fact(s->l, SCRUB_UNREADABLE,
		     &(struct fact){.in = s->l,
				    .off = off,
				    .len = len < s->l->size - off ? len : s->l->size - off,
				    .lost = true},
		     "sealed, but can't be read now");
}

/* One leaf whose record is not the sealed one: is it, when read again? */
static int differ(struct pass *p, uint64_t index)
{
	struct differs d = {.index = index, .from = UINT64_MAX};
	struct seal_leaf was;
	enum seal_kind kind;
	bool lost;
	int r = again(p, index, &d.is, &lost);

	if (r)
		return r;
	if (lost) {
		say_unreadable(p->s, index, 1);
		return 0;
	}
	if (sealed(p, index, &was, &kind, &d.since))
		return 0;
	if (!memcmp(&was, &d.is, sizeof(was))) {
		say_transient(p->s, index);
		return 0;
	}
	d.sectors = which(&was, &d.is);
	return keep(p, &d);
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
	if (kind == SEAL_LOST) {
		say_unreadable(s, index, 1);
		return 0;
	}
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
	int r = 0;

	while (n && !r) {
		enum seal_kind was;
		uint64_t run = kind == SEAL_DATA ? 1 : seal_run(p->s->to, p->s->gen, index, &was);

		run = run < n ? run : n;
		if (kind == SEAL_ZERO && was == SEAL_ZERO) {
			p->s->intact += run;
		} else if (kind == SEAL_LOST && was != SEAL_LOST && was != SEAL_SAME) {
			say_unreadable(p->s, index, run);
		} else {
			r = compare_one(p, index, kind, leaf);
			run = 1;
		}
		index += run;
		n -= run;
	}
	return r;
}

static int by_crc(const void *a, const void *b)
{
	const struct differs *x = a, *y = b;

	return memcmp(x->is.crc, y->is.crc, sizeof(x->is.crc));
}

static int by_index(const void *a, const void *b)
{
	const struct differs *x = a, *y = b;

	return x->index < y->index ? -1 : x->index > y->index;
}

/*
 * Whose content is it? One pass over the seal; CRCs know no place: 512 bits of them. A leaf of one
 * repeated pattern belongs everywhere, so only content that was sealed in one place says anything.
 */
static int find_places(struct pass *p)
{
	struct scrub *s = p->s;
	uint8_t *seen = calloc(p->n ? p->n : 1, 1);
	uint64_t leaves = seal_leaves(s->to);

	if (!seen)
		return -ENOMEM;
	qsort(p->v, p->n, sizeof(*p->v), by_crc);
	for (uint64_t i = 0; i < leaves && p->n;) {
		enum seal_kind kind;
		uint64_t len = seal_run(s->to, s->gen, i, &kind);
		struct differs key;
		size_t since;

		for (uint64_t k = i; k < i + len && kind == SEAL_DATA; k++) {
			struct differs *hit = NULL;

			if (!seal_get(s->to, s->gen, k, &kind, &key.is, &since))
				hit = bsearch(&key, p->v, p->n, sizeof(*p->v), by_crc);
			if (hit && hit->index != k) {
				hit->from = seen[hit - p->v] ? UINT64_MAX : k;
				seen[hit - p->v] = 1;
			}
			kind = SEAL_DATA;
		}
		i += len;
		if (session_stopped(s->l->s))
			break;
	}
	free(seen);
	qsort(p->v, p->n, sizeof(*p->v), by_index);
	return 0;
}

/* The differing sectors of a leaf that the account does not name. */
static uint16_t unaccounted(const struct scrub *s, const struct differs *d)
{
	uint16_t left = d->sectors;

	for (unsigned i = 0; i < SEAL_SECTORS; i++) {
		uint64_t off = d->index * SEAL_LEAF + i * SEAL_SECTOR;

		if (off >= s->l->size || ranges_overlap(&s->track.dirty, off, SEAL_SECTOR))
			left &= (uint16_t) ~(1u << i);
	}
	return left;
}

static void say(struct scrub *s, const struct differs *d, enum finding_id id, const char *what)
{
	const struct seal_generation *g;
	char first[TIME_TEXT], last[TIME_TEXT];
	size_t n;

	g = seal_generations(s->to, &n);
	time_text(g[d->since].made, 0, first);
	time_text(g[s->gen].made, 0, last);
	for (unsigned i = 0, to; i < SEAL_SECTORS; i = to + 1) {
		uint64_t off = d->index * SEAL_LEAF + (uint64_t)i * SEAL_SECTOR, len;

		for (to = i; to < SEAL_SECTORS && d->sectors >> to & 1; to++)
			;
		len = (uint64_t)(to - i) * SEAL_SECTOR;
		if (!len || off >= s->l->size)
			continue;
		finding_fact(s->l, id,
			     &(struct fact){.in = s->l,
					    .off = off,
					    .len = len < s->l->size - off ? len : s->l->size - off,
					    .doubtful = id != SCRUB_CHANGED},
			     "%s; as it is sealed since %s, and was at %s", what, first, last);
	}
}

/* A write that is nobody's fault. */
static bool legitimate(const struct scrub *s, const struct differs *d)
{
	return s->track.by ? !unaccounted(s, d) : s->accept;
}

static void judge(struct scrub *s, struct differs *d)
{
	char what[160];

	if (s->track.by && unaccounted(s, d))
		d->sectors = unaccounted(s, d);

	if (legitimate(s, d)) {
		s->dirty++;
	} else if (s->still || s->track.by) {
		if (d->from != UINT64_MAX) {
			s->misplaced++;
			snprintf(what, sizeof(what),
				 "these bytes were sealed at 0x%" PRIx64
				 ": a write to the wrong place",
				 d->from * SEAL_LEAF);
			say(s, d, SCRUB_MISPLACED, what);
			return;
		}
		s->rot++;
		snprintf(what, sizeof(what), "changed without a write (%s)",
			 s->still ? s->still : s->track.by);
		say(s, d, SCRUB_ROT, what);
	} else {
		s->changed++;
		say(s, d, SCRUB_CHANGED, "changed since it was sealed, and nobody kept account");
	}
}

/* Put [index, index + n) of the old generation into the new one, as they are there. */
static int put_sealed(struct pass *p, uint64_t index, uint64_t n)
{
	struct scrub *s = p->s;
	int r = 0;

	while (n && !r) {
		enum seal_kind kind;
		uint64_t run = seal_run(s->to, s->gen, index, &kind);
		struct seal_leaf leaf;
		size_t since;

		run = run < n ? run : n;
		if (kind == SEAL_DATA) {
			run = 1;
			r = seal_get(s->to, s->gen, index, &kind, &leaf, &since)
				    ? seal_put_run(s->renew, SEAL_LOST, 1)
				    : seal_put(s->renew, SEAL_DATA, &leaf);
		} else {
			r = seal_put_run(s->renew, kind == SEAL_ZERO ? SEAL_ZERO : SEAL_LOST, run);
		}
		index += run;
		n -= run;
	}
	return r;
}

static int renew(struct pass *p)
{
	struct scrub *s = p->s;
	struct seal_generation g = {.made = (int64_t)time(NULL),
				    .image_size = layer_source(s->l)->size};
	uint64_t index = 0;
	int r = 0;

	source_mtime(layer_source(s->l), &g.image_mtime);
	for (size_t i = 0; i < p->n && !r; i++) {
		const struct differs *d = &p->v[i];

		if (!legitimate(s, d))
			continue;
		r = put_sealed(p, index, d->index - index);
		if (!r)
			r = seal_put(s->renew, SEAL_DATA, &d->is);
		index = d->index + 1;
	}
	if (!r)
		r = put_sealed(p, index, seal_leaves(s->to) - index);
	if (!r) {
		r = seal_commit(s->renew, &g);
		s->renew = NULL;
	}
	return r;
}

int scrub_run(struct scrub *s)
{
	struct pass p = {.s = s, .leaf = malloc(SEAL_LEAF)};
	struct seal_reading rd = {
		.l = s->l, .leaves = UINT64_MAX, .what = "scrubbing", .fn = compare, .arg = &p};
	int r = p.leaf ? seal_read_leaves(&rd) : -ENOMEM;

	if (!r || r == -EINTR) {
		int e = find_places(&p);

		r = e ? e : r;
	}
	for (size_t i = 0; i < p.n && (!r || r == -EINTR); i++)
		judge(s, &p.v[i]);
	if (p.beyond)
		finding(s->l, s->still ? SCRUB_ROT : SCRUB_CHANGED, 0, 0,
			"%" PRIu64 " more leaves differ: they are not listed", p.beyond);
	if (s->unsealed)
		finding(s->l, SCRUB_UNSEALED, 0, 0, "%" PRIu64 " leaves of 64 KiB", s->unsealed);
	*(s->still || s->track.by ? &s->rot : &s->changed) += p.beyond;
	session_checked(s->l->s, s->intact * SEAL_LEAF);
	if (!r && s->renew && !p.beyond)
		r = renew(&p);
	seal_drop(s->renew);
	s->renew = NULL;
	free(p.v);
	free(p.leaf);
	return r;
}

const char *scrub_still(const struct scrub *s)
{
	struct layer *source = layer_source(s->l);
	size_t n;
	const struct seal_generation *g = seal_generations(s->to, &n);
	int64_t mtime;

	if (s->l->chain_child)
		return "it is a parent, which nobody writes to";
	if (source_mtime(source, &mtime) && mtime == g[s->gen].image_mtime &&
	    source->size == g[s->gen].image_size)
		return "the image file has the size and time it had when it was sealed";
	return NULL;
}
