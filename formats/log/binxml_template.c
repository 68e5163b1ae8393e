/* SPDX-License-Identifier: Apache-2.0 */
/* Template instances, definitions, and the pool that all logs of a run share. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "formats/log/binxml_parts.h"
#include "vdiskck/core/endian.h"

enum {
	TOKEN_TEMPLATE = 0x0c,
	TOKEN_FRAGMENT = 0x0f,
	BUCKETS = 1024,
};

/* libevtx "Template definition"; the fragment follows */
struct definition {
	le32_t next; /* in its bucket of the chunk's hash table */
	uint8_t guid[16];
	le32_t len; /* of the fragment */
};
_Static_assert(sizeof(struct definition) == 24, "libevtx, Template definition");

/* "Template instance", behind its token; the definition follows if it is new in the chunk */
struct instance {
	uint8_t version;
	uint8_t id[4]; /* the first four bytes of the definition's GUID */
	le32_t off;    /* of the definition in the chunk */
};

struct descriptor {
	le16_t len;
	uint8_t type;
	uint8_t unused;
};

struct bx_pool {
	pthread_mutex_t lock;
	struct bx_template *bucket[BUCKETS];
	size_t bytes;
};

static void template_free(struct bx_template *t)
{
	if (!t)
		return;
	bx_program_free(t->json);
	free(t->node);
	free((void *)t->canon);
	free(t);
}

struct bx_pool *bx_pool_new(void)
{
	struct bx_pool *pool = calloc(1, sizeof(*pool));

	if (pool)
		pthread_mutex_init(&pool->lock, NULL);
	return pool;
}

static void free_chain(struct bx_template *t)
{
	while (t) {
		struct bx_template *next = t->next;

		template_free(t);
		t = next;
	}
}

