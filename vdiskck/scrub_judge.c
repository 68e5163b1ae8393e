/* SPDX-License-Identifier: Apache-2.0 */
/* What the leaves that differ mean: whose content they hold, and whether anybody wrote it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vdiskck/core/source.h"
#include "vdiskck/core/text.h"
#include "vdiskck/scrub.h"

static int by_crc(const void *a, const void *b)
{
	const struct scrub_leaf *x = a, *y = b;

	return memcmp(x->is.crc, y->is.crc, sizeof(x->is.crc));
}

static int by_index(const void *a, const void *b)
{
	const struct scrub_leaf *x = a, *y = b;

	return x->index < y->index ? -1 : x->index > y->index;
}

/*
 * Whose content is it? One pass over the seal; CRCs know no place: 512 bits of them. A leaf of one
 * repeated pattern belongs everywhere, so only content that was sealed in one place says anything.
 */
static int find_places(struct scrub *s)
{
	uint8_t *seen = s->n ? calloc(s->n, 1) : NULL;
	uint64_t leaves = seal_leaves(s->to);

	if (!s->n)
		return 0;
	if (!seen)
		return -ENOMEM;
	qsort(s->v, s->n, sizeof(*s->v), by_crc);
	for (uint64_t i = 0; i < leaves;) {
		enum seal_kind kind;
		uint64_t len = seal_run(s->to, s->gen, i, &kind);
		struct scrub_leaf key;
		size_t since;

		for (uint64_t k = i; k < i + len && kind == SEAL_DATA; k++) {
			struct scrub_leaf *hit = NULL;

			if (!seal_get(s->to, s->gen, k, &kind, &key.is, &since))
				hit = bsearch(&key, s->v, s->n, sizeof(*s->v), by_crc);
			if (hit && hit->index != k) {
				hit->from = seen[hit - s->v] ? UINT64_MAX : k;
				seen[hit - s->v] = 1;
			}
			kind = SEAL_DATA;
		}
		i += len;
		if (session_stopped(s->l->s))
			break;
	}
	free(seen);
	qsort(s->v, s->n, sizeof(*s->v), by_index);
	return 0;
}

/* The differing sectors of a leaf that the account does not name. */
static uint16_t unaccounted(const struct scrub *s, const struct scrub_leaf *d)
{
	uint16_t left = d->sectors;

	for (unsigned i = 0; i < SEAL_SECTORS; i++) {
		uint64_t off = d->index * SEAL_LEAF + i * SEAL_SECTOR;

		if (off >= s->l->size || ranges_overlap(&s->track.dirty, off, SEAL_SECTOR))
			left &= (uint16_t) ~(1u << i);
	}
	return left;
}

/* Where the bytes are stored, as far as they lie together. */
static void set_place(struct layer *l, struct fact *f)
{
	struct extent run;

	f->in = l;
	if (layer_map(l, f->off, &run) || run.kind != EXTENT_DATA || run.packed)
		return;
	f->in = run.in;
	f->at = run.at;
	f->at_len = run.len < f->len ? run.len : f->len;
}

static void say(struct scrub *s, const struct scrub_leaf *d, enum finding_id id, const char *what)
{
	const struct seal_generation *g;
	char first[TIME_TEXT], last[TIME_TEXT];
	struct fact f;
	size_t n;

	g = seal_generations(s->to, &n);
	time_text(g[d->since].made, 0, first);
	time_text(d->good, 0, last);
	for (unsigned i = 0, to; i < SEAL_SECTORS; i = to + 1) {
		uint64_t off = d->index * SEAL_LEAF + (uint64_t)i * SEAL_SECTOR, len;

		for (to = i; to < SEAL_SECTORS && d->sectors >> to & 1; to++)
			;
		len = (uint64_t)(to - i) * SEAL_SECTOR;
		if (!len || off >= s->l->size)
			continue;
		f = (struct fact){.off = off,
				  .len = len < s->l->size - off ? len : s->l->size - off,
				  .doubtful = id != SCRUB_CHANGED};
		set_place(s->l, &f);
		finding_fact(s->l, id, &f, "%s; sealed so since %s, last found so at %s", what,
			     first, last);
	}
}

/* Which of the differing sectors were written to, and that is nobody's fault? */
static uint16_t legitimate(const struct scrub *s, const struct scrub_leaf *d)
{
	if (s->track.by)
		return (uint16_t)(d->sectors & ~unaccounted(s, d));
	if (s->accept)
		return d->sectors;
	return s->still ? 0 : d->written_to;
}

static void say_suspect(struct scrub *s, const struct scrub_leaf *d)
{
	struct scrub_leaf part = *d;
	char what[256], time[TIME_TEXT], since[TIME_TEXT], journal[128] = "";

	part.sectors = d->suspect;
	time_text(d->when, 0, time);
	if (d->journal)
		snprintf(journal, sizeof(journal),
			 ", and of which the USN journal, that goes back to %s, has no write",
			 time_text(d->journal, 0, since));
	snprintf(what, sizeof(what), "changed in a file that was last written to at %s%s", time,
		 journal);
	say(s, &part, SCRUB_SUSPECT, what);
}

