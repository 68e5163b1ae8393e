/* SPDX-License-Identifier: Apache-2.0 */
/* The passwords that may open a TrueCrypt or VeraCrypt header: passphrases, key files, both. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/keys.h"
#include "crypto/tcrypt.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/sum.h"
#include "vdiskck/core/text.h"

enum {
	POOL = 64,	   /* bytes of a password, and of the pool that key files are mixed into */
	PIM_MAX = 2147468, /* VeraCrypt's: 15000 + 1000 * PIM iterations fit in 31 bits */
};

/* Every byte of a key file steps a CRC whose four bytes are added to the pool. */
static void mix_keyfile(const struct key *k, uint8_t *pool, size_t size)
{
	uint32_t crc = 0;
	size_t at = 0;

	for (size_t i = 0; i < k->len; i++) {
		uint32_t state;

		crc = sum_crc32(crc, k->data + i, 1);
		state = ~crc;
		for (int shift = 24; shift >= 0; shift -= 8)
			pool[at++] += (uint8_t)(state >> shift);
		at %= size;
	}
}

static int add_candidate(struct layer *l, struct tcrypt_candidates *c, const struct key *pass,
			 bool keyfiles)
{
	struct tcrypt_candidate *v = realloc(c->v, (c->n + 1) * sizeof(*v)), *one;
	const struct key *k = NULL;

	if (!v)
		return -ENOMEM;
	c->v = v;
	one = &v[c->n];
	*one = (struct tcrypt_candidate){.key = pass ? pass->number : 0, .keyfiles = keyfiles};
	one->text = prim_secret(TCRYPT_POOL);
	if (!one->text)
		return -ENOMEM;
	c->n++;
	one->is_long = pass && pass->len > POOL;
	one->len = keyfiles ? one->is_long ? TCRYPT_POOL : POOL : pass->len;
	while (keyfiles && (k = keys_next(l->s->keys, k, KEY_KEYFILE, NULL, NULL)))
		mix_keyfile(k, one->text, one->len);
	for (size_t i = 0; pass && i < pass->len; i++)
		one->text[i] += pass->data[i];
	return 0;
}

static int add_pim(struct layer *l, struct tcrypt_candidates *c, const struct key *k)
{
	uint32_t *v = realloc(c->pim, (c->n_pim + 1) * sizeof(*v));
	uint64_t pim = 0;

	if (!v)
		return -ENOMEM;
	c->pim = v;
	if (k && (number_parse((const char *)k->data, &pim, NULL) || pim > PIM_MAX)) {
		layer_err(l, 0, "key %u: a PIM is a number up to %d", k->number, PIM_MAX);
		return 0;
	}
	v[c->n_pim++] = (uint32_t)pim;
	return 0;
}

void tcrypt_candidates_free(struct tcrypt_candidates *c)
{
	for (size_t i = 0; i < c->n; i++)
		prim_secret_free(c->v[i].text);
	free(c->v);
	free(c->pim);
}

/* In the order of the key file; with key files mixed in, then alone: they may be for others. */
int tcrypt_candidates_make(struct layer *l, struct tcrypt_candidates *c)
{
	const struct keyring *ring = l->s->keys;
	bool keyfiles = keys_next(ring, NULL, KEY_KEYFILE, NULL, NULL);
	const struct key *k = NULL;
	int r = 0;

	while (!r && (k = keys_next(ring, k, KEY_PASSPHRASE, NULL, NULL))) {
		if (k->len > TCRYPT_POOL || !k->len)
			continue;
		if (keyfiles)
			r = add_candidate(l, c, k, true);
		if (!r)
			r = add_candidate(l, c, k, false);
	}
	if (!r && keyfiles)
		r = add_candidate(l, c, NULL, true);
	while (!r && (k = keys_next(ring, k, KEY_PIM, NULL, NULL)))
		r = add_pim(l, c, k);
	if (!r && !c->n_pim)
		r = add_pim(l, c, NULL);
	return r;
}
