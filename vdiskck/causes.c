/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/causes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/fs.h"
#include "formats/stack.h"
#include "recover/cause_bit.h"
#include "recover/cause_shape.h"
#include "vdiskck/causes_sums.h"
#include "vdiskck/core/text.h"

enum {
	CAUSES_MAX = 1000,
	OF_ONE_KIND = 20, /* findings of one id in one layer that are looked into */
	NEAR = 1 << 20,	  /* bytes within which damages lie together */
	MANY = 3,
	SECTOR = 512,
};

/* One finding in hand. */
struct looking {
	struct causes *c;
	struct run *r;
	const struct entry *e;
	struct layer *l; /* the layer of e->at; a file's is opened for this */
	struct layer *file;
	const struct cause_hint *hint;
};

static void add(struct looking *k, struct cause what, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static const struct place *image_place(const struct entry *e)
{
	for (size_t i = 0; i < e->n_where; i++)
		if (!strchr(e->where[i].layer, '/') || !i)
			return &e->where[i];
	return NULL;
}

static uint64_t unit_of(uint64_t off, uint64_t len)
{
	static const uint64_t unit[] = {2 << 20, 64 << 10, 4096, 512};

	for (size_t i = 0; i < sizeof(unit) / sizeof(*unit); i++)
		if (len && !(off % unit[i]) && !(len % unit[i]))
			return unit[i];
	return 0;
}

/* The file that was hit, and when it was written last. */
static void date(struct looking *k, struct cause *c)
{
	const char *full = k->e->n_paths ? k->e->paths[0] : NULL, *colon;
	struct layer *fs = NULL;
	struct fs_entry *f = NULL;
	char *name;

	colon = full ? strstr(full, ":/") : NULL;
	if (colon) {
		name = strndup(full, (size_t)(colon - full));
		fs = name ? stack_find(k->r->source, name) : NULL;
		free(name);
		c->path = strdup(colon + 1);
	} else if (k->e->path) {
		fs = stack_find(k->r->source, k->e->layer);
		c->path = strdup(k->e->path);
	}
	if (fs && c->path && fs->ops->fs && !fs->state && !fs_find(fs, c->path, &f) &&
	    f->modified.set) {
		c->dated = true;
		c->written = f->modified.sec;
	}
	fs_entry_free(f);
}

/* Several findings may speak of one damage: the first that has a cause is enough. */
static bool is_known(const struct causes *c, const char *layer, const struct place *at)
{
	for (size_t i = 0; i < c->n; i++)
		if (!strcmp(c->v[i].at.layer, layer) && at->off < c->v[i].at.off + c->v[i].at.len &&
		    c->v[i].at.off < at->off + at->len)
			return true;
	return false;
}

static void add(struct looking *k, struct cause what, const char *fmt, ...)
{
	struct causes *c = k->c;
	struct cause *more = realloc(c->v, (c->n + 1) * sizeof(*more));
	va_list ap;
	int n;

	if (!more)
		return;
	c->v = more;
	if (!what.at.len)
		what.at = k->e->at;
	if (is_known(c, what.at.layer ? what.at.layer : k->e->layer, &what.at))
		return;
	more += c->n;
	*more = what;
	more->id = k->e->id;
	more->number = k->e->number;
	more->layer = k->e->layer;
	va_start(ap, fmt);
	n = vasprintf(&more->text, fmt, ap);
	va_end(ap);
	more->at.layer = strdup(more->at.layer ? more->at.layer : k->e->layer);
	if (more->stored.len)
		more->stored.layer = strdup(more->stored.layer);
	if (n < 0 || !more->at.layer || (more->stored.len && !more->stored.layer)) {
		free(n < 0 ? NULL : more->text);
		free((char *)(uintptr_t)more->at.layer);
		return;
	}
	if (image_place(k->e))
		more->image = *image_place(k->e);
	more->unit = unit_of(more->at.off, more->at.len);
	date(k, more);
	c->n++;
}

/* The open layer by the name that findings use: one of the stack, or a file of a file system in it. */
static struct layer *layer_by_name(struct looking *k, const char *name)
{
	const char *colon = strstr(name, ":/");
	struct fs_entry *f = NULL;
	struct layer *fs;
	char *text;

	if (!colon)
		return stack_find(k->r->source, name);
	text = strndup(name, (size_t)(colon - name));
	fs = text ? stack_find(k->r->source, text) : NULL;
	free(text);
	if (fs && !fs->state && fs->ops->fs && !fs->ops->fs->lookup(fs, colon + 1, &f) &&
	    fs->ops->fs->open_file(fs, f, &k->file))
		k->file = NULL;
	fs_entry_free(f);
	return k->file;
}

static bool has_cipher(struct layer *l)
{
	for (; l; l = l->below)
		if (l->ops->kind == LAYER_CIPHER && l->ops->decrypt_as)
			return true;
	return false;
}

/* Where the bit is stored, down to the image file. */
static struct place stored_place(const struct cause_bit *b)
{
	struct where w[WHERE_MAX];
	size_t n = b->in ? layer_where(b->in, b->at, 1, w, WHERE_MAX) : 0;

	return n ? (struct place){w[0].l->path, w[0].off, 1} : (struct place){0};
}

/* Is it one bit, as a checksum over the bytes proves? */
static bool one_bit(struct looking *k)
{
	struct cause_sum s;
	struct cause_bit b;
	struct cause c = {.kind = CAUSE_BIT, .sure = CAUSE_STRONG};

	if (!causes_sum(k->e, k->l, &s) || cause_bit_find(&s, &b) != 1)
		return false;
	c.at = (struct place){k->l->path, b.off, b.in_cipher ? b.spoilt : 1};
	c.stored = stored_place(&b);
	if (b.in_sum) {
		c.at = (struct place){0};
		c.sure = CAUSE_LIKELY;
		add(k, c,
		    "the checksum itself has one wrong bit: the bytes under it are as they were");
	} else if (b.in_cipher) {
		c.side = CAUSE_BELOW;
		add(k, c,
		    "with bit %u of the encrypted byte at 0x%" PRIx64
		    " of %s flipped, the checksum fits again%s: one bit changed below the "
		    "encryption, in the host, the network or the storage",
		    b.bit, c.stored.off, c.stored.len ? c.stored.layer : "the image",
		    b.chained	    ? ", and so does the same bit of the block behind it (CBC)"
		    : b.spoilt > 16 ? ", and all of the sector is right (diffuser)"
				    : "");
	} else {
		c.side = has_cipher(k->l) ? CAUSE_ABOVE : CAUSE_ANYWHERE;
		add(k, c, "with bit %u of byte 0x%" PRIx64 " flipped, the checksum fits again: %s",
		    b.bit, b.off,
		    c.side == CAUSE_ABOVE
			    ? "one bit changed before it was encrypted, in the guest or its memory"
			    : "one bit changed, in memory, on the way or in the storage");
	}
	return true;
}

/* What a pointer should be, by what nobody points to any more; and how many bits are between them. */
static bool pointer(struct looking *k)
{
	const struct collect *f = &k->r->found;
	struct cause c = {.kind = CAUSE_POINTER, .side = CAUSE_BELOW, .sure = CAUSE_LIKELY};
	uint64_t stored, home, differ;
	const struct entry *o = NULL;
	unsigned found = 0;

	for (size_t i = 0; i < f->n; i++)
		if (f->v[i].id == k->hint->orphan && !strcmp(f->v[i].layer, k->e->layer) &&
		    f->v[i].at.len) {
			o = &f->v[i];
			found++;
		}
	if (found != 1 || !k->e->stored)
		return false;
	stored = strtoull(k->e->stored, NULL, 0);
	home = o->at.off >> k->hint->shift;
	differ = (stored & k->hint->mask) ^ home;
	if (differ && !(differ & (differ - 1))) {
		c.kind = CAUSE_BIT;
		add(k, c,
		    "what nobody owns at 0x%" PRIx64
		    " is one bit away from what the entry says: one "
		    "bit of the entry changed",
		    o->at.off);
	} else {
		add(k, c,
		    "the entry was overwritten: what it named still lies at 0x%" PRIx64
		    ", and nothing else names it",
		    o->at.off);
	}
	return true;
}

/* Do the entries name what stood behind what is now the end? */
static bool cut_off(struct looking *k)
{
	struct cause c = {.kind = CAUSE_TRUNCATED, .side = CAUSE_BELOW, .sure = CAUSE_LIKELY};
	struct layer *l = stack_find(k->r->source, k->e->layer);
	uint64_t missing, unit = 1 << 20;
	char size[SIZE_TEXT], whole[SIZE_TEXT];

	if (!k->hint->orphan || !l || !l->below ||
	    !causes_cut_off(&k->r->found, k->e, k->hint, l->below->size, &missing))
		return false;
	for (size_t i = 0; i < k->c->n; i++)
		if (k->c->v[i].id == k->e->id && k->c->v[i].layer == k->e->layer &&
		    k->c->v[i].kind == CAUSE_TRUNCATED)
			return true; /* one event, said once */
	while (unit > 512 && l->below->size % unit)
		unit /= 2;
	add(k, c,
	    "what its entries name would follow the end of the file at 0x%" PRIx64
	    " (a multiple of %s): its end was cut off, or its copy was not finished; at least %s are "
	    "missing",
	    l->below->size, size_text(unit, whole), size_text(missing, size));
	return true;
}

static bool one_bit_of_pe(struct looking *k)
{
	struct cause c = {.kind = CAUSE_BIT, .sure = CAUSE_LIKELY};
	bool in_sum;

	if (!causes_one_bit_of_pe(k->e, &in_sum))
		return false;
	c.side = has_cipher(k->l) ? CAUSE_ABOVE : CAUSE_ANYWHERE;
	add(k, c, "%s%s",
	    in_sum ? "the checksum itself has one wrong bit: the program may be as it was built"
		   : "the checksum is off by what one wrong bit makes, which other damage does once in "
		     "2,000 times: one bit of the program changed",
	    c.side == CAUSE_ABOVE ? ", before it was encrypted, in the guest or its memory" : "");
	return true;
}

/* What stands where ciphertext must be. */
static void overwritten(struct looking *k, const struct cause_shape *sh)
{
	struct cause c = {.side = CAUSE_BELOW, .sure = CAUSE_STRONG};

	if (sh->flat && !sh->value) {
		c.kind = CAUSE_ZEROED;
		add(k, c,
		    "zeros where there must be ciphertext: no write of the guest leaves that. It was zeroed, "
		    "or never written, in the host, the network or the storage");
	} else if (sh->flat) {
		c.kind = CAUSE_CONSTANT;
		add(k, c,
		    "bytes 0x%02x where there must be ciphertext: no write of the guest leaves that. It came "
		    "from the host, the network or the storage",
		    sh->value);
	} else {
		c.kind = CAUSE_FOREIGN;
		add(k, c,
		    "other data where there must be ciphertext: it did not pass the encryption, so that "
		    "it came from the host, the network or the storage");
	}
}

/* Zeros, one value, or noise among bytes that are wrong. */
static bool by_shape(struct looking *k, const struct cause_shape *sh)
{
	struct cause c = {.sure = CAUSE_LIKELY};
	bool cipher = has_cipher(k->l);
	char size[SIZE_TEXT];

	/* Zeros are nothing strange in most structures, unless they are all of it. */
	if (sh->flat && (sh->flat == sh->len || (k->hint && k->hint->dense))) {
		c.kind = sh->value ? CAUSE_CONSTANT : CAUSE_ZEROED;
		c.side = cipher ? CAUSE_ABOVE : CAUSE_ANYWHERE;
		c.at = (struct place){k->l->path, sh->flat_off, sh->flat};
		add(k, c, "%s of %s in whole sectors%s", size_text(sh->flat, size),
		    sh->value ? "one value" : "zeros",
		    cipher ? ": the guest wrote them, for zeroed ciphertext would not be zeros here"
		    : sh->value ? ""
				: ": they were zeroed, or never written");
		return true;
	}
	if (cipher && (sh->noise || sh->random)) {
		c.kind = CAUSE_NOISE;
		c.side = CAUSE_BELOW;
		c.sure = sh->random ? CAUSE_LIKELY : CAUSE_POSSIBLE;
		c.at = sh->random ? k->e->at : (struct place){k->l->path, sh->noise_off, 16};
		add(k, c,
		    sh->random
			    ? "whole sectors of noise: the ciphertext changed, below the encryption"
			    : "16 bytes that fit nothing around them, on a multiple of 16: a block of "
			      "the cipher, so that the ciphertext changed, below the encryption");
		return true;
	}
	return false;
}

/* What the other copy, or the number of the last write, tells. */
static bool by_other(struct looking *k)
{
	struct cause c = {.kind = CAUSE_STALE, .sure = CAUSE_LIKELY};
	unsigned older = causes_writes_older(k->e, k->l), bit;
	uint64_t off;

	if (older) {
		add(k, c,
		    "its end is %u write%s older than the rest: a write was interrupted between two "
		    "sectors, or an older sector came back",
		    older, older == 1 ? "" : "s");
		return true;
	}
	if (!causes_copy_bit(k->e, k->l, &off, &bit))
		return false;
	c.kind = CAUSE_BIT;
	c.side = CAUSE_BELOW;
	c.sure = CAUSE_STRONG;
	c.at = c.stored = (struct place){k->l->path, off, 1};
	add(k, c, "it differs from the other copy in bit %u of byte 0x%" PRIx64 " alone", bit, off);
	return true;
}

static void look(struct looking *k)
{
	struct cause c = {.sure = CAUSE_LIKELY};
	struct cause_shape sh = {0};
	bool shaped;

	k->hint = causes_hint(k->e->id);
	k->l = k->e->at.len ? layer_by_name(k, k->e->at.layer) : NULL;
	shaped = k->l && !k->l->state && !cause_shape(k->l, k->e->at.off, k->e->at.len, &sh);
	if (k->l && one_bit(k))
		goto out;
	if (k->hint && (cut_off(k) || (k->hint->orphan && pointer(k))))
		goto out;
	if (k->hint && k->hint->ciphertext && shaped) {
		overwritten(k, &sh);
		goto out;
	}
	if (k->l && !k->l->state && by_other(k))
		goto out;
	if (k->l && one_bit_of_pe(k))
		goto out;
	if (shaped && by_shape(k, &sh))
		goto out;
	if (k->hint && k->hint->text) {
		c.kind = k->hint->kind;
		c.side = k->hint->side;
		c.sure = k->hint->sure;
		add(k, c, "%s", k->hint->text);
	}
out:
	layer_free(k->file);
	k->file = NULL;
}

static int by_file(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	int r = strcmp(x->layer, y->layer);

	return r ? r : x->off < y->off ? -1 : x->off > y->off;
}

/* Where most of them lie together. What is in one sector is one damage. */
static void gather(struct causes *c)
{
	struct place *p = calloc(c->n ? c->n : 1, sizeof(*p));
	size_t n = 0, all = 0;

	for (size_t i = 0; p && i < c->n; i++)
		if (c->v[i].stored.len || c->v[i].image.len)
			p[all++] = c->v[i].stored.len ? c->v[i].stored : c->v[i].image;
	if (all)
		qsort(p, all, sizeof(*p), by_file);
	for (size_t i = 0; i < all; i++)
		if (!n || strcmp(p[n - 1].layer, p[i].layer) || p[i].off - p[n - 1].off >= SECTOR)
			p[n++] = p[i];
	for (size_t i = 0, k = 0; i < n; i++) {
		while (strcmp(p[k].layer, p[i].layer) || p[i].off - p[k].off > NEAR)
			k++;
		if (i - k + 1 >= MANY && i - k + 1 > c->together) {
			c->together = i - k + 1;
			c->near = (struct place){p[k].layer, p[k].off,
						 p[i].off + p[i].len - p[k].off};
		}
	}
	free(p);
	if (c->together)
		c->near.layer = strdup(c->near.layer);
	if (!c->near.layer)
		c->together = 0;
}

int causes_find(struct causes *c, struct run *r)
{
	uint64_t n = 0;

	*c = (struct causes){0};
	if (!r->s.count[DAMAGE] && !r->s.count[BLEMISH])
		return 0;
	for (size_t i = 0; i < r->found.n && c->n < CAUSES_MAX; i++) {
		const struct entry *e = &r->found.v[i], *p = i ? e - 1 : NULL;
		struct looking k = {.c = c, .r = r, .e = e};

		n = p && p->id == e->id && p->layer == e->layer ? n + 1 : 0;
		if (session_stopped(&r->s))
			return -EINTR;
		if (causes_looks_at(e->id) && n < OF_ONE_KIND)
			look(&k);
	}
	gather(c);
	return causes_near(c, r);
}

void causes_free(struct causes *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free((char *)(uintptr_t)c->v[i].at.layer);
		free((char *)(uintptr_t)c->v[i].stored.layer);
		free(c->v[i].path);
		free(c->v[i].beside);
		free(c->v[i].text);
	}
	free(c->v);
	free((char *)(uintptr_t)c->near.layer);
	*c = (struct causes){0};
}
