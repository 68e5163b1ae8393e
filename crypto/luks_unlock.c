/* SPDX-License-Identifier: Apache-2.0 */
/* From a passphrase to the volume keys. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/keys.h"
#include "crypto/luks.h"
#include "crypto/luks_aead.h"
#include "crypto/unit.h"
#include "vdiskck/core/endian.h"
#include "vdiskck/core/session.h"

/*
 * What a header may ask for: cryptsetup itself makes at most 4 GiB and about a million passes of
 * Argon2 per second of --iter-time; beyond this a header was made to hang whoever opens it.
 */
enum { PBKDF2_MAX = 200000000, ARGON2_MEMORY_MAX = 4 << 20 };
static const uint64_t argon2_work_max = 256ull << 20; /* KiB filled, in all passes */

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

static int derive(const struct luks_slot *s, const struct key *k, uint8_t *out)
{
	if (s->kdf == LUKS_PBKDF2) {
		if (!s->passes || s->passes > PBKDF2_MAX)
			return -EOPNOTSUPP;
		return prim_pbkdf2((enum prim_hash)s->kdf_hash, k->data, k->len, s->salt,
				   s->salt_len, s->passes, out, s->area_key);
	}
	if (!s->passes || !s->memory || s->memory > ARGON2_MEMORY_MAX ||
	    s->memory / 4 >
		    (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 4096 ||
	    s->passes > argon2_work_max / s->memory)
		return -EOPNOTSUPP;
	return prim_argon2(s->kdf == LUKS_ARGON2I ? PRIM_ARGON2I : PRIM_ARGON2ID, k->data, k->len,
			   s->salt, s->salt_len, (uint32_t)s->passes, s->memory, s->lanes, out,
			   s->area_key);
}

/* The key in @s as the passphrase @k would have it; only a digest tells whether it is right. */
static int slot_key(const struct luks *u, const struct luks_slot *s, const struct key *k,
		    uint8_t *key)
{
	const struct sector_spec spec = {s->cipher.name, s->cipher.mode, s->cipher.iv, 512, 512};
	size_t len = s->key_len * s->stripes, padded = (len + 511) & ~(size_t)511;
	uint8_t *derived = prim_secret(s->area_key), *material = malloc(padded);
	struct sector_cipher *c = NULL;
	int r = derived && material ? 0 : -ENOMEM;

	if (!r)
		r = derive(s, k, derived);
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

static bool digest_fits(const struct luks_digest *d, const uint8_t *key, size_t len)
{
	uint8_t out[PRIM_HASH_MAX];

	if (!d->passes || d->passes > PBKDF2_MAX)
		return false;
	return !prim_pbkdf2((enum prim_hash)d->hash, key, len, d->salt, d->salt_len, d->passes, out,
			    d->value_len) &&
	       prim_equal(out, d->value, d->value_len);
}

/* @key opens the digests of @mask that it fits. 1: one fitted, 0: none, -ENOMEM */
static int accept_key(struct luks *u, uint32_t mask, const uint8_t *key, size_t len)
{
	int fits = 0;

	for (size_t i = 0; i < u->n_digests; i++) {
		struct luks_digest *d = &u->digest[i];

		if (!(mask >> i & 1) || d->key || !digest_fits(d, key, len))
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
	return mask;
}

static int try_slots(struct layer *l, const struct key *k, bool *tried)
{
	struct luks *u = l->priv;
	uint8_t *key = prim_secret(LUKS_KEY_MAX);
	int r = key ? 0 : -ENOMEM;

	for (size_t i = 0; r >= 0 && i < u->n_slots; i++) {
		struct luks_slot *s = &u->slot[i];

		if (s->state == LUKS_SLOT_IMPOSSIBLE || s->state == LUKS_SLOT_UNKNOWN ||
		    !(s->digests & digests_wanted(u)))
			continue;
		if (session_stopped(l->s))
			r = -EINTR;
		if (!r)
			r = slot_key(u, s, k, key);
		if (r == -EOPNOTSUPP || r == -EINVAL) {
			s->state = LUKS_SLOT_UNKNOWN;
			r = 0;
			continue;
		}
		*tried = true;
		if (!r)
			r = accept_key(u, s->digests, key, s->key_len);
		if (r == 1) {
			s->state = LUKS_SLOT_OPENED;
			r = 0;
		}
	}
	prim_secret_free(key);
	return r;
}

static int open_segments(struct luks *u)
{
	int r = 0;

	for (size_t i = 0; !r && i < u->n_segments; i++) {
		struct luks_segment *g = &u->segment[i];
		const struct luks_digest *d = g->digest >= 0 ? &u->digest[g->digest] : NULL;
		struct sector_spec spec = {g->cipher.name, g->cipher.mode, g->cipher.iv, g->sector,
					   512};

		if (g->kind != LUKS_CRYPT || g->c || !d || !d->key || (g->integrity[0] && !g->aead))
			continue;
		if (g->aead) {
			r = luks_aead_key(g->aead, d->key, d->key_len);
			r = r == -EOPNOTSUPP ? 0 : r;
			continue;
		}
		r = sector_open(&g->c, &spec, d->key, d->key_len);
		if (r == -EOPNOTSUPP)
			r = 0; /* said at parsing; its bytes stay lost */
	}
	return r;
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
		r = accept_key(u, digests_wanted(u), k->data, k->len);
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
	/* With one key of two the part of the device that it opens can be read: that is open. */
	return u->open ? 0 : tried ? -EKEYREJECTED : -ENOKEY;
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
