/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/luks1_build.h"

#include <stdio.h>

#include "crypto/keys.h"
#include "crypto/luks.h"
#include "vdiskck/core/endian.h"

enum { KEY_LEN = 64, ITERATIONS = 1000 };

static const char *mode_of(const struct image *img)
{
	return (const char *)img->buf + 0x28;
}

/* XTS takes 64 bytes, the other modes 32. */
static size_t make_key(const char *mode, uint8_t key[KEY_LEN])
{
	for (int i = 0; i < KEY_LEN; i++)
		key[i] = (uint8_t)(i * 37 + 11);
	return strncmp(mode, "xts", 3) ? 32 : 64;
}

static struct sector_cipher *cipher_of(const struct image *img)
{
	struct luks_cipher parts;
	struct sector_cipher *c;
	char text[64];
	uint8_t key[KEY_LEN];
	size_t len = make_key(mode_of(img), key);

	snprintf(text, sizeof(text), "aes-%s", mode_of(img));
	assert_true(luks_cipher_parse(text, &parts));
	assert_int_equal(
		sector_open(&c, &(struct sector_spec){parts.name, parts.mode, parts.iv, 512, 512},
			    key, len),
		0);
	return c;
}

void luks1_write(struct image *img, uint64_t off, const void *p, size_t len, uint64_t at)
{
	struct sector_cipher *c = cipher_of(img);
	uint8_t *buf = img->buf + LUKS1_PAYLOAD + at;

	assert_true(LUKS1_PAYLOAD + at + len <= img->len);
	memmove(buf, p, len);
	assert_int_equal(sector_encrypt(c, off, buf, len), 0);
	sector_close(c);
}

void luks1_text(uint64_t sector, uint8_t p[512])
{
	char line[96];

	for (int i = 0; i < 8; i++) {
		snprintf(line, sizeof(line),
			 "the quick brown fox jumps over sector  %10llu line %d           \n",
			 (unsigned long long)(sector % 10000000000), i);
		memcpy(p + 64 * i, line, 64);
	}
}

struct image *luks1_build(size_t len, const char *mode)
{
	struct image *img = image_new(LUKS1_PAYLOAD + len);
	uint8_t key[KEY_LEN], *h = img->buf, *text = malloc(len);
	size_t key_len = make_key(mode, key);

	assert_non_null(text);
	memcpy(h, "LUKS\xba\xbe\0\1", 8);
	snprintf((char *)h + 0x08, 32, "aes");
	snprintf((char *)h + 0x28, 32, "%s", mode);
	snprintf((char *)h + 0x48, 32, "sha256");
	image_be32(img, 0x68, LUKS1_PAYLOAD / 512);
	image_be32(img, 0x6c, (uint32_t)key_len);
	for (int i = 0; i < 32; i++)
		h[0x84 + i] = (uint8_t)i;
	image_be32(img, 0xa4, ITERATIONS);
	snprintf((char *)h + 0xa8, 40, "5f1c0d6e-0000-4000-8000-00000000b001");
	assert_int_equal(
		prim_pbkdf2(PRIM_SHA256, key, key_len, h + 0x84, 32, ITERATIONS, h + 0x70, 20), 0);
	for (uint32_t i = 0; i < 8; i++)
		image_be32(img, 0xd0 + 48 * i, 0xdead); /* keyslots: none */
	for (size_t i = 0; i < len / 512; i++)
		luks1_text(i, text + 512 * i);
	luks1_write(img, 0, text, len, 0);
	free(text);
	return img;
}

void luks1_key(struct image *img)
{
	uint8_t key[KEY_LEN];

	image_key(img, KEY_VOLUME_KEY, key, make_key(mode_of(img), key));
}
