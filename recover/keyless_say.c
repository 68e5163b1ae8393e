/* SPDX-License-Identifier: Apache-2.0 */
/* What a pass over ciphertext means. */
#include <errno.h>
#include <inttypes.h>

#include "recover/keyless_pass.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

enum {
	SECTOR = KEYLESS_SECTOR,
	BLOCK = 4096,
	/* Wholly encrypted: at most this many runs, at most one part in so many: is_whole(). */
	WHOLE_RUNS = 32,
	WHOLE_PART = 256,
	WHOLE_MIN = 1 << 20, /* bytes; less tells nothing */
	/* Encrypted in part, in whole blocks: so many aligned runs at the least, for each unaligned */
	HOLE_ALIGNED = 64,
	HOLE_MAX = 16,
	HOLE_HEAD = 64 << 10, /* here file systems write sectors */
	TWINS_SAID = 256,
};

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

void keyless_decide(struct pass *ps)
{
	char size[SIZE_TEXT], of[SIZE_TEXT];

	if (!ps->odd)
		return;
	keyless_join(ps);
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

int keyless_decide_twins(struct pass *ps)
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
