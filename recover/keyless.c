/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass over the layer below a cipher, or over what a container stores that encrypts it.
 *
 * Never-written sectors of a volume that was not wiped, or of which only used space was encrypted,
 * and free space that was trimmed, are no ciphertext either, and no damage. What was seen decides
 * what it means (decide()).
 */
#include "recover/keyless.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recover/cause.h"
#include "recover/stored.h"
#include "recover/twins.h"
#include "vdiskck/core/engine.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

enum {
	SECTOR = 512,
	BLOCK = 4096,
	PIECE = 1 << 20,
	RUNS_MAX = 1 << 16, /* kept of runs that are no ciphertext */
	/* Wholly encrypted: at most this many runs, at most one part in so many. See decide(). */
	WHOLE_RUNS = 32,
	WHOLE_PART = 256,
	WHOLE_MIN = 1 << 20, /* bytes; less tells nothing */
	/* Encrypted in part, in whole blocks: so many aligned runs at the least, for each unaligned */
	HOLE_ALIGNED = 64,
	HOLE_MAX = 16,
	HOLE_HEAD = 64 << 10, /* here file systems write sectors */
	TWINS_SAID = 256,
	STEPS_MAX = 1 << 20, /* ranges of ciphertext and not in one run of zeros */
};

/* A run of sectors that are no ciphertext, in the layer below and in the cipher's. */
struct odd {
	uint64_t at, off, len;
	uint64_t zero, constant; /* bytes in such sectors; the rest is plaintext or a pattern */
};

