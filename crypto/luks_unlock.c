/* SPDX-License-Identifier: Apache-2.0 */
/* From a passphrase to the volume keys. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/keys.h"
#include "crypto/luks.h"
#include "crypto/luks_aead.h"
#include "crypto/luks_kdf.h"
#include "crypto/unit.h"
#include "vdiskck/core/endian.h"
#include "vdiskck/core/session.h"

/* One hash over each digest-sized piece, numbered: the diffusion of the AF splitter. */
static void af_diffuse(uint8_t *block, size_t len, enum prim_hash h)
{
	size_t n = prim_hash_len(h);
	uint8_t out[PRIM_HASH_MAX];

	for (size_t i = 0, at = 0; at < len; i++, at += n) {
		be32_t number = to_be32((uint32_t)i);
		size_t k = len - at < n ? len - at : n;
		const struct prim_part part[] = {{&number, 4}, {block + at, k}};

		prim_hash_parts(h, part, 2, out);
		memcpy(block + at, out, k);
	}
	prim_wipe(out, sizeof(out));
}

/* Anti-forensic merge, LUKS1 2.4: @material holds @stripes blocks of @len bytes. */
static void af_merge(const uint8_t *material, size_t len, uint32_t stripes, enum prim_hash h,
		     uint8_t *key)
{
	memset(key, 0, len);
	for (uint32_t i = 0; i < stripes; i++) {
		for (size_t k = 0; k < len; k++)
			key[k] ^= material[i * len + k];
		if (i + 1 < stripes)
			af_diffuse(key, len, h);
	}
}

/* The key in @s as the passphrase @k would have it; only a digest tells whether it is right. */
static int slot_key(struct layer *l, const struct luks_slot *s, const struct key *k, uint8_t *key)
{
	const struct luks *u = l->priv;
	const struct sector_spec spec = {s->cipher.name, s->cipher.mode, s->cipher.iv, 512, 512};
	size_t len = s->key_len * s->stripes, padded = (len + 511) & ~(size_t)511;
	uint8_t *derived = prim_secret(s->area_key), *material = malloc(padded);
	struct sector_cipher *c = NULL;
	int r = derived && material ? 0 : -ENOMEM;

	if (!r)
		r = luks_kdf_derive(l->s, s, k->data, k->len, derived);
	if (!r)
		r = sector_open(&c, &spec, derived, s->area_key);
	if (!r)
		r = layer_read(u->meta, s->off, material, padded, NULL);
	if (!r)
		r = sector_decrypt(c, 0, material, padded);
	if (!r)
		af_merge(material, s->key_len, s->stripes, (enum prim_hash)s->af_hash, key);
	sector_close(c);
	if (material)
		prim_wipe(material, padded);
	free(material);
	prim_secret_free(derived);
	return r;
}

/* @key opens the digests of @mask that it fits. 1: one fitted, 0: none, -ENOMEM */
static int accept_key(struct layer *l, uint32_t mask, const uint8_t *key, size_t len)
{
	struct luks *u = l->priv;
	int fits = 0;

	for (size_t i = 0; i < u->n_digests; i++) {
		struct luks_digest *d = &u->digest[i];

		if (!(mask >> i & 1) || d->key || !luks_digest_fits(l->s, d, key, len))
			continue;
		d->key = prim_secret(len);
		if (!d->key)
			return -ENOMEM;
		memcpy(d->key, key, len);
		d->key_len = len;
		fits = 1;
	}
	return fits;
}

/* Digests that a segment needs and that no key has opened yet. */
static uint32_t digests_wanted(const struct luks *u)
{
	uint32_t mask = 0;

	for (size_t i = 0; i < u->n_segments; i++) {
		int d = u->segment[i].digest;

		if (u->segment[i].kind == LUKS_CRYPT && d >= 0 && !u->digest[d].key)
			mask |= 1u << d;
	}
	if (u->hot.segment >= 0 && u->hot.previous.kind == LUKS_CRYPT &&
	    u->hot.previous.digest >= 0 && !u->digest[u->hot.previous.digest].key)
		mask |= 1u << u->hot.previous.digest;
	return mask;
}

static int try_slots(struct layer *l, const struct key *k, bool *tried)
{
	struct luks *u = l->priv;
	uint8_t *key = prim_secret(LUKS_KEY_MAX);
	int r = key ? 0 : -ENOMEM;

	for (size_t i = 0; r >= 0 && i < u->n_slots; i++) {
		struct luks_slot *s = &u->slot[u->order[i]];

		if ((s->state != LUKS_SLOT_GOOD && s->state != LUKS_SLOT_OPENED &&
		     s->state != LUKS_SLOT_OVERWRITTEN) ||
		    !(s->digests & digests_wanted(u)))
			continue;
		session_progress(l->s, "trying a key on its keyslots", i, u->n_slots);
		if (session_stopped(l->s))
			r = -EINTR;
		if (!r)
			r = slot_key(l, s, k, key);
		if (r == -EOPNOTSUPP || r == -EINVAL) {
			s->state = LUKS_SLOT_UNKNOWN;
			r = 0;
			continue;
		}
		*tried = true;
		if (!r)
			r = accept_key(l, s->digests, key, s->key_len);
		if (r == 1) {
			s->state = LUKS_SLOT_OPENED;
			r = 0;
		}
	}
	prim_secret_free(key);
	return r;
}

