/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ciphers of TrueCrypt and VeraCrypt: cascades in XTS; before TrueCrypt 5 in LRW, before 4.1 in
 * CBC with whitening.
 */
#include <errno.h>
#include <string.h>

#include "crypto/kuznyechik.h"
#include "crypto/tcrypt.h"
#include "vdiskck/core/sum.h"

enum { UNIT = 512, SPARE = 32 }; /* key material for tweak, IV and whitening */

#define ALL_MODES(name, ...)                                                                       \
	{name, TCRYPT_XTS, false, {__VA_ARGS__}}, {name, TCRYPT_LRW, false, {__VA_ARGS__}},        \
	{                                                                                          \
		name, TCRYPT_CBC, false,                                                           \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}

const struct tcrypt_alg tcrypt_algs[] = {
	ALL_MODES("aes", "aes"),
	ALL_MODES("serpent", "serpent"),
	ALL_MODES("twofish", "twofish"),
	ALL_MODES("aes-twofish", "twofish", "aes"),
	ALL_MODES("aes-twofish-serpent", "serpent", "twofish", "aes"),
	ALL_MODES("serpent-aes", "aes", "serpent"),
	ALL_MODES("serpent-twofish-aes", "aes", "twofish", "serpent"),
	ALL_MODES("twofish-serpent", "serpent", "twofish"),
	{"camellia", TCRYPT_XTS, false, {"camellia"}},
	{"camellia-serpent", TCRYPT_XTS, false, {"serpent", "camellia"}},
	{"kuznyechik", TCRYPT_XTS, false, {"kuznyechik"}},
	{"camellia-kuznyechik", TCRYPT_XTS, false, {"kuznyechik", "camellia"}},
	{"kuznyechik-twofish", TCRYPT_XTS, false, {"twofish", "kuznyechik"}},
	{"kuznyechik-aes", TCRYPT_XTS, false, {"aes", "kuznyechik"}},
	{"kuznyechik-serpent-camellia", TCRYPT_XTS, false, {"camellia", "serpent", "kuznyechik"}},
	{"cast5", TCRYPT_CBC, false, {"cast5"}},
	{"des3", TCRYPT_CBC, false, {"des3"}},
	{"blowfish", TCRYPT_CBC, false, {"blowfish"}},
	{"aes-blowfish", TCRYPT_CBC, true, {"blowfish", "aes"}},
	{"aes-blowfish-serpent", TCRYPT_CBC, true, {"serpent", "blowfish", "aes"}},
};
const size_t tcrypt_n_algs = sizeof(tcrypt_algs) / sizeof(*tcrypt_algs);

const char *tcrypt_mode_name(enum tcrypt_mode mode)
{
	return mode == TCRYPT_XTS ? "xts" : mode == TCRYPT_LRW ? "lrw" : "cbc";
}

unsigned tcrypt_alg_parts(const struct tcrypt_alg *a)
{
	unsigned n = 1;

	while (n < TCRYPT_PARTS && a->part[n])
		n++;
	return n;
}

static size_t key_len(const char *cipher)
{
	return !strcmp(cipher, "cast5")	     ? 16
	       : !strcmp(cipher, "des3")     ? 24
	       : !strcmp(cipher, "blowfish") ? 56
					     : 32;
}

size_t tcrypt_alg_need(const struct tcrypt_alg *a)
{
	size_t need = SPARE;

	if (a->mode == TCRYPT_XTS)
		return 64 * tcrypt_alg_parts(a);
	for (unsigned i = 0; i < tcrypt_alg_parts(a); i++)
		need += key_len(a->part[i]);
	return need;
}

struct num128 {
	uint64_t hi, lo;
};

struct tcrypt_cipher {
	const struct tcrypt_alg *alg;
	unsigned n;
	struct prim_cipher *part[TCRYPT_PARTS]; /* NULL: Kuznyechik */
	struct kuznyechik data[TCRYPT_PARTS], tweak[TCRYPT_PARTS];
	bool swap[TCRYPT_PARTS]; /* Blowfish: TrueCrypt's words are little-endian */
	uint8_t spare[SPARE];
	/* LRW: the tweak key times x^j, and the sums of the first j + 1 of these. */
	struct num128 power[64], sum[64];
};

static struct num128 add(struct num128 a, struct num128 b)
{
	return (struct num128){a.hi ^ b.hi, a.lo ^ b.lo};
}

/* Times x in GF(2^128), x^128 = x^7 + x^2 + x + 1, the last bit being x^0 (IEEE P1619 draft 4). */
static struct num128 twice(struct num128 a)
{
	return (struct num128){a.hi << 1 | a.lo >> 63, a.lo << 1 ^ (a.hi >> 63 ? 0x87 : 0)};
}

static struct num128 load(const uint8_t *p)
{
	be64_t v[2];

	memcpy(v, p, sizeof(v));
	return (struct num128){be64(v[0]), be64(v[1])};
}

