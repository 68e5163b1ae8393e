/* SPDX-License-Identifier: Apache-2.0 */
#include "recover/twins.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/session.h"

enum {
	SMALL_VOLUME = 1 << 25, /* sectors; larger ones are compared by 4 KiB */
	COMPARE_MAX = 100000,	/* pairs read again: chance makes some thousand in 1 TiB */
	TWINS_MAX = 1 << 16,
	SMALL = 16, /* prints that are sorted by insertion */
};

/*
 * Counters repeat: a 32-bit one ("plain") after 2 TiB of sectors. Bytes that far apart may be
 * the same without anybody's fault.
 */
static const uint64_t period = 1ull << 41;

int twins_open(struct twins *t, struct layer *in, size_t max)
{
	uint64_t sectors = in->size / 512, blocks;

	*t = (struct twins){.in = in, .unit = sectors <= SMALL_VOLUME ? 512 : 4096};
	blocks = in->size / t->unit;
	while (t->bits < 55 && sectors >> t->bits)
		t->bits++;
	t->cap = blocks < max ? (size_t)blocks + 1 : max;
	t->print = malloc(t->cap * sizeof(*t->print)); /* untouched until used */
	return t->print ? 0 : -ENOMEM;
}

void twins_close(struct twins *t)
{
	free(t->print);
	free(t->v);
	t->print = NULL;
	t->v = NULL;
}

static uint64_t word(const uint8_t *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof(w));
	return w;
}

/* Bytes of both ends: in CBC the first ones alone could be equal, if someone means them to be. */
static uint64_t fingerprint(const uint8_t *p, size_t unit)
{
	uint64_t h = word(p) ^ word(p + unit - 8) * 0x9e3779b97f4a7c15u;

	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	return h ^ h >> 32;
}

/* Does the print start with the zeros that are asked for? */
static bool kept(const struct twins *t, uint64_t print)
{
	return !t->shift || !(print >> (64 - t->shift));
}

static void make_room(struct twins *t)
{
	size_t out = 0;

	t->shift++;
	for (size_t i = 0; i < t->n; i++)
		if (kept(t, t->print[i]))
			t->print[out++] = t->print[i];
	t->n = out;
}

void twins_add(struct twins *t, uint64_t at, const uint8_t *p)
{
	uint64_t number = (1ull << t->bits) - 1;
	uint64_t print = (fingerprint(p, t->unit) & ~number) | (at / 512 & number);

	/* Bits of the block's number must not decide: then there would be no room for equal ones. */
	while (kept(t, print) && t->n == t->cap && t->shift < 64 - t->bits)
		make_room(t);
	if (kept(t, print) && t->n < t->cap)
		t->print[t->n++] = print;
}

/* In place, by bits from the highest down: prints are hashes, so the halves are even. */
static void sort(uint64_t *v, size_t n, int bit)
{
	while (n > SMALL && bit >= 0) {
		size_t lo = 0, hi = n;

		while (lo < hi) {
			if (v[lo] >> bit & 1) {
				uint64_t x = v[--hi];

				v[hi] = v[lo];
				v[lo] = x;
			} else {
				lo++;
			}
		}
		bit--;
		sort(v, lo, bit);
		v += lo;
		n -= lo;
	}
	for (size_t i = 1; i < n && n <= SMALL; i++)
		for (size_t k = i; k && v[k - 1] > v[k]; k--) {
			uint64_t x = v[k];

			v[k] = v[k - 1];
			v[k - 1] = x;
		}
}

/* 1: equal and whole; 0: not; or -errno */
static int same(struct twins *t, uint64_t a, uint64_t b)
{
	uint8_t x[4096], y[4096];
	struct ranges bad = {0};
	int r = layer_read(t->in, a, x, t->unit, &bad);

	if (!r)
		r = layer_read(t->in, b, y, t->unit, &bad);
	if (!r)
		r = !bad.n && !memcmp(x, y, t->unit);
	ranges_free(&bad);
	return r;
}

static int twin_add(struct twins *t, uint64_t a, uint64_t b)
{
	if ((b - a) % period == 0)
		return 0;
	if (t->n_v == TWINS_MAX) {
		t->cut = true;
		return 0;
	}
	if (!(t->n_v & (t->n_v - 1))) { /* grows at powers of two */
		struct twin *v = realloc(t->v, (t->n_v ? 2 * t->n_v : 1) * sizeof(*v));

		if (!v)
			return -ENOMEM;
		t->v = v;
	}
	t->v[t->n_v++] = (struct twin){a, b, t->unit};
	return 0;
}

static int twin_cmp(const void *x, const void *y)
{
	const struct twin *a = x, *b = y;

	if (a->a != b->a)
		return a->a < b->a ? -1 : 1;
	return a->b < b->b ? -1 : a->b > b->b;
}

static void join(struct twins *t)
{
	size_t out = 0;

	if (t->n_v)
		qsort(t->v, t->n_v, sizeof(*t->v), twin_cmp);
	for (size_t i = 0; i < t->n_v; i++) {
		struct twin *last = out ? &t->v[out - 1] : NULL, w = t->v[i];

		/* Not so far that the two would run into each other: a period, not a copy. */
		if (last && last->a + last->len == w.a && last->b + last->len == w.b &&
		    last->a + last->len < last->b)
			last->len += w.len;
		else
			t->v[out++] = w;
	}
	t->n_v = out;
}

int twins_find(struct twins *t)
{
	uint64_t number = (1ull << t->bits) - 1;
	size_t compared = 0;
	int r = 0;

	sort(t->print, t->n, 63);
	for (size_t i = 1; i < t->n && r >= 0; i++) {
		uint64_t a = t->print[i - 1], b = t->print[i];

		if ((a ^ b) & ~number)
			continue;
		if (session_stopped(t->in->s))
			return -EINTR;
		if (compared++ == COMPARE_MAX) {
			t->cut = true;
			break;
		}
		a = (a & number) * 512;
		b = (b & number) * 512;
		r = same(t, a, b);
		if (r == 1)
			r = twin_add(t, a, b);
	}
	join(t);
	return r < 0 ? r : 0;
}
