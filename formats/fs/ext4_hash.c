/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes of names: "Hash Tree Directories" of the kernel's ext4 documentation. */
#include <string.h>

#include "formats/fs/ext4_check.h"

enum { LEGACY, HALF_MD4, TEA, UNSIGNED = 3, KINDS = 6 };

static int char_at(const char *name, unsigned k, bool is_unsigned)
{
	return is_unsigned ? (int)(uint8_t)name[k] : (int)(int8_t)name[k];
}

static uint32_t legacy(const char *name, unsigned len, bool is_unsigned)
{
	uint32_t last = 0x12a3fe2d, before = 0x37abe8f9;

	for (unsigned k = 0; k < len; k++) {
		uint32_t h = before + (last ^ ((uint32_t)char_at(name, k, is_unsigned) * 7152373u));

		if (h & 0x80000000)
			h -= 0x7fffffff;
		before = last;
		last = h;
	}
	return last << 1;
}

/* Up to 4 * n bytes of the name as big-endian words, filled up with its length. */
static void words(const char *name, unsigned len, uint32_t *out, unsigned n, bool is_unsigned)
{
	uint32_t pad = len | len << 8, w;
	unsigned k = 0;

	pad |= pad << 16;
	if (len > n * 4)
		len = n * 4;
	for (; n; n--) {
		unsigned b = 0;

		w = pad;
		for (; b < 4 && k < len; b++, k++)
			w = (uint32_t)char_at(name, k, is_unsigned) + (w << 8);
		*out++ = w;
	}
}

static uint32_t rol(uint32_t v, unsigned n)
{
	return v << n | v >> (32 - n);
}

/* MD4 with half the steps in each of its three rounds. */
static void half_md4(uint32_t buf[4], const uint32_t in[8])
{
	static const uint8_t order[3][8] = {
		{0, 1, 2, 3, 4, 5, 6, 7}, {1, 3, 5, 7, 0, 2, 4, 6}, {3, 7, 2, 6, 1, 5, 0, 4}};
	static const uint8_t shift[3][4] = {{3, 7, 11, 19}, {3, 5, 9, 13}, {3, 9, 11, 15}};
	static const uint32_t add[3] = {0, 0x5a827999, 0x6ed9eba1};
	uint32_t v[4];

	memcpy(v, buf, sizeof(v));
	for (unsigned round = 0; round < 3; round++)
		for (unsigned k = 0; k < 8; k++) {
			uint32_t *a = &v[(4 - k % 4) % 4];
			uint32_t b = v[(5 - k % 4) % 4], c = v[(6 - k % 4) % 4],
				 d = v[(7 - k % 4) % 4];
			uint32_t f = round == 0	  ? (d ^ (b & (c ^ d)))
				     : round == 1 ? (b & c) + ((b ^ c) & d)
						  : (b ^ c ^ d);

			*a = rol(*a + f + in[order[round][k]] + add[round], shift[round][k % 4]);
		}
	for (unsigned k = 0; k < 4; k++)
		buf[k] += v[k];
}

static void tea(uint32_t buf[4], const uint32_t in[4])
{
	uint32_t sum = 0, x = buf[0], y = buf[1];

	for (int n = 0; n < 16; n++) {
		sum += 0x9e3779b9;
		x += ((y << 4) + in[0]) ^ (y + sum) ^ ((y >> 5) + in[1]);
		y += ((x << 4) + in[2]) ^ (x + sum) ^ ((x >> 5) + in[3]);
	}
	buf[0] += x;
	buf[1] += y;
}

bool ext4_hash(const struct ext4 *fs, unsigned version, const char *name, unsigned len,
	       uint32_t *hash)
{
	uint32_t buf[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}, in[8], h;
	bool is_unsigned = version >= UNSIGNED, seeded = false;
	unsigned kind = version % UNSIGNED, step = kind == TEA ? 16 : 32;

	if (version >= KINDS)
		return false;
	/* The superblock says what "char" was where the file system was made. */
	if (!is_unsigned && le32(fs->sb.flags) & EXT4_SF_UNSIGNED_HASH)
		is_unsigned = true;
	for (int k = 0; k < 4; k++)
		seeded |= le32(fs->sb.hash_seed[k]) != 0;
	for (int k = 0; k < 4 && seeded; k++)
		buf[k] = le32(fs->sb.hash_seed[k]);
	if (kind == LEGACY) {
		h = legacy(name, len, is_unsigned);
	} else {
		for (unsigned at = 0; at < len; at += step) {
			words(name + at, len - at, in, step / 4, is_unsigned);
			if (kind == TEA)
				tea(buf, in);
			else
				half_md4(buf, in);
		}
		h = buf[kind == TEA ? 0 : 1];
	}
	h &= ~1u;
	/* The highest one means the end of the directory. */
	*hash = h == 0xfffffffe ? 0xfffffffc : h;
	return true;
}