static void lrw_init(struct tcrypt_cipher *c)
{
	c->power[0] = c->sum[0] = load(c->spare);
	for (int j = 1; j < 64; j++) {
		c->power[j] = twice(c->power[j - 1]);
		c->sum[j] = add(c->sum[j - 1], c->power[j]);
	}
}

int tcrypt_cipher_open(struct tcrypt_cipher **out, const struct tcrypt_alg *a, const uint8_t *key)
{
	struct tcrypt_cipher *c = prim_secret(sizeof(*c));
	uint8_t *pair = prim_secret(64);
	const uint8_t *k = key + SPARE;
	int r = c && pair ? 0 : -ENOMEM;

	*out = NULL;
	if (r)
		goto out;
	c->alg = a;
	c->n = tcrypt_alg_parts(a);
	memcpy(c->spare, key, SPARE);
	for (unsigned i = 0; !r && i < c->n; i++) {
		c->swap[i] = !strcmp(a->part[i], "blowfish");
		if (a->mode == TCRYPT_XTS) {
			memcpy(pair, key + 32 * i, 32);
			memcpy(pair + 32, key + 32 * (c->n + i), 32);
			if (!strcmp(a->part[i], "kuznyechik")) {
				kuznyechik_key(&c->data[i], pair);
				kuznyechik_key(&c->tweak[i], pair + 32);
				continue;
			}
			r = prim_cipher_open(&c->part[i], a->part[i], PRIM_XTS, pair, 64);
		} else {
			r = prim_cipher_open(&c->part[i], a->part[i], PRIM_ECB, k,
					     key_len(a->part[i]));
			k += key_len(a->part[i]);
		}
	}
	if (a->mode == TCRYPT_LRW)
		lrw_init(c);
out:
	prim_secret_free(pair);
	if (r)
		tcrypt_cipher_close(c);
	else
		*out = c;
	return r;
}

void tcrypt_cipher_close(struct tcrypt_cipher *c)
{
	if (!c)
		return;
	for (int i = 0; i < TCRYPT_PARTS; i++)
		prim_cipher_close(c->part[i]);
	prim_secret_free(c);
}

/* --- one data unit, or a header --- */

static void swap_words(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i += 4) {
		uint32_t w;

		memcpy(&w, p + i, 4);
		w = __builtin_bswap32(w);
		memcpy(p + i, &w, 4);
	}
}

/* The bare block cipher @i on whole blocks. */
static void blocks(const struct tcrypt_cipher *c, struct prim_handle *const *h, unsigned i,
		   uint8_t *p, size_t len)
{
	if (c->swap[i])
		swap_words(p, len);
	prim_decrypt(h[i], p, len);
	if (c->swap[i])
		swap_words(p, len);
}

static void exclusive_or(uint8_t *p, const uint8_t *with, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] ^= with[i];
}

/* Of a cascade each cipher adds and takes off the same tweak: what is between two cancels. */
static void lrw_tweak(const struct tcrypt_cipher *c, uint64_t block, uint8_t *p, size_t len)
{
	struct num128 t = {0, 0};

	for (int j = 0; j < 64; j++)
		if (block >> j & 1)
			t = add(t, c->power[j]);
	for (size_t i = 0; i < len; i += 16) {
		be64_t v[2] = {to_be64(t.hi), to_be64(t.lo)};

		exclusive_or(p + i, (const uint8_t *)v, sizeof(v));
		if (++block)
			t = add(t, c->sum[__builtin_ctzll(block)]);
	}
}

static void lrw(const struct tcrypt_cipher *c, struct prim_handle *const *h, uint64_t block,
		uint8_t *p, size_t len)
{
	lrw_tweak(c, block, p, len);
	for (unsigned i = c->n; i-- > 0;)
		blocks(c, h, i, p, len);
	lrw_tweak(c, block, p, len);
}

/* Ciphers @from..@to - 1 in one chain of blocks of @size bytes, with 8 bytes of whitening. */
static void cbc(const struct tcrypt_cipher *c, struct prim_handle *const *h, unsigned from,
		unsigned to, const uint8_t *iv, const uint8_t *whitening, size_t size, uint8_t *p,
		size_t len)
{
	uint8_t stored[UNIT];

	for (size_t i = 0; i < len; i += 8)
		exclusive_or(p + i, whitening, 8);
	memcpy(stored, p, len);
	for (unsigned i = to; i-- > from;)
		blocks(c, h, i, p, len);
	exclusive_or(p, iv, size);
	exclusive_or(p + size, stored, len - size);
}

/*
 * IV and whitening of a data unit: the spare key material, with the unit's number in every 8
 * bytes; whitening is the CRC of its last 16 bytes, folded. The CRC is taken without inversions.
 */