struct pass {
	struct layer *l;
	struct layer *in; /* what is read: the layer below, or what a container stores */
	pthread_mutex_t lock;
	struct odd *run;
	size_t n, cap;
	bool many;	     /* more than are kept */
	uint64_t bytes, odd; /* of the ciphertext's place that were seen, and that are none */
	struct twins twins;
	struct suspects *suspects; /* NULL: no key */
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

/* Sort, and join what pieces cut. */
static void runs_join(struct pass *ps)
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
		runs_join(ps);
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

/* --- what it means --- */

static bool is_text(const uint8_t *p, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += (p[i] >= ' ' && p[i] < 0x7f) || p[i] == '\n' || p[i] == '\r' || p[i] == '\t';
	return n * 100 >= len * 95;
}

static const char *odd_text(struct pass *ps, const struct odd *o)
{
	uint8_t first[SECTOR];

	if (o->zero == o->len)
		return "zeros";
	if (layer_read(ps->in, o->at, first, sizeof(first), NULL))
		return "no ciphertext";
	if (o->constant == o->len)
		return strf("bytes 0x%02x", first[0]);
	if (o->zero || o->constant)
		return "plaintext and fill";
	return is_text(first, sizeof(first)) ? "text" : "plaintext or a pattern";
}

static bool is_torn(const struct odd *o)
{
	return o->off % BLOCK || (o->off + o->len) % BLOCK;
}

/* @f about [at, at + len) of what is read, which the layer shows at @off. */
static void place(const struct pass *ps, uint64_t at, uint64_t off, uint64_t len, struct fact *f)
{
	struct extent run;

	f->in = ps->l->below;
	f->at = at;
	f->at_len = f->len = len;
	f->off = off;
	if (ps->in == ps->l->below || layer_map(ps->l, at, &run) || run.kind != EXTENT_DATA)
		return;
	f->in = run.in;
	f->at = run.at;
	if (f->at_len > run.len)
		f->at_len = run.len;
}

static void say_odd(struct pass *ps, const struct odd *o, enum finding_id id)
{
	struct fact f = {.doubtful = true, .stored = odd_text(ps, o), .expected = "ciphertext"};
	char size[SIZE_TEXT];

	place(ps, o->at, o->off, o->len, &f);
	finding_fact(ps->l, id, &f, "%s of %s at 0x%" PRIx64 " where there must be ciphertext%s",
		     size_text(o->len, size), odd_text(ps, o), o->at,
		     is_torn(o) ? ": part of a 4 KiB block, as a torn or foreign write leaves it"
				: "");
}

/*
 * Is all of the volume encrypted, but for damage? Where not all was ever written, or free
 * space is trimmed, there are many holes, or large ones: at most 32 runs that make up no more
 * than 1/256 of it are damage. A volume that was filled up to its last 0.4 % in fewer pieces than
 * that is the price; seen never in the corpus.
 */
static bool is_whole(const struct pass *ps)
{
	return !ps->many && ps->n <= WHOLE_RUNS && ps->odd <= ps->bytes / WHOLE_PART &&
	       ps->bytes >= WHOLE_MIN;
}

/* Inside one block, with ciphertext before and behind it. */
static bool is_hole(const struct odd *o)
{
	return o->off >= HOLE_HEAD && o->off % BLOCK && (o->off + o->len) % BLOCK &&
	       o->off / BLOCK == (o->off + o->len) / BLOCK;
}

/*
 * A volume that is encrypted in part: what was never written leaves whole blocks, if the file
 * system's blocks are as large. That they are shows in the others: nearly all are aligned.
 */
static void say_holes(struct pass *ps)
{
	size_t aligned = 0, torn = 0, holes = 0;

	for (size_t i = 0; i < ps->n; i++) {
		*(is_torn(&ps->run[i]) ? &torn : &aligned) += 1;
		holes += is_hole(&ps->run[i]);
	}
	if (ps->many || aligned < HOLE_ALIGNED || torn > HOLE_MAX || aligned / HOLE_ALIGNED < torn)
		return;
	for (size_t i = 0; holes && i < ps->n; i++)
		if (is_hole(&ps->run[i]))
			say_odd(ps, &ps->run[i], CIPHERTEXT_HOLE);
}

static void decide(struct pass *ps)
{
	char size[SIZE_TEXT], of[SIZE_TEXT];

	if (!ps->odd)
		return;
	runs_join(ps);
	if (is_whole(ps)) {
		for (size_t i = 0; i < ps->n; i++)
			say_odd(ps, &ps->run[i], CIPHERTEXT_OVERWRITTEN);
		return;
	}
	say_holes(ps);
	finding(ps->l, CIPHERTEXT_PARTLY, 0, 0,
		"%s of %s are not encrypted: never written, or freed and trimmed",
		size_text(ps->odd, size), size_text(ps->bytes, of));
}

static int say_twin(struct pass *ps, const struct twin *w, bool whole)
{
	int home = cause_home(ps->l, w->a, w->b);
	uint64_t hit = home == 2 ? w->a : w->b, off = 0, rest;
	struct fact f = {0};
	char size[SIZE_TEXT];

	if (home < 0)
		return home;
	if (home && ps->suspects &&
	    ranges_add(&ps->suspects->said, hit, w->len, GRADE_DOUBTFUL, CIPHERTEXT_TWICE))
		return -ENOMEM;
	/* Equal for sure and written by the cipher: all is encrypted, or one of them decrypts. */
	whole |= home > 0;
	ps->l->ops->ciphertext(ps->l, hit, &rest, &off);
	place(ps, hit, off, w->len, &f);
	f.doubtful = whole;
	f.stored = strf("the bytes of 0x%" PRIx64, w->a + w->b - hit);
	finding_fact(ps->l, whole ? CIPHERTEXT_TWICE : CIPHERTEXT_TWICE_UNSURE, &f,
		     "%s at 0x%" PRIx64 " are the same as at 0x%" PRIx64 "%s",
		     size_text(w->len, size), hit, w->a + w->b - hit,
		     home ? ", where they decrypt to data; here they are noise" : "");
	return 0;
}

static int decide_twins(struct pass *ps)
{
	struct twins *t = &ps->twins;
	bool whole = is_whole(ps);
	int r = twins_find(t);

	for (size_t i = 0; i < t->n_v && i < TWINS_SAID && !r; i++)
		r = say_twin(ps, &t->v[i], whole);
	if (!r && t->n_v > TWINS_SAID)
		finding(ps->l, whole ? CIPHERTEXT_TWICE : CIPHERTEXT_TWICE_UNSURE, 0, 0,
			"%zu%s more ranges of ciphertext stand in two places", t->n_v - TWINS_SAID,
			t->cut ? " or" : "");
	if (!r && t->shift)
		finding(ps->l, CIPHERTEXT_SAMPLED, 0, 0,
			"one block of %u was compared with all others", 1u << t->shift);
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
		decide(ps);
		r = decide_twins(ps);
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
