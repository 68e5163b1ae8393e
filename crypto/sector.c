/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/sector.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/prim.h"
#include "vdiskck/core/endian.h"

enum iv_kind { IV_NONE, IV_PLAIN, IV_PLAIN64, IV_PLAIN64BE, IV_ESSIV, IV_BENBI, IV_NULL };
enum { BATCH = 64 }; /* sectors whose IVs are made together */

struct sector_cipher {
	struct prim_cipher *cipher; /* NULL: cipher_null */
	struct prim_cipher *essiv;
	enum iv_kind iv;
	bool xts;
	uint32_t sector, iv_unit;
	unsigned benbi_shift;
};

static int essiv_open(struct sector_cipher *c, const struct sector_spec *spec, const char *hash,
		      const void *key, size_t key_len)
{
	uint8_t salt[PRIM_HASH_MAX];
	int h = prim_hash_find(hash), r;

	if (h < 0)
		return -EOPNOTSUPP;
	/* The salt is the hash of the key; its length is the key size of the second cipher. */
	prim_hash((enum prim_hash)h, key, key_len, salt);
	r = prim_cipher_open(&c->essiv, spec->cipher, PRIM_ECB, salt,
			     prim_hash_len((enum prim_hash)h));
	prim_wipe(salt, sizeof(salt));
	return r;
}

static int iv_open(struct sector_cipher *c, const struct sector_spec *spec, const void *key,
		   size_t key_len)
{
	static const struct {
		const char *name;
		enum iv_kind kind;
	} names[] = {{"", IV_NONE},	      {"plain", IV_PLAIN},
		     {"plain64", IV_PLAIN64}, {"plain64be", IV_PLAIN64BE},
		     {"benbi", IV_BENBI},     {"null", IV_NULL}};

	if (!strncmp(spec->iv, "essiv:", 6)) {
		c->iv = IV_ESSIV;
		return essiv_open(c, spec, spec->iv + 6, key, key_len);
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(spec->iv, names[i].name)) {
			c->iv = names[i].kind;
			return 0;
		}
	return -EOPNOTSUPP;
}

int sector_open(struct sector_cipher **out, const struct sector_spec *spec, const void *key,
		size_t key_len)
{
	struct sector_cipher *c = calloc(1, sizeof(*c));
	enum prim_mode mode = PRIM_XTS;
	int r = -EOPNOTSUPP;

	*out = NULL;
	if (!c)
		return -ENOMEM;
	c->sector = spec->sector;
	c->iv_unit = spec->iv_unit;
	if (!c->sector || c->sector % 512 || c->sector & (c->sector - 1) || !c->iv_unit ||
	    c->sector % c->iv_unit)
		goto out;
	if (!strcmp(spec->cipher, "cipher_null") || !strcmp(spec->cipher, "null")) {
		r = 0;
		goto out;
	}
	if (!strcmp(spec->mode, "xts"))
		c->xts = true;
	else if (!strcmp(spec->mode, "cbc"))
		mode = PRIM_CBC;
	else if (!strcmp(spec->mode, "ecb"))
		mode = PRIM_ECB;
	else
		goto out;
	r = prim_cipher_open(&c->cipher, spec->cipher, mode, key, key_len);
	if (!r)
		r = iv_open(c, spec, key, key_len);
	if (!r && mode != PRIM_ECB && c->iv == IV_NONE)
		r = -EOPNOTSUPP; /* these modes need an IV */
	if (!r && mode == PRIM_ECB)
		c->iv = IV_NONE;
	if (!r) /* dm-crypt's benbi counts cipher blocks, the first one being 1 */
		c->benbi_shift = prim_cipher_block(c->cipher) == 8 ? 6 : 5;
out:
	if (r)
		sector_close(c);
	else
		*out = c;
	return r;
}

void sector_close(struct sector_cipher *c)
{
	if (!c)
		return;
	prim_cipher_close(c->cipher);
	prim_cipher_close(c->essiv);
	free(c);
}

static void iv_put(const struct sector_cipher *c, uint64_t n, uint8_t iv[PRIM_BLOCK])
{
	le64_t le = to_le64(n);
	be64_t be = to_be64(c->iv == IV_BENBI ? (n << c->benbi_shift) + 1 : n);

	memset(iv, 0, PRIM_BLOCK);
	switch (c->iv) {
	case IV_PLAIN: memcpy(iv, &le, 4); break;
	case IV_PLAIN64:
	case IV_ESSIV: memcpy(iv, &le, 8); break;
	case IV_PLAIN64BE:
	case IV_BENBI: memcpy(iv + PRIM_BLOCK - 8, &be, 8); break;
	case IV_NONE:
	case IV_NULL: break;
	}
}

static int run_essiv(struct sector_cipher *c, struct prim_handle *h, uint64_t n, uint64_t step,
		     uint8_t *p, size_t sectors,
		     void (*crypt)(struct prim_handle *, void *, size_t))
{
	struct prim_handle *e = prim_begin(c->essiv);
	uint8_t iv[BATCH][PRIM_BLOCK];

	if (!e)
		return -ENOMEM;
	while (sectors) {
		size_t k = sectors < BATCH ? sectors : BATCH;

		for (size_t i = 0; i < k; i++, n += step)
			iv_put(c, n, iv[i]);
		prim_encrypt(e, iv, k * PRIM_BLOCK);
		for (size_t i = 0; i < k; i++, p += c->sector) {
			prim_iv(c->cipher, h, iv[i]);
			crypt(h, p, c->sector);
		}
		sectors -= k;
	}
	prim_end(c->essiv, e);
	return 0;
}

static int run(struct sector_cipher *c, uint64_t off, void *buf, size_t len,
	       void (*crypt)(struct prim_handle *, void *, size_t))
{
	size_t sectors = len / c->sector;
	uint64_t n = off / c->iv_unit, step = c->sector / c->iv_unit;
	/* The library counts the tweak up by itself: as long as our count does the same. */
	bool counts = c->xts && c->iv == IV_PLAIN64 && step == 1;
	uint8_t *p = buf, iv[PRIM_BLOCK];
	struct prim_handle *h;
	int r = 0;

	if (off % c->sector || len % c->sector)
		return -EINVAL;
	if (!c->cipher)
		return 0;
	h = prim_begin(c->cipher);
	if (!h)
		return -ENOMEM;
	if (c->iv == IV_ESSIV) {
		r = run_essiv(c, h, n, step, p, sectors, crypt);
	} else {
		for (size_t i = 0; i < sectors; i++, n += step, p += c->sector) {
			if (c->iv != IV_NONE && (!counts || !i)) {
				iv_put(c, n, iv);
				prim_iv(c->cipher, h, iv);
			}
			crypt(h, p, c->sector);
		}
	}
	prim_end(c->cipher, h);
	return r;
}

int sector_decrypt(struct sector_cipher *c, uint64_t off, void *buf, size_t len)
{
	return run(c, off, buf, len, prim_decrypt);
}

int sector_encrypt(struct sector_cipher *c, uint64_t off, void *buf, size_t len)
{
	return run(c, off, buf, len, prim_encrypt);
}
