/* SPDX-License-Identifier: Apache-2.0 */
/* How BitLocker encrypts a sector. */
#include <errno.h>
#include <string.h>

#include "crypto/bitlocker.h"
#include "crypto/elephant.h"
#include "crypto/prim.h"

enum { BATCH = 32 }; /* sectors whose IVs and sector keys are made together */

static const struct method {
	const char *name;
	size_t key; /* of AES; both keys in XTS */
	size_t fvek;
	bool xts, elephant;
} methods[] = {
	[FVE_CBC128_ELEPHANT - 0x8000] = {"AES-CBC-128 with Elephant diffuser", 16, 64, false,
					  true},
	[FVE_CBC256_ELEPHANT - 0x8000] = {"AES-CBC-256 with Elephant diffuser", 32, 64, false,
					  true},
	[FVE_CBC128 - 0x8000] = {"AES-CBC-128", 16, 16, false, false},
	[FVE_CBC256 - 0x8000] = {"AES-CBC-256", 32, 32, false, false},
	[FVE_XTS128 - 0x8000] = {"AES-XTS-128", 32, 32, true, false},
	[FVE_XTS256 - 0x8000] = {"AES-XTS-256", 64, 64, true, false},
};

static const struct method *method_find(uint16_t method)
{
	return method >= 0x8000 && method - 0x8000u < sizeof(methods) / sizeof(*methods)
		       ? &methods[method - 0x8000]
		       : NULL;
}

size_t fve_fvek_len(uint16_t method)
{
	const struct method *m = method_find(method);

	return m ? m->fvek : 0;
}

const char *fve_method_name(uint16_t method)
{
	const struct method *m = method_find(method);

	return m ? m->name : method ? "unknown method" : "none";
}

void fve_cipher_close(struct bitlocker *b)
{
	prim_cipher_close(b->cipher);
	prim_cipher_close(b->iv);
	prim_cipher_close(b->tweak);
	b->cipher = b->iv = b->tweak = NULL;
}

int fve_cipher_open(struct bitlocker *b, const uint8_t *fvek, size_t len)
{
	const struct method *m = method_find(b->method);
	int r;

	if (!m)
		return -EOPNOTSUPP;
	/* Some writers pad: what counts is that there is enough. */
	if (len < m->fvek)
		return -EPROTO;
	r = prim_cipher_open(&b->cipher, "aes", m->xts ? PRIM_XTS : PRIM_CBC, fvek, m->key);
	if (!r && !m->xts)
		r = prim_cipher_open(&b->iv, "aes", PRIM_ECB, fvek, m->key);
	/* The second key stands in the second half of the 64 bytes, whatever its length. */
	if (!r && m->elephant)
		r = prim_cipher_open(&b->tweak, "aes", PRIM_ECB, fvek + 32, m->key);
	if (r)
		fve_cipher_close(b);
	return r;
}

/* XTS: the tweak is the sector's number. */
static int decrypt_xts(const struct bitlocker *b, uint64_t at, uint8_t *buf, size_t len)
{
	struct prim_handle *h = prim_begin(b->cipher);
	le64_t n = to_le64(at / b->sector);
	uint8_t iv[PRIM_BLOCK] = {0};

	if (!h)
		return -ENOMEM;
	memcpy(iv, &n, sizeof(n));
	prim_iv(b->cipher, h, iv); /* counts up by itself */
	for (; len; buf += b->sector, len -= b->sector)
		prim_decrypt(h, buf, b->sector);
	prim_end(b->cipher, h);
	return 0;
}

/* CBC: the IV is the sector's address in bytes, encrypted. */
static int decrypt_cbc(const struct bitlocker *b, uint64_t at, uint8_t *buf, size_t len)
{
	struct prim_handle *h = prim_begin(b->cipher), *e = prim_begin(b->iv);
	struct prim_handle *t = b->tweak ? prim_begin(b->tweak) : NULL;
	uint8_t iv[BATCH][PRIM_BLOCK], key[BATCH][2][PRIM_BLOCK];
	int r = h && e && (t || !b->tweak) ? 0 : -ENOMEM;

	while (!r && len) {
		size_t k = len / b->sector < BATCH ? len / b->sector : BATCH;

		memset(iv, 0, sizeof(iv));
		for (size_t i = 0; i < k; i++) {
			le64_t n = to_le64(at + i * b->sector);

			memcpy(iv[i], &n, sizeof(n));
			memcpy(key[i][0], iv[i], PRIM_BLOCK);
			memcpy(key[i][1], iv[i], PRIM_BLOCK);
			key[i][1][15] = 0x80;
		}
		prim_encrypt(e, iv, k * PRIM_BLOCK);
		if (t)
			prim_encrypt(t, key, k * sizeof(key[0]));
		for (size_t i = 0; i < k; i++) {
			prim_iv(b->cipher, h, iv[i]);
			prim_decrypt(h, buf + i * b->sector, b->sector);
		}
		if (t)
			elephant_undo_many(buf, b->sector, k, key[0][0]);
		buf += k * b->sector;
		len -= k * b->sector;
		at += k * b->sector;
	}
	if (t)
		prim_wipe(key, sizeof(key));
	prim_end(b->cipher, h);
	prim_end(b->iv, e);
	if (b->tweak)
		prim_end(b->tweak, t);
	return r;
}

int fve_decrypt(const struct bitlocker *b, uint64_t at, uint8_t *buf, size_t len)
{
	return b->iv ? decrypt_cbc(b, at, buf, len) : decrypt_xts(b, at, buf, len);
}
