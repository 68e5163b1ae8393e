/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass over the layer below a cipher, or over what a container stores that encrypts it.
 *
 * Never-written sectors of a volume that was not wiped, or of which only used space was encrypted,
 * and free space that was trimmed, are no ciphertext either, and no damage. What was seen decides
 * what it means (keyless_decide()).
 */
#include "recover/keyless_pass.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "recover/stored.h"
#include "vdiskck/core/engine.h"
#include "vdiskck/core/session.h"

enum {
	SECTOR = KEYLESS_SECTOR,
	PIECE = 1 << 20,
	RUNS_MAX = 1 << 16,  /* kept of runs that are no ciphertext */
	STEPS_MAX = 1 << 20, /* ranges of ciphertext and not in one run of zeros */
};

/* --- one sector --- */

/*
 * The sum of squared counts. Four tables, so that equal neighbours don't wait for each other; 128
 * bytes go into each, so a byte holds the count.
 */
static uint32_t squares(const uint8_t *p)
{
	uint8_t t[4][256] = {0};
	uint32_t sum = 0;

	for (size_t i = 0; i < SECTOR; i += 8) {
		uint64_t w;

		memcpy(&w, p + i, sizeof(w));
		t[0][w & 255]++;
		t[1][w >> 8 & 255]++;
		t[2][w >> 16 & 255]++;
		t[3][w >> 24 & 255]++;
		t[0][w >> 32 & 255]++;
		t[1][w >> 40 & 255]++;
		t[2][w >> 48 & 255]++;
		t[3][w >> 56]++;
	}
	for (size_t i = 0; i < 256; i++) {
		int16_t c = (int16_t)(t[0][i] + t[1][i] + t[2][i] + t[3][i]);

		sum += (uint32_t)(c * c);
	}
	return sum;
}

enum look keyless_look(const uint8_t p[SECTOR])
{
	uint32_t sum;

	/* Two bytes expected of each value: chi² = sum / 2 - 512. */
	if (!memcmp(p, p + 1, SECTOR - 1))
		return p[0] ? LOOK_CONSTANT : LOOK_ZERO;
	sum = squares(p);
	return sum > 2 * (512 + 512) ? LOOK_PLAIN : sum > 2 * (400 + 512) ? LOOK_WEAK : LOOK_RANDOM;
}

/* --- runs --- */

