/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/luks2_build.h"

#include <stdio.h>

#include "crypto/keys.h"
#include "crypto/prim.h"
#include "crypto/sector.h"
#include "tests/lib/luks1_build.h"

enum { KEY_LEN = 64, STRIPES = 8, ITERATIONS = 1000, SALT = 32, BINARY = 4096 };

static void volume_key(unsigned k, uint8_t key[KEY_LEN])
{
	for (unsigned i = 0; i < KEY_LEN; i++)
		key[i] = (uint8_t)(i * 53 + k * 101 + 7);
}

static void salt_of(unsigned what, unsigned k, uint8_t salt[SALT])
{
	for (unsigned i = 0; i < SALT; i++)
		salt[i] = (uint8_t)(i + 64 * what + 32 * k);
}

const char *luks2_passphrase(unsigned k)
{
	static const char *const text[LUKS2_BUILD_KEYS] = {"first", "second"};

	return text[k];
}

static struct sector_cipher *cipher(const uint8_t *key, uint32_t sector)
{
	struct sector_cipher *c;

	assert_int_equal(sector_open(&c,
				     &(struct sector_spec){"aes", "xts", "plain64", sector, 512},
				     key, KEY_LEN),
			 0);
	return c;
}

void luks2_encrypt(unsigned k, uint32_t sector, uint64_t off, void *p, size_t len)
{
	uint8_t key[KEY_LEN];
	struct sector_cipher *c;

	volume_key(k, key);
	c = cipher(key, sector);
	assert_int_equal(sector_encrypt(c, off, p, len), 0);
	sector_close(c);
}

/* LUKS1 2.4: all stripes but the last are arbitrary. The key is two SHA-256 blocks long. */
static void af_split(const uint8_t key[KEY_LEN], uint8_t out[STRIPES * KEY_LEN])
{
	uint8_t sum[KEY_LEN] = {0};

	for (unsigned i = 0; i < STRIPES * KEY_LEN; i++)
		out[i] = (uint8_t)(i * 31 + i / 64);
	for (unsigned s = 0; s + 1 < STRIPES; s++) {
		for (unsigned i = 0; i < KEY_LEN; i++)
			sum[i] ^= out[s * KEY_LEN + i];
		for (uint8_t n = 0; n < 2; n++) {
			const uint8_t number[4] = {0, 0, 0, n};
			const struct prim_part part[] = {{number, 4}, {sum + 32 * n, 32}};
			uint8_t hash[32];

			prim_hash_parts(PRIM_SHA256, part, 2, hash);
			memcpy(sum + 32 * n, hash, 32);
		}
	}
	for (unsigned i = 0; i < KEY_LEN; i++)
		out[(STRIPES - 1) * KEY_LEN + i] = sum[i] ^ key[i];
}

static void write_slot(struct image *img, unsigned k)
{
	uint8_t key[KEY_LEN], derived[KEY_LEN], salt[SALT], material[STRIPES * KEY_LEN];
	struct sector_cipher *c;

	volume_key(k, key);
	salt_of(0, k, salt);
	af_split(key, material);
	assert_int_equal(prim_pbkdf2(PRIM_SHA256, luks2_passphrase(k), strlen(luks2_passphrase(k)),
				     salt, SALT, ITERATIONS, derived, KEY_LEN),
			 0);
	c = cipher(derived, 512);
	assert_int_equal(sector_encrypt(c, 0, material, sizeof(material)), 0);
	sector_close(c);
	image_poke(img, LUKS2_SLOT0 + k * LUKS2_SLOT, material, sizeof(material));
}

static const char *base64(const uint8_t *p, size_t len, char *out)
{
	static const char set[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *o = out;

	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < len ? p[i + 1] << 8 : 0) |
			     (i + 2 < len ? p[i + 2] : 0);

		for (int k = 3; k >= 0; k--)
			*o++ = set[v >> 6 * k & 63];
	}
	for (size_t i = len; i % 3; i++)
		o[-1 - (long)(i - len)] = '=';
	*o = '\0';
	return out;
}

static size_t slot_json(unsigned k, char *out, size_t cap)
{
	uint8_t salt[SALT];
	char b64[64];

	salt_of(0, k, salt);
	return (size_t)snprintf(
		out, cap,
		"%s\"%u\":{\"type\":\"luks2\",\"key_size\":64,\"af\":{\"type\":\"luks1\","
		"\"stripes\":%d,\"hash\":\"sha256\"},\"area\":{\"type\":\"raw\",\"offset\":\"%u\","
		"\"size\":\"%u\",\"encryption\":\"aes-xts-plain64\",\"key_size\":64},"
		"\"kdf\":{\"type\":\"pbkdf2\",\"hash\":\"sha256\",\"iterations\":%d,"
		"\"salt\":\"%s\"}}",
		k ? "," : "", k, STRIPES, LUKS2_SLOT0 + k * LUKS2_SLOT, (unsigned)LUKS2_SLOT,
		ITERATIONS, base64(salt, SALT, b64));
}

