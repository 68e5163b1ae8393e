/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/integrity_tag.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/prim.h"
#include "vdiskck/core/endian.h"
#include "vdiskck/core/sum.h"

enum kind { CRC32, CRC32C, XXHASH64, HASH, HMAC };

/* Names as in a dm table. Those that integritysetup is usually given come first. */
static const struct alg {
	const char *name;
	enum kind kind;
	enum prim_hash hash;
} algs[] = {
	{"crc32c", CRC32C, 0},
	{"crc32", CRC32, 0},
	{"xxhash64", XXHASH64, 0},
	{"sha256", HASH, PRIM_SHA256},
	{"sha1", HASH, PRIM_SHA1},
	{"sha512", HASH, PRIM_SHA512},
	{"sha384", HASH, PRIM_SHA384},
	{"sha224", HASH, PRIM_SHA224},
	{"md5", HASH, PRIM_MD5},
	{"rmd160", HASH, PRIM_RIPEMD160},
	{"wp512", HASH, PRIM_WHIRLPOOL},
	{"blake2b-512", HASH, PRIM_BLAKE2B512},
	{"blake2s-256", HASH, PRIM_BLAKE2S256},
	{"sha3-256", HASH, PRIM_SHA3_256},
	{"sha3-512", HASH, PRIM_SHA3_512},
	{"hmac(sha256)", HMAC, PRIM_SHA256},
	{"hmac(sha1)", HMAC, PRIM_SHA1},
	{"hmac(sha512)", HMAC, PRIM_SHA512},
	{"hmac(sha384)", HMAC, PRIM_SHA384},
	{"hmac(sha224)", HMAC, PRIM_SHA224},
	{"hmac(md5)", HMAC, PRIM_MD5},
	{"hmac(rmd160)", HMAC, PRIM_RIPEMD160},
};

struct integrity_hash {
	const struct alg *alg;
	struct prim_mac *mac; /* HMAC */
	uint8_t head[INTEGRITY_SALT + 8];
	size_t salt; /* bytes of it in @head: 0 or all */
};

int integrity_hash_open(struct integrity_hash **out, unsigned i, const void *key, size_t key_len,
			const uint8_t *salt)
{
	struct integrity_hash *h;

	*out = NULL;
	for (const struct alg *a = algs; a < algs + sizeof(algs) / sizeof(*algs); a++) {
		if ((a->kind == HMAC) != (key != NULL) || i--)
			continue;
		h = calloc(1, sizeof(*h));
		if (!h)
			return -ENOMEM;
		h->alg = a;
		if (salt)
			memcpy(h->head, salt, h->salt = INTEGRITY_SALT);
		if (key)
			h->mac = prim_mac_open(a->hash, key, key_len);
		if (key && !h->mac) {
			free(h);
			return -ENOMEM;
		}
		*out = h;
		return 0;
	}
	return -ENOENT;
}

void integrity_hash_close(struct integrity_hash *h)
{
	if (!h)
		return;
	prim_mac_close(h->mac);
	free(h);
}

const char *integrity_hash_name(const struct integrity_hash *h)
{
	return h->alg->name;
}

size_t integrity_hash_len(const struct integrity_hash *h)
{
	switch (h->alg->kind) {
	case CRC32:
	case CRC32C: return 4;
	case XXHASH64: return 8;
	default: return prim_hash_len(h->alg->hash);
	}
}

/*
 * The kernel's shashes, each as its crypto driver defines it: crc32 starts at 0 and is not
 * inverted, crc32c is the usual one; both and xxhash64 are stored little-endian.
 */
int integrity_hash_tag(struct integrity_hash *h, uint64_t sector, const void *data, size_t len,
		       uint8_t *tag, size_t tag_len)
{
	uint8_t head[sizeof(h->head)], out[PRIM_HASH_MAX];
	size_t n = h->salt + 8, have = integrity_hash_len(h);
	const le64_t number = to_le64(sector);
	const struct prim_part part[] = {{head, n}, {data, len}};
	le32_t crc;
	le64_t xxh;
	int r = 0;

	memcpy(head, h->head, h->salt);
	memcpy(head + h->salt, &number, 8);
	switch (h->alg->kind) {
	case CRC32:
		crc = to_le32(sum_crc32_raw(sum_crc32_raw(0, head, n), data, len));
		memcpy(out, &crc, 4);
		break;
	case CRC32C:
		crc = to_le32(~sum_crc32c(sum_crc32c(~0u, head, n), data, len));
		memcpy(out, &crc, 4);
		break;
	case XXHASH64:
		xxh = to_le64(sum_xxh64(head, n, data, len));
		memcpy(out, &xxh, 8);
		break;
	case HASH: prim_hash_parts(h->alg->hash, part, 2, out); break;
	case HMAC: r = prim_mac_sum(h->mac, part, 2, out); break;
	}
	if (have > tag_len)
		have = tag_len;
	memcpy(tag, out, have);
	memset(tag + have, 0, tag_len - have);
	return r;
}