static void cbc_unit(const struct tcrypt_cipher *c, size_t size, uint64_t unit, uint8_t iv[16],
		     uint8_t whitening[8])
{
	le64_t number = to_le64(unit);
	uint8_t all[SPARE];
	uint32_t crc[4];

	memcpy(all, c->spare, sizeof(all));
	for (size_t i = 0; i < sizeof(all); i += 8)
		exclusive_or(all + i, number.b, 8);
	memcpy(iv, all, size);
	for (size_t i = 0; i < 4; i++)
		crc[i] = ~sum_crc32(UINT32_MAX, all + size + 4 * i, 4);
	crc[0] ^= crc[3];
	crc[1] ^= crc[2];
	memcpy(whitening, crc, 8);
	prim_wipe(all, sizeof(all));
}

static void cbc_all(const struct tcrypt_cipher *c, struct prim_handle *const *h, bool header,
		    uint64_t unit, uint8_t *p, size_t len)
{
	unsigned to = c->n, from = c->alg->inner ? to - 1 : 0;

	for (;;) {
		size_t size = prim_cipher_block(c->part[from]);
		uint8_t iv[16], whitening[8];

		if (header) {
			memcpy(iv, c->spare, size);
			memcpy(whitening, c->spare + 8, 8);
		} else {
			cbc_unit(c, size, unit, iv, whitening);
		}
		cbc(c, h, from, to, iv, whitening, size, p, len);
		if (!from)
			break;
		to = from--;
	}
}

/* --- many --- */

static int begin(struct tcrypt_cipher *c, struct prim_handle **h)
{
	int r = 0;

	for (unsigned i = 0; i < c->n; i++) {
		h[i] = c->part[i] ? prim_begin(c->part[i]) : NULL;
		if (!h[i] && c->part[i])
			r = -ENOMEM;
	}
	return r;
}

static void end(struct tcrypt_cipher *c, struct prim_handle **h)
{
	for (unsigned i = 0; i < c->n; i++)
		if (c->part[i])
			prim_end(c->part[i], h[i]);
}

/* XTS (IEEE 1619): what prim.c has for the other ciphers. */
static void xts_kuznyechik(const struct tcrypt_cipher *c, unsigned i, uint64_t unit, uint8_t *p,
			   size_t len, size_t step)
{
	for (size_t at = 0; at < len; at += step, unit++) {
		le64_t tweak[2] = {to_le64(unit), to_le64(0)};

		kuznyechik_encrypt(&c->tweak[i], (uint8_t *)tweak);
		for (size_t b = at; b < at + step; b += PRIM_BLOCK) {
			uint64_t lo = le64(tweak[0]), hi = le64(tweak[1]);

			exclusive_or(p + b, (const uint8_t *)tweak, PRIM_BLOCK);
			kuznyechik_decrypt(&c->data[i], p + b);
			exclusive_or(p + b, (const uint8_t *)tweak, PRIM_BLOCK);
			tweak[0] = to_le64(lo << 1 ^ (hi >> 63 ? 0x87 : 0));
			tweak[1] = to_le64(hi << 1 | lo >> 63);
		}
	}
}

static void xts(struct tcrypt_cipher *c, struct prim_handle **h, uint64_t unit, uint8_t *p,
		size_t len, size_t step)
{
	le64_t number = to_le64(unit);
	uint8_t iv[PRIM_BLOCK] = {0};

	memcpy(iv, number.b, sizeof(number));
	for (unsigned i = c->n; i-- > 0;) {
		if (!c->part[i]) {
			xts_kuznyechik(c, i, unit, p, len, step);
			continue;
		}
		prim_iv(c->part[i], h[i], iv);
		for (size_t at = 0; at < len; at += step)
			prim_decrypt(h[i], p + at, step);
	}
}

int tcrypt_decrypt_header(struct tcrypt_cipher *c, uint8_t *body)
{
	struct prim_handle *h[TCRYPT_PARTS];
	int r = begin(c, h);

	if (!r && c->alg->mode == TCRYPT_XTS)
		xts(c, h, 0, body, TCRYPT_BODY, TCRYPT_BODY);
	else if (!r && c->alg->mode == TCRYPT_LRW)
		lrw(c, h, 1, body, TCRYPT_BODY);
	else if (!r)
		cbc_all(c, h, true, 0, body, TCRYPT_BODY);
	end(c, h);
	return r;
}

int tcrypt_decrypt(struct tcrypt_cipher *c, uint64_t unit, uint8_t *buf, size_t len)
{
	struct prim_handle *h[TCRYPT_PARTS];
	int r = begin(c, h);

	if (!r && c->alg->mode == TCRYPT_XTS)
		xts(c, h, unit, buf, len, UNIT);
	for (size_t at = 0; !r && c->alg->mode != TCRYPT_XTS && at < len; at += UNIT, unit++) {
		if (c->alg->mode == TCRYPT_LRW)
			lrw(c, h, unit * (UNIT / 16) + 1, buf + at, UNIT);
		else
			cbc_all(c, h, false, unit, buf + at, UNIT);
	}
	end(c, h);
	return r;
}
