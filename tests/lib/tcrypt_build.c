/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/tcrypt_build.h"

#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/sum.h"

void tcrypt_header_init(struct tcrypt_header *h, uint64_t start, uint64_t volume_size,
			uint64_t hidden_size)
{
	memset(h, 0, sizeof(*h));
	memcpy(h->magic, "TRUE", 4);
	h->version = to_be16(5);
	h->needed = to_be16(0x700);
	h->hidden_size = to_be64(hidden_size);
	h->volume_size = h->len = to_be64(volume_size);
	h->start = to_be64(start);
	h->sector = to_be32(512);
	for (unsigned i = 0; i < TCRYPT_KEYS; i++)
		h->keys[i] = (uint8_t)(i * 7 + 1 + hidden_size);
	tcrypt_header_sign(h);
}

void tcrypt_header_sign(struct tcrypt_header *h)
{
	h->keys_crc = to_be32(sum_crc32(0, h->keys, sizeof(h->keys)));
	h->header_crc = to_be32(
		sum_crc32(0, h->magic, offsetof(struct tcrypt_header, header_crc) - TCRYPT_SALT));
}

static void encrypt(const uint8_t key[64], uint64_t unit, uint8_t *p, size_t len, size_t step)
{
	uint8_t iv[PRIM_BLOCK] = {0};
	le64_t number = to_le64(unit);
	struct prim_cipher *c;
	struct prim_handle *h;

	if (prim_cipher_open(&c, "aes", PRIM_XTS, key, 64) || !(h = prim_begin(c)))
		abort();
	memcpy(iv, number.b, sizeof(number));
	prim_iv(c, h, iv);
	for (size_t at = 0; at < len; at += step)
		prim_encrypt(h, p + at, step);
	prim_end(c, h);
	prim_cipher_close(c);
}

void tcrypt_header_put(uint8_t *buf, uint64_t off, const char *password,
		       const struct tcrypt_header *h)
{
	uint8_t key[64];

	memcpy(buf + off, h, sizeof(*h));
	tcrypt_noise_put(buf, off, TCRYPT_SALT);
	if (prim_pbkdf2(PRIM_RIPEMD160, password, strlen(password), buf + off, TCRYPT_SALT, 2000,
			key, sizeof(key)))
		abort();
	encrypt(key, 0, buf + off + TCRYPT_SALT, TCRYPT_BODY, TCRYPT_BODY);
}

void tcrypt_data_put(uint8_t *buf, uint64_t start, uint64_t len, const struct tcrypt_header *h)
{
	for (uint64_t i = 0; i < len; i += 8) {
		le64_t unit = to_le64(i / 512);

		memcpy(buf + start + i, unit.b, sizeof(unit));
	}
	encrypt(h->keys, start / 512, buf + start, len, 512);
}

void tcrypt_noise_put(uint8_t *buf, uint64_t off, uint64_t len)
{
	uint64_t x = 0x9e3779b97f4a7c15 ^ off;

	for (uint64_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		buf[off + i] = (uint8_t)(x >> 24);
	}
}