static size_t digest_json(unsigned k, char *out, size_t cap)
{
	uint8_t salt[SALT], key[KEY_LEN], sum[32];
	char b64[64], digest[64];

	salt_of(1, k, salt);
	volume_key(k, key);
	assert_int_equal(prim_pbkdf2(PRIM_SHA256, key, KEY_LEN, salt, SALT, ITERATIONS, sum, 32),
			 0);
	return (size_t)snprintf(out, cap,
				"%s\"%u\":{\"type\":\"pbkdf2\",\"keyslots\":[\"%u\"],"
				"\"segments\":[%s],\"hash\":\"sha256\",\"iterations\":%d,"
				"\"salt\":\"%s\",\"digest\":\"%s\"}",
				k ? "," : "", k, k, k ? "" : "\"0\"", ITERATIONS,
				base64(salt, SALT, b64), base64(sum, 32, digest));
}

void luks2_sum(struct image *img, int which)
{
	uint8_t *h = img->buf + which * LUKS2_HEADER;

	memset(h + 0x1c0, 0, 64);
	prim_hash(PRIM_SHA256, h, LUKS2_HEADER, h + 0x1c0);
}

static void write_header(struct image *img, int which, const char *json)
{
	uint8_t *h = img->buf + which * LUKS2_HEADER;
	uint64_t at = (uint64_t)which * LUKS2_HEADER;

	memset(h, 0, LUKS2_HEADER);
	memcpy(h, which ? "SKUL\xba\xbe\0\2" : "LUKS\xba\xbe\0\2", 8);
	image_be64(img, at + 8, LUKS2_HEADER);
	image_be64(img, at + 16, 5);
	memcpy(h + 0x48, "sha256", 6);
	memcpy(h + 0xa8, "5f1c0d6e-0000-4000-8000-00000000b003", 36);
	image_be64(img, at + 0x100, at);
	assert_true(strlen(json) < LUKS2_HEADER - BINARY);
	memcpy(h + BINARY, json, strlen(json));
	luks2_sum(img, which);
}

const char *luks2_json(const struct image *img)
{
	return (const char *)img->buf + BINARY;
}

void luks2_set_json(struct image *img, const char *json)
{
	char *keep = strdup(json);

	assert_non_null(keep);
	write_header(img, 0, keep);
	write_header(img, 1, keep);
	free(keep);
}

void luks2_edit(struct image *img, const char *after, const char *from, const char *to)
{
	const char *json = luks2_json(img), *p = strstr(json, after);
	static char text[2 * LUKS2_HEADER];

	assert_non_null(p);
	p = strstr(p, from);
	assert_non_null(p);
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(p - json), json, to, p + strlen(from));
	luks2_set_json(img, text);
}

struct image *luks2_build(const uint8_t *plain, size_t len, uint32_t sector)
{
	struct image *img = image_new(LUKS2_DATA + len);
	char json[LUKS2_HEADER];
	size_t n = 0;

	n += (size_t)snprintf(json, sizeof(json), "{\"keyslots\":{");
	for (unsigned k = 0; k < LUKS2_BUILD_KEYS; k++) {
		write_slot(img, k);
		n += slot_json(k, json + n, sizeof(json) - n);
	}
	n += (size_t)snprintf(
		json + n, sizeof(json) - n,
		"},\"tokens\":{},\"segments\":{\"0\":{\"type\":\"crypt\",\"offset\":\"%d\","
		"\"size\":\"dynamic\",\"iv_tweak\":\"0\",\"encryption\":\"aes-xts-plain64\","
		"\"sector_size\":%u}},\"digests\":{",
		LUKS2_DATA, sector);
	for (unsigned k = 0; k < LUKS2_BUILD_KEYS; k++)
		n += digest_json(k, json + n, sizeof(json) - n);
	snprintf(json + n, sizeof(json) - n,
		 "},\"config\":{\"json_size\":\"%d\",\"keyslots_size\":\"%d\"}}",
		 LUKS2_HEADER - BINARY, LUKS2_DATA - 2 * LUKS2_HEADER);
	luks2_set_json(img, json);
	image_poke(img, LUKS2_DATA, plain, len);
	luks2_encrypt(0, sector, 0, img->buf + LUKS2_DATA, len);
	return img;
}

void luks2_key(struct image *img, unsigned k)
{
	image_key(img, KEY_PASSPHRASE, luks2_passphrase(k), strlen(luks2_passphrase(k)));
}

void luks2_fill(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len / 512; i++)
		luks1_text(i, p + 512 * i);
}

void luks2_assert_plain(struct image *img, uint64_t off, size_t len)
{
	uint8_t *got = malloc(len), *want = malloc(LUKS2_PLAIN);
	struct ranges bad = {0};

	assert_true(got && want);
	luks2_fill(want, LUKS2_PLAIN);
	assert_int_equal(layer_read(img->top, off, got, len, &bad), 0);
	assert_int_equal(bad.n, 0);
	assert_memory_equal(got, want + off, len);
	free(got);
	free(want);
}