static int open_segment(struct luks *u, struct luks_segment *g)
{
	const struct luks_digest *d = g->digest >= 0 ? &u->digest[g->digest] : NULL;
	struct sector_spec spec = {g->cipher.name, g->cipher.mode, g->cipher.iv, g->sector, 512};
	int r;

	if (g->kind != LUKS_CRYPT || g->c || !d || !d->key || (g->integrity[0] && !g->aead))
		return 0;
	r = g->aead ? luks_aead_key(g->aead, d->key, d->key_len)
		    : sector_open(&g->c, &spec, d->key, d->key_len);
	return r == -EOPNOTSUPP ? 0 : r; /* said at parsing; its bytes stay lost */
}

static int open_segments(struct luks *u)
{
	int r = 0;

	for (size_t i = 0; !r && i < u->n_segments; i++)
		r = open_segment(u, &u->segment[i]);
	if (!r && u->version == 2 && u->hot.segment >= 0)
		r = open_segment(u, &u->hot.previous);
	return r;
}

/* An encryption that was prepared only, a decryption that was about to end: nothing to unlock. */
static bool encrypts(const struct luks *u)
{
	for (size_t i = 0; i < u->n_segments; i++)
		if (u->segment[i].kind != LUKS_LINEAR)
			return true;
	return false;
}

/* Keys were given, and there is no keyslot that could take one: that is not the keys' fault. */
static void say_untried(struct layer *l)
{
	struct luks *u = l->priv;
	size_t unknown = 0;

	for (size_t i = 0; i < u->n_slots; i++)
		unknown += u->slot[i].state == LUKS_SLOT_UNKNOWN;
	if (u->untried_said || !unknown ||
	    !keys_next(l->s->keys, NULL, KEY_PASSPHRASE | KEY_KEYFILE, u->uuid, NULL))
		return;
	u->untried_said = true;
	finding_fact(l, LUKS_UNSUPPORTED,
		     &(struct fact){.in = u->meta, .at = u->base, .at_len = 4096},
		     "no passphrase could be tried: %zu keyslot%s of a kind that is not known",
		     unknown, unknown == 1 ? " is" : "s are");
}

int luks_unlock(struct layer *l)
{
	struct luks *u = l->priv;
	const struct key *k = NULL;
	bool tried = false;
	int r = 0;

	while (r >= 0 && digests_wanted(u) &&
	       (k = keys_next(l->s->keys, k, KEY_VOLUME_KEY, u->uuid, NULL))) {
		tried = true;
		r = accept_key(l, digests_wanted(u), k->data, k->len);
	}
	k = NULL;
	while (r >= 0 && digests_wanted(u) &&
	       (k = keys_next(l->s->keys, k, KEY_PASSPHRASE | KEY_KEYFILE, u->uuid, NULL)))
		r = try_slots(l, k, &tried);
	if (r >= 0)
		r = open_segments(u);
	if (r)
		return r;
	for (size_t i = 0; i < u->n_digests; i++)
		u->open |= u->digest[i].key != NULL;
	u->open |= !encrypts(u);
	if (!u->open && !tried)
		say_untried(l);
	/* With one key of two the part of the device that it opens can be read: that is open. */
	return u->open ? 0 : tried ? -EKEYREJECTED : -ENOKEY;
}

void luks_check_overlap(struct layer *l)
{
	struct luks *u = l->priv;

	for (size_t i = 0; i < u->n_slots; i++)
		for (size_t k = i + 1; k < u->n_slots; k++) {
			const struct luks_slot *a = &u->slot[i], *b = &u->slot[k];

			if (a->off < b->off + b->len && b->off < a->off + a->len &&
			    a->state == LUKS_SLOT_GOOD && b->state == LUKS_SLOT_GOOD)
				finding_fact(l, LUKS_KEYSLOT_OVERLAP,
					     &(struct fact){
						     .in = u->meta, .at = b->off, .at_len = b->len},
					     "key material of keyslots %u and %u overlaps", a->id,
					     b->id);
		}
}

int luks_check_slots(struct layer *l)
{
	struct luks *u = l->priv;
	uint8_t sector[512];
	int r = 0;

	for (size_t i = 0; !r && i < u->n_slots; i++) {
		struct luks_slot *s = &u->slot[i];
		uint64_t n = (s->key_len * (uint64_t)s->stripes) / 512, bad = 0, first = 0;

		if (s->state != LUKS_SLOT_GOOD)
			continue; /* what a key has opened is good, whatever it looks like */
		for (uint64_t k = 0; !r && k < n; k++) {
			r = layer_read(u->meta, s->off + 512 * k, sector, sizeof(sector), NULL);
			if (!r && unit_has_structure(sector, sizeof(sector)) && !bad++)
				first = k;
		}
		session_checked(l->s, 512 * n);
		if (!bad)
			continue;
		s->state = LUKS_SLOT_OVERWRITTEN;
		finding_fact(
			l, LUKS_KEYSLOT_OVERWRITTEN,
			&(struct fact){.in = u->meta,
				       .at = s->off + 512 * first,
				       .at_len = 512 * n - 512 * first},
			"keyslot %u: %" PRIu64 " of %" PRIu64
			" sectors of key material are no ciphertext: no passphrase opens it any "
			"more",
			s->id, bad, n);
	}
	return r;
}
