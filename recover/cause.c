/* SPDX-License-Identifier: Apache-2.0 */
#include "recover/cause.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "recover/keyless.h"
#include "vdiskck/core/pool.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

enum {
	BLOCK = 4096,
	UNIT_MAX = 4096,
	RUN_MAX = 16384, /* bytes of noise that may be a misdirected write; above: a file */
	NEAR = 4096,	 /* sectors around it that are tried */
};

struct suspects *cause_open(struct layer *l)
{
	struct suspects *s;

	if (l->state || !l->ops->decrypt_as || l->sector > UNIT_MAX)
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->l = l;
	pthread_mutex_init(&s->lock, NULL);
	return s;
}

void cause_close(struct suspects *s)
{
	if (!s)
		return;
	pthread_mutex_destroy(&s->lock);
	ranges_free(&s->said);
	free(s);
}

enum sense { NOISE, EMPTY, DATA };

/* What a decrypted sector of @len bytes holds. All of it must be noise to be noise. */
static enum sense sense_of(const uint8_t *p, size_t len)
{
	enum sense all = NOISE;

	for (size_t i = 0; i < len; i += 512) {
		enum look look = keyless_look(p + i);

		if (look == LOOK_PLAIN)
			return DATA;
		if (look == LOOK_CONSTANT || look == LOOK_ZERO)
			all = EMPTY; /* WEAK is too weak: thousands of trials meet it by chance */
	}
	return all;
}

static void keep(struct suspects *s, uint64_t at, uint64_t off, uint64_t len)
{
	bool whole = off % BLOCK == 0 && len % BLOCK == 0;

	if (len > RUN_MAX || (!whole && off / BLOCK != (off + len - 1) / BLOCK))
		return;
	pthread_mutex_lock(&s->lock);
	if (!whole && s->n_torn < SUSPECTS_TORN)
		s->torn[s->n_torn++] = (struct suspect){at, len};
	else if (whole && s->n_whole < SUSPECTS_WHOLE)
		s->whole[s->n_whole++] = (struct suspect){at, len};
	else
		s->cut = true;
	pthread_mutex_unlock(&s->lock);
}

int cause_look(struct suspects *s, uint64_t at, uint64_t off, uint8_t *buf, size_t len,
	       const uint8_t *look)
{
	size_t unit = s->l->sector, skip = -off & (unit - 1), noise = 0;
	bool before = true; /* data before the noise; at the ends of @buf one side is enough */
	int r;

	if (skip >= len)
		return 0;
	at += skip;
	off += skip;
	buf += skip;
	look += skip / 512;
	len = (len - skip) & ~(unit - 1);
	r = s->l->ops->decrypt_as(s->l, at, buf, len);
	if (r)
		return r == -ENOENT ? 0 : r;
	for (size_t i = 0; i < len; i += unit) {
		enum sense sense = sense_of(buf + i, unit);

		if (look[i / 512] != LOOK_RANDOM)
			sense = EMPTY; /* it was no ciphertext: that it is noise now means nothing */
		if (sense == NOISE) {
			noise += unit;
			continue;
		}
		if (sense == DATA && before && noise)
			keep(s, at + i - noise, off + i - noise, noise);
		before = sense == DATA;
		noise = 0;
	}
	if (before && noise && noise < len)
		keep(s, at + len - noise, off + len - noise, noise);
	return 0;
}

/* --- trials --- */

struct trial {
	struct layer *l;
	size_t unit;
	uint64_t at;	/* where it stands */
	uint64_t base;	/* below, of the cipher's byte 0 as its sectors count */
	uint64_t start; /* of the volume in the disk; 0: it is the disk */
	uint8_t stored[UNIT_MAX];
	uint64_t found;
};

/* Is it data when taken as of @as? 1, 0, or -errno */
static int try_one(struct trial *t, uint64_t as)
{
	uint8_t buf[UNIT_MAX];
	int r;

	if (as == t->at || as % 512)
		return 0;
	memcpy(buf, t->stored, t->unit);
	r = t->l->ops->decrypt_as(t->l, as, buf, t->unit);
	if (r)
		return r == -ENOENT ? 0 : r;
	if (sense_of(buf, t->unit) == NOISE)
		return 0;
	t->found = as;
	return 1;
}

