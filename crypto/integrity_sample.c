/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which hash made the tags of a dm-integrity device: the superblock does not say, so the one is
 * taken that fits the tags of blocks here and there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/integrity.h"
#include "crypto/keys.h"
#include "crypto/unit.h"
#include "vdiskck/core/session.h"

enum {
	SECTOR = 512,
	SAMPLES = 24,
	LOOK = 64, /* places of the volume to take them from */
	TAGS_LOOK = 4096,
	PROOF = 4, /* bytes of tags that must fit: less comes by chance */
};

struct sample {
	uint64_t sector;
	uint8_t tag[INTEGRITY_TAG_MAX];
	uint8_t data[UNIT_MAX];
};

bool integrity_all_byte(const uint8_t *p, size_t len, uint8_t value)
{
	while (len && *p == value)
		p++, len--;
	return !len;
}

/* A tag that nobody computed: of a block never written, or discarded. */
static bool tag_blank(const struct integrity_dev *d, const uint8_t *tag)
{
	return integrity_all_byte(tag, d->tag_size, 0) ||
	       integrity_all_byte(tag, d->tag_size, INTEGRITY_DISCARDED);
}

/* Take the first block behind @off whose tag says something. 1: done, 0: none near, or -errno */
static int sample_take(struct integrity_dev *d, uint64_t off, struct sample *s)
{
	uint64_t end, left = integrity_dev_together(d, off), at = integrity_dev_tag_at(d, off);
	size_t n = TAGS_LOOK / d->tag_size;
	uint8_t tags[TAGS_LOOK];
	struct ranges bad = {0};
	int r;

	if (n > left / d->block)
		n = (size_t)(left / d->block);
	r = layer_read(d->below, at, tags, n * d->tag_size, &bad);
	ranges_sort(&bad);
	if (bad.n) /* those in front of what is lost will do */
		n = (size_t)((bad.v[0].off - at) / d->tag_size);
	ranges_free(&bad);
	for (size_t i = 0; !r && i < n; i++, off += d->block) {
		const uint8_t *tag = tags + i * d->tag_size;

		if (tag_blank(d, tag) || integrity_dev_journaled(d, off) ||
		    integrity_dev_stale(d, off, &end))
			continue;
		s->sector = off / SECTOR;
		memcpy(s->tag, tag, d->tag_size);
		r = integrity_dev_read(d, off, s->data, d->block, NULL, NULL, &bad);
		ranges_free(&bad);
		return r ? r : 1;
	}
	ranges_free(&bad);
	return r;
}

static int samples_take(struct integrity_dev *d, struct sample *s, size_t *n)
{
	uint64_t blocks = d->size / d->block, before = UINT64_MAX;
	int r = 0;

	for (uint64_t i = 0; r >= 0 && i < LOOK && *n < SAMPLES; i++) {
		uint64_t off = blocks * i / LOOK * d->block;

		if (off == before)
			continue;
		before = off;
		r = sample_take(d, off, &s[*n]);
		if (r == 1)
			++*n;
	}
	return r < 0 ? r : 0;
}

/* How many of the samples have the tag that @h makes? */
static int samples_fit(const struct integrity_dev *d, struct integrity_hash *h,
		       const struct sample *s, size_t n, size_t *fit)
{
	uint8_t tag[INTEGRITY_TAG_MAX];
	int r = 0;

	*fit = 0;
	for (size_t i = 0; !r && i < n; i++) {
		r = integrity_hash_tag(h, s[i].sector, s[i].data, d->block, tag, d->tag_size);
		*fit += !r && !memcmp(tag, s[i].tag, d->tag_size);
	}
	return r;
}

/* Try all hashes with @key (or those that need none); the best so far is in g->hash. */
static int hashes_try(struct integrity *g, const struct key *key, const struct sample *s, size_t n,
		      size_t *best)
{
	const struct integrity_dev *d = &g->d;
	const uint8_t *salt = d->flags & INTEGRITY_FIXED_HMAC ? d->salt : NULL;
	int r = 0;

	for (unsigned i = 0; !r && *best < n; i++) {
		struct integrity_hash *h;
		size_t fit, len;

		r = integrity_hash_open(&h, i, key ? key->data : NULL, key ? key->len : 0, salt);
		if (r)
			break;
		len = integrity_hash_len(h);
		r = samples_fit(d, h, s, n, &fit);
		if (!r && fit > *best && fit * (len < d->tag_size ? len : d->tag_size) >= PROOF) {
			integrity_hash_close(g->hash);
			g->hash = h;
			g->key = key ? key->number : 0;
			*best = fit;
			h = NULL;
		}
		integrity_hash_close(h);
	}
	return r == -ENOENT ? 0 : r;
}

static void hash_unknown(struct layer *l, size_t samples, unsigned keys)
{
	struct integrity_dev *d = &((struct integrity *)l->priv)->d;
	struct fact f = {.in = d->below, .at = d->start + d->initial, .at_len = d->run};

	if (!samples)
		finding_fact(l, INTEGRITY_KEY, &f,
			     "tags are not verified: no block was found whose tag says which hash "
			     "made it");
	else if (keys)
		finding_fact(l, INTEGRITY_KEY, &f,
			     "tags are not verified: no hash without a key made them, and none of "
			     "%u keys fits",
			     keys);
	else
		finding_fact(l, INTEGRITY_KEY, &f,
			     "tags are not verified: no hash without a key made them; a key is "
			     "needed (volume-key or keyfile)");
}

int integrity_hash_decide(struct layer *l)
{
	struct integrity *g = l->priv;
	struct sample *s = calloc(SAMPLES, sizeof(*s));
	const struct key *k = NULL;
	size_t n = 0, best = 0;
	unsigned keys = 0;
	int r = s ? samples_take(&g->d, s, &n) : -ENOMEM;

	if (!r)
		r = hashes_try(g, NULL, s, n, &best);
	while (!r && best < n &&
	       (k = keys_next(l->s->keys, k, KEY_KEYFILE | KEY_VOLUME_KEY, NULL, NULL))) {
		keys++;
		r = hashes_try(g, k, s, n, &best);
	}
	if (!r && !g->hash)
		hash_unknown(l, n, keys);
	free(s);
	return r;
}