static int odd_cmp(const void *a, const void *b)
{
	const struct odd *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

void keyless_join(struct pass *ps)
{
	size_t out = 0;

	if (ps->n)
		qsort(ps->run, ps->n, sizeof(*ps->run), odd_cmp);
	for (size_t i = 0; i < ps->n; i++) {
		struct odd *last = out ? &ps->run[out - 1] : NULL, o = ps->run[i];

		if (last && last->at + last->len == o.at && last->off + last->len == o.off) {
			last->len += o.len;
			last->zero += o.zero;
			last->constant += o.constant;
		} else {
			ps->run[out++] = o;
		}
	}
	ps->n = out;
}

/* Called with the lock held. */
static int run_add(struct pass *ps, const struct odd *o)
{
	ps->odd += o->len;
	if (ps->n == RUNS_MAX && !ps->many) {
		keyless_join(ps);
		ps->many = ps->n > RUNS_MAX / 2;
	}
	if (ps->many)
		return 0;
	if (ps->n == ps->cap) {
		size_t cap = ps->cap ? 2 * ps->cap : 256;
		struct odd *v = realloc(ps->run, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		ps->run = v;
		ps->cap = cap;
	}
	ps->run[ps->n++] = *o;
	return 0;
}

/* A part of a piece that is the cipher's. */
struct part {
	uint64_t at, off;
	uint8_t *p;
	size_t n; /* sectors */
	uint8_t look[PIECE / SECTOR];
};

enum { LOOK_LOST = 255 };

static bool is_odd(uint8_t look)
{
	return look >= LOOK_PLAIN && look <= LOOK_ZERO;
}

/* With the lock held, as is part_twins(). */
static int part_runs(struct pass *ps, const struct part *t)
{
	size_t start, end = 0;
	int r = 0;

	for (size_t i = 0; i < t->n; i++)
		ps->bytes += t->look[i] == LOOK_LOST ? 0 : SECTOR;
	for (size_t i = 0; i < t->n && !r; i++) {
		struct odd o = {0};

		if (!is_odd(t->look[i]))
			continue;
		for (start = i; start > end && t->look[start - 1] == LOOK_WEAK;)
			start--;
		for (end = i; end < t->n && (is_odd(t->look[end]) || t->look[end] == LOOK_WEAK);) {
			o.zero += t->look[end] == LOOK_ZERO ? SECTOR : 0;
			o.constant += t->look[end] == LOOK_CONSTANT ? SECTOR : 0;
			end++;
		}
		o.at = t->at + start * SECTOR;
		o.off = t->off + start * SECTOR;
		o.len = (end - start) * SECTOR;
		r = run_add(ps, &o);
		i = end - 1;
	}
	return r;
}

static void part_twins(struct pass *ps, const struct part *t)
{
	size_t per = ps->twins.unit / SECTOR, i = 0;

	while (i < t->n && (t->off + i * SECTOR) % ps->twins.unit)
		i++;
	for (; i + per <= t->n; i += per) {
		size_t k = 0;

		while (k < per && t->look[i + k] == LOOK_RANDOM)
			k++;
		if (k == per)
			twins_add(&ps->twins, t->at + i * SECTOR, t->p + i * SECTOR);
	}
}

static int part_work(struct pass *ps, struct piece *p, struct part *t, uint64_t len)
{
	uint64_t skip = -t->off & (SECTOR - 1);
	int r;

	if (skip > len)
		return 0;
	t->at += skip;
	t->off += skip;
	t->p = p->buf + (t->at - p->off);
	t->n = (size_t)(len - skip) / SECTOR;
	for (size_t i = 0; i < t->n; i++)
		t->look[i] = p->bad.n && ranges_overlap(&p->bad, t->at + i * SECTOR, SECTOR)
				     ? LOOK_LOST
				     : keyless_look(t->p + i * SECTOR);
	pthread_mutex_lock(&ps->lock);
	r = part_runs(ps, t);
	part_twins(ps, t);
	pthread_mutex_unlock(&ps->lock);
	if (!r && ps->suspects)
		r = cause_look(ps->suspects, t->at, t->off, t->p, t->n * SECTOR, t->look);
	return r;
}

static int work(void *arg, struct piece *p)
{
	struct pass *ps = arg;
	uint64_t end = p->off + p->len, len;
	int r = 0;

	ranges_sort(&p->bad);
	for (uint64_t at = p->off; at < end && !r; at += len) {
		struct part t = {.at = at};
		int in = ps->l->ops->ciphertext(ps->l, at, &len, &t.off);

		if (len > end - at)
			len = end - at;
		if (in == 1)
			r = part_work(ps, p, &t, len);
	}
	return r;
}

/* What the container says is zero. What it says is lost, it has reported. */
static int deliver(void *arg, struct piece *p)
{
	struct pass *ps = arg;
	uint64_t end = p->off + p->len, len;
	unsigned steps = 0;
	int r = 0;

	if (p->kind != EXTENT_ZERO)
		return 0;
	for (uint64_t at = p->off; at < end && !r && steps < STEPS_MAX; at += len, steps++) {
		struct odd o = {.at = at};
		int in = ps->l->ops->ciphertext(ps->l, at, &len, &o.off);

		if (len > end - at)
			len = end - at;
		if (session_stopped(ps->l->s))
			return -EINTR;
		if (in != 1)
			continue;
		o.len = o.zero = len;
		pthread_mutex_lock(&ps->lock);
		ps->bytes += len;
		r = run_add(ps, &o);
		pthread_mutex_unlock(&ps->lock);
	}
	return r;
}

/* Where the ciphertext begins; false: there is none. */
static bool find_first(struct layer *l, uint64_t size, uint64_t *first)
{
	uint64_t at = 0, len, off;

	for (; at < size && !session_stopped(l->s); at += len) {
		*first = at;
		if (l->ops->ciphertext(l, at, &len, &off) == 1)
			return true;
		if (len > size - at)
			break;
	}
	return false;
}

static int pass_run(struct pass *ps, size_t prints)
{
	struct engine e = {.l = ps->in,
			   .order = ENGINE_PHYSICAL,
			   .piece = PIECE,
			   .what = "ciphertext",
			   .work = work,
			   .deliver = deliver,
			   .arg = ps};
	int r;

	if (!find_first(ps->l, ps->in->size, &e.off))
		return 0;
	e.len = ps->in->size - e.off;
	pthread_mutex_init(&ps->lock, NULL);
	ps->suspects = cause_open(ps->l);
	r = twins_open(&ps->twins, ps->in, prints);
	if (!r)
		r = engine_run(&e);
	if (!r) {
		keyless_decide(ps);
		r = keyless_decide_twins(ps);
	}
	if (!r && ps->suspects)
		r = cause_try(ps->suspects);
	twins_close(&ps->twins);
	cause_close(ps->suspects);
	free(ps->run);
	pthread_mutex_destroy(&ps->lock);
	return r;
}

int keyless_check_in(struct layer *l, size_t prints)
{
	bool locked = l->state == -ENOKEY || l->state == -EKEYREJECTED;
	struct pass ps = {.l = l, .in = l->below};
	struct layer *stored = NULL;
	int r;

	if ((l->state && !locked) || !l->ops->ciphertext)
		return 0;
	if (l->ops->kind == LAYER_CONTAINER) {
		stored = stored_open(l);
		if (!stored)
			return -ENOMEM;
		ps.in = stored;
	}
	r = pass_run(&ps, prints);
	layer_free(stored);
	return r;
}

int keyless_check(struct layer *l)
{
	return keyless_check_in(l, TWINS_PRINTS);
}