void bx_pool_free(struct bx_pool *pool)
{
	if (!pool)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		free_chain(pool->bucket[i]);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

struct bx *bx_new(struct bx_pool *pool)
{
	struct bx *x = calloc(1, sizeof(*x));

	if (x)
		x->pool = pool;
	/* An empty fragment is a place with no bytes, not no place. */
	if (x && !buf_room(&x->canon, 1)) {
		free(x);
		x = NULL;
	}
	return x;
}

void bx_free(struct bx *x)
{
	if (!x)
		return;
	free_chain(x->own);
	buf_free(&x->canon);
	buf_free(&x->names);
	buf_free(&x->inserts);
	free(x->stack);
	free(x);
}

void bx_chunk(struct bx *x, const struct bx_chunk *c)
{
	x->c = *c;
	memset(x->slot, 0, sizeof(x->slot));
	free_chain(x->own);
	x->own = NULL;
	x->own_bytes = 0;
	x->chunk_out = 0;
}

static struct bx_template *template_new(const uint8_t guid[16], const struct buf *canon)
{
	struct bx_template *t = calloc(1, sizeof(*t));
	uint8_t *bytes = malloc(canon->len + 1);

	if (!t || !bytes) {
		free(bytes);
		free(t);
		return NULL;
	}
	memcpy(bytes, canon->p, canon->len);
	memcpy(t->guid, guid, sizeof(t->guid));
	t->canon = bytes;
	t->canon_len = canon->len;
	if (!bx_tree(t))
		t->json = bx_compile(t);
	if (!t->json) {
		template_free(t);
		return NULL;
	}
	t->bytes =
		sizeof(*t) + t->canon_len + t->nodes * sizeof(*t->node) + bx_program_bytes(t->json);
	return t;
}

static struct bx_template **bucket_of(struct bx_pool *pool, const uint8_t id[4])
{
	le32_t v;

	memcpy(&v, id, sizeof(v));
	return &pool->bucket[le32(v) % BUCKETS];
}

static bool same(const struct bx_template *t, const uint8_t guid[16], const struct buf *canon)
{
	return !memcmp(t->guid, guid, 16) && t->canon_len == canon->len &&
	       !memcmp(t->canon, canon->p, canon->len);
}

/* With the pool's lock held. */
static struct bx_template *pool_find(struct bx_pool *pool, const uint8_t guid[16],
				     const struct buf *canon)
{
	struct bx_template *t = *bucket_of(pool, guid);

	while (t && !same(t, guid, canon))
		t = t->next;
	return t;
}

/* A template that is not for the pool: it goes with the chunk. */
static struct bx_template *keep_own(struct bx *x, struct bx_template *t)
{
	if (x->own_bytes + t->bytes > BX_PRIVATE) {
		template_free(t);
		return NULL;
	}
	x->own_bytes += t->bytes;
	t->next = x->own;
	x->own = t;
	return t;
}

/* The compiled form of x->canon. Only what a checksum vouches for is given to other chunks. */
static const struct bx_template *intern(struct bx *x, const uint8_t guid[16])
{
	struct bx_pool *pool = x->pool;
	struct bx_template *t, *other, **bucket;

	pthread_mutex_lock(&pool->lock);
	t = pool_find(pool, guid, &x->canon);
	pthread_mutex_unlock(&pool->lock);
	if (t)
		return t;
	t = template_new(guid, &x->canon);
	if (!t || !x->c.sound)
		return t ? keep_own(x, t) : NULL;
	pthread_mutex_lock(&pool->lock);
	other = pool_find(pool, guid, &x->canon);
	bucket = bucket_of(pool, guid);
	if (!other && pool->bytes + t->bytes <= BX_POOL) {
		t->next = *bucket;
		*bucket = t;
		pool->bytes += t->bytes;
		pthread_mutex_unlock(&pool->lock);
		return t;
	}
	pthread_mutex_unlock(&pool->lock);
	if (!other)
		return keep_own(x, t);
	template_free(t);
	return other;
}

/*
 * A template of sound chunks by the four bytes of its GUID that an instance has, or by all of it; NULL
 * if there is none, or several that don't say the same.
 */
static const struct bx_template *by_name(struct bx *x, const uint8_t *id, size_t len)
{
	struct bx_template *t, *found = NULL;

	pthread_mutex_lock(&x->pool->lock);
	for (t = *bucket_of(x->pool, id); t; t = t->next) {
		if (memcmp(t->guid, id, len))
			continue;
		if (found)
			break;
		found = t;
	}
	pthread_mutex_unlock(&x->pool->lock);
	return t ? NULL : found;
}

/* The definition at @off of the chunk, if it is the one that an instance of @id means. */
static const struct bx_template *defined_here(struct bx *x, uint32_t off, const uint8_t id[4])
{
	struct span s = {x->c.p, x->c.len, 0};
	const struct definition *d = span_at(s, off, sizeof(*d));
	const struct bx_template *t, *sound;
	size_t end;

	if (!d || memcmp(d->guid, id, 4) || !span_at(s, off + sizeof(*d), le32(d->len)))
		return NULL;
	x->canon.len = 0;
	if (bx_canon(&x->c, off + sizeof(*d), le32(d->len), true, &x->canon, &end))
		return NULL;
	t = intern(x, d->guid);
	/* Where no checksum vouches for this definition, one that has a witness goes before it. */
	sound = x->c.sound ? NULL : by_name(x, d->guid, sizeof(d->guid));
	if (sound && sound != t) {
		x->failed |= LOG_FOREIGN;
		t = sound;
	}
	return t;
}

uint32_t bx_learn(struct bx *x, uint32_t off)
{
	const struct definition *d = span_at((struct span){x->c.p, x->c.len, 0}, off, sizeof(*d));

	if (!d)
		return 0;
	defined_here(x, off, d->guid);
	return le32(d->next);
}

static const struct bx_template *lookup(struct bx *x, uint32_t off, const uint8_t id[4])
{
	size_t slot = (off * 2654435761u) >> 24;
	const struct bx_template *t = x->slot[slot].t;

	if (t && x->slot[slot].off == off && !memcmp(t->guid, id, 4))
		return t;
	t = defined_here(x, off, id);
	if (!t) {
		t = by_name(x, id, 4);
		x->failed |= t ? LOG_FOREIGN : LOG_CONTENT;
		return t;
	}
	x->slot[slot].off = off;
	x->slot[slot].t = t;
	return t;
}

static bool push(struct bx *x, uint32_t n)
{
	size_t need = x->stack_n + n, cap = x->stack_cap ? x->stack_cap : 256;
	struct bx_value *v;

	if (need <= x->stack_cap)
		return true;
	while (cap < need)
		cap *= 2;
	v = realloc(x->stack, cap * sizeof(*v));
	if (!v)
		return false;
	x->stack = v;
	x->stack_cap = cap;
	return true;
}

/* Descriptors, then the values that they describe. */
static bool take_values(struct bx *x, struct span s, struct bx_instance *in)
{
	const le32_t *count = span_at(s, 0, sizeof(*count));
	const struct descriptor *d;
	uint32_t n = count ? le32(*count) : 0;
	size_t at;

	d = count ? span_at(s, sizeof(*count), (uint64_t)n * sizeof(*d)) : NULL;
	if (!d || !push(x, n))
		return false;
	in->n = n;
	at = sizeof(*count) + in->n * sizeof(*d);
	for (uint32_t i = 0; i < in->n; i++) {
		struct bx_value *v = &x->stack[x->stack_n + i];

		*v = (struct bx_value){span_at(s, at, le16(d[i].len)), le16(d[i].len), d[i].type};
		if (!v->p) {
			/* Cut off: what was there so far is known. */
			*v = (struct bx_value){NULL, 0, BX_NULL};
			x->failed |= LOG_CONTENT;
		}
		at += v->len;
	}
	in->mark = x->stack_n;
	x->stack_n += in->n;
	return true;
}

static bool open_instance(struct bx *x, size_t off, size_t len, struct bx_instance *in)
{
	struct span s = {x->c.p + off, len, off};
	const struct instance *i = span_at(s, 1, sizeof(*i));
	const struct definition *d;
	size_t at = 1 + sizeof(*i);

	if (!i)
		return false;
	memcpy(in->id, i->id, sizeof(in->id));
	in->t = lookup(x, le32(i->off), i->id);
	if (le32(i->off) == off + at) {
		d = span_at(s, at, sizeof(*d));
		if (!d || !span_at(s, at + sizeof(*d), le32(d->len)))
			return false;
		at += sizeof(*d) + le32(d->len);
	}
	return take_values(x, span_from(s, at), in);
}

bool bx_open(struct bx *x, size_t off, size_t len, bool in_value, struct bx_instance *in)
{
	static const uint8_t none[16];
	const uint8_t *p = x->c.p + off;
	size_t end;

	*in = (struct bx_instance){.mark = x->stack_n};
	if (len >= 4 && p[0] == TOKEN_FRAGMENT) {
		p += 4;
		off += 4;
		len -= 4;
	}
	if (len && p[0] == TOKEN_TEMPLATE)
		return open_instance(x, off, len, in);
	x->canon.len = 0;
	if (!bx_canon(&x->c, off, len, !in_value, &x->canon, &end)) {
		struct bx_template *t = template_new(none, &x->canon);

		in->t = t ? keep_own(x, t) : NULL;
	}
	return in->t != NULL;
}

void bx_close(struct bx *x, struct bx_instance *in)
{
	x->stack_n = in->mark;
}