/* Nobody kept account: no verdict, but what the volume says of its own. */
static void say_changed(struct scrub *s, const struct scrub_leaf *d)
{
	struct scrub_leaf rest = *d;
	char what[256], time[TIME_TEXT];

	rest.sectors = (uint16_t)(d->sectors & ~d->suspect);
	if (d->suspect) {
		s->suspect++;
		say_suspect(s, d);
	} else {
		s->changed++;
	}
	if (!rest.sectors)
		return;
	snprintf(what, sizeof(what), "changed since it was sealed, and nobody kept account%s",
		 s->l->chain_child ? ": this parent's file was written to, as a merge does" : "");
	if (rest.sectors == (rest.sectors & d->unused))
		snprintf(what, sizeof(what), "changed since it was sealed, where no file lies");
	else if (d->path && !d->suspected)
		snprintf(what, sizeof(what),
			 "changed since it was sealed, in a file that was written to at %s",
			 time_text(d->when, 0, time));
	say(s, &rest, SCRUB_CHANGED, what);
}

static void judge(struct scrub *s, struct scrub_leaf *d)
{
	char what[160];

	d->written = legitimate(s, d);
	d->sectors = (uint16_t)(d->sectors & ~d->written);
	if (!d->sectors) {
		++*(s->track.by || s->accept ? &s->dirty : &s->explained);
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
		say_changed(s, d);
	}
}

/* Put [index, index + n) of the old generation into the new one, as they are there. */
static int put_sealed(struct scrub *s, uint64_t index, uint64_t n)
{
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

/*
 * A leaf that differs. What was written to is as it is now; what else differs stays as it was sealed,
 * and so do the sectors of a leaf that has both.
 */
static int put_judged(struct scrub *s, const struct scrub_leaf *d)
{
	struct seal_leaf leaf;
	size_t since;
	int r;

	if (!d->sectors)
		return seal_put(s->renew, SEAL_DATA, &d->is);
	if (!d->written)
		return put_sealed(s, d->index, 1);
	r = scrub_sealed(s, s->gen, d->index, &leaf, &since);
	if (!r) {
		seal_leaf_mix(d->index, &leaf, &d->is, d->written);
		r = seal_put(s->renew, SEAL_DATA, &leaf);
	}
	return r;
}

static int renew(struct scrub *s)
{
	struct seal_generation g = {.made = s->made ? s->made : (int64_t)time(NULL),
				    .image_size = layer_source(s->l)->size,
				    .kept = s->unreadable + s->unsealed};
	uint64_t index = 0;
	int r = 0;

	source_mtime_ns(layer_source(s->l), &g.image_mtime);
	for (size_t i = 0; i < s->n && !r; i++) {
		const struct scrub_leaf *d = &s->v[i];

		g.kept += d->sectors != 0;
		r = put_sealed(s, index, d->index - index);
		if (!r)
			r = put_judged(s, d);
		index = d->index + 1;
	}
	if (!r)
		r = put_sealed(s, index, seal_leaves(s->to) - index);
	if (!r) {
		r = seal_commit(s->renew, &g);
		s->renew = NULL;
	}
	return r;
}

static void say_spans(struct scrub *s, const struct scrub_spans *in, enum finding_id id,
		      const char *what, uint64_t *count)
{
	*count = in->beyond;
	for (size_t i = 0; i < in->n; i++) {
		uint64_t off = in->v[i].first * SEAL_LEAF, len = in->v[i].n * SEAL_LEAF;

		*count += in->v[i].n;
		len = len < s->l->size - off ? len : s->l->size - off;
		/* What of it is lost, to the sector, is said where it was read. */
		finding_fact(s->l, id, &(struct fact){.in = s->l, .off = off, .len = len}, "%s",
			     what);
	}
	if (in->beyond)
		finding(s->l, id, 0, 0, "%" PRIu64 " more leaves: they are not listed", in->beyond);
}

int scrub_judge(struct scrub *s)
{
	int r = find_places(s);

	say_spans(s, &s->lost, SCRUB_UNREADABLE, "sealed, but can't be read now", &s->unreadable);
	say_spans(s, &s->once, SCRUB_TRANSIENT,
		  "read once as something else, and then as it was sealed", &s->transient);
	for (size_t i = 0; i < s->n && !r; i++)
		judge(s, &s->v[i]);
	if (s->beyond)
		finding(s->l, s->still ? SCRUB_ROT : SCRUB_CHANGED, 0, 0,
			"%" PRIu64 " more leaves differ: they are not listed", s->beyond);
	if (s->unsealed)
		finding(s->l, SCRUB_UNSEALED, 0, 0, "%" PRIu64 " leaves of 64 KiB", s->unsealed);
	*(s->still || s->track.by ? &s->rot : &s->changed) += s->beyond;
	if (s->explained)
		finding(s->l, SCRUB_EXPLAINED, 0, 0, "%" PRIu64 " leaves of 64 KiB", s->explained);
	session_checked(s->l->s, s->intact * SEAL_LEAF);
	return r;
}

int scrub_renew(struct scrub *s)
{
	bool all = s->next == s->end && !s->first && s->end == seal_leaves(s->to);
	int r = s->renew && all && !s->beyond ? renew(s) : 0;

	seal_drop(s->renew);
	s->renew = NULL;
	return r;
}