/* The likely ones first. */
static int try_all(struct trial *t)
{
	uint64_t in = t->at - t->base, disk = t->at + t->start;
	int r = 0;

	for (uint64_t n = t->unit; !r && n < 1ull << 50; n <<= 1) {
		uint64_t as[] = {t->base + (in ^ n), (disk ^ n) - t->start, t->at + n, t->at - n};

		for (size_t i = 0; !r && i < sizeof(as) / sizeof(*as); i++)
			r = try_one(t, as[i]);
	}
	if (!r)
		r = try_one(t, t->base + in / 8);
	if (!r)
		r = try_one(t, t->base + in * 8);
	if (!r)
		r = try_one(t, t->at + t->start);
	if (!r)
		r = try_one(t, t->at - t->start);
	for (uint64_t k = 1; !r && k <= NEAR; k++) {
		r = try_one(t, t->at + k * t->unit);
		if (!r)
			r = try_one(t, t->at - k * t->unit);
	}
	return r;
}

static void trial_init(struct trial *t, struct layer *l, uint64_t at)
{
	struct extent run;
	uint64_t middle = l->size / 2 & ~4095ull;

	*t = (struct trial){.l = l, .unit = l->sector, .at = at};
	/* From the middle: the first sectors of a BitLocker volume are stored elsewhere. */
	if (!layer_map(l, middle, &run) && run.kind == EXTENT_DATA && run.at >= middle)
		t->base = run.at - middle;
	if (l->below->ops->kind == LAYER_VOLUME && !layer_map(l->below, 0, &run) &&
	    run.kind == EXTENT_DATA)
		t->start = run.at;
}

static void report(struct trial *t, const struct suspect *s, uint64_t len)
{
	uint64_t off = 0, rest;
	char size[SIZE_TEXT];

	if (t->l->ops->ciphertext(t->l, s->at, &rest, &off) != 1)
		return;
	finding_fact(t->l, CIPHERTEXT_MISDIRECTED,
		     &(struct fact){.at = s->at,
				    .at_len = len,
				    .off = off,
				    .len = len,
				    .doubtful = true,
				    .stored = strf("a sector of 0x%" PRIx64, t->found),
				    .expected = strf("a sector of 0x%" PRIx64, s->at)},
		     "%s at 0x%" PRIx64 " %s noise here, but data as of 0x%" PRIx64
		     ": written for there, and to the wrong place",
		     size_text(len, size), s->at, len == t->unit ? "is" : "are", t->found);
}

/* The sectors that follow the found one and are as far from where they belong. */
static uint64_t extend(struct trial *t, const struct suspect *s)
{
	uint64_t len = t->unit, as = t->found - s->at;
	uint8_t buf[UNIT_MAX];

	for (; len < s->len; len += t->unit)
		if (layer_read(t->l->below, s->at + len, buf, t->unit, NULL) ||
		    t->l->ops->decrypt_as(t->l, s->at + len + as, buf, t->unit) ||
		    sense_of(buf, t->unit) == NOISE)
			break;
	return len;
}

/* One place after the other: two neighbours that were swapped are one run of noise. */
static int suspect_try(void *arg, size_t i)
{
	struct suspects *s = arg;
	struct suspect v = i < s->n_torn ? s->torn[i] : s->whole[i - s->n_torn];
	struct trial t;
	uint64_t done;
	int r = 0;

	if (ranges_overlap(&s->said, v.at, v.len))
		return 0;
	for (; v.len && r >= 0; v.at += done, v.len -= done) {
		if (session_stopped(s->l->s))
			return -EINTR;
		trial_init(&t, s->l, v.at);
		r = layer_read(s->l->below, v.at, t.stored, t.unit, NULL);
		if (!r)
			r = try_all(&t);
		done = r == 1 ? extend(&t, &v) : v.len < BLOCK ? t.unit : BLOCK;
		if (r == 1)
			report(&t, &v, done);
	}
	return r < 0 ? r : 0;
}

int cause_try(struct suspects *s)
{
	ranges_sort(&s->said);
	return pool_run(session_jobs(s->l->s), s->n_torn + s->n_whole, suspect_try, s);
}

int cause_home(struct layer *l, uint64_t a, uint64_t b)
{
	uint8_t x[UNIT_MAX], y[UNIT_MAX];
	size_t unit = l->sector;
	int r;

	if (l->state || !l->ops->decrypt_as || unit > UNIT_MAX)
		return 0;
	r = layer_read(l->below, a, x, unit, NULL);
	memcpy(y, x, unit);
	if (!r)
		r = l->ops->decrypt_as(l, a, x, unit);
	if (!r)
		r = l->ops->decrypt_as(l, b, y, unit);
	if (r)
		return r == -ENOENT ? 0 : r;
	if ((sense_of(x, unit) == NOISE) == (sense_of(y, unit) == NOISE))
		return 0;
	return sense_of(x, unit) == NOISE ? 2 : 1;
}
