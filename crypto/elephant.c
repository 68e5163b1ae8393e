/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/elephant.h"

#include <string.h>

enum { A_CYCLES = 5, B_CYCLES = 3, WORDS_MAX = 8192 / 4 };

static inline uint32_t rol(uint32_t x, unsigned n)
{
	return x << n | x >> (-n & 31);
}

/*
 * Both diffusers as the paper gives them, for n words. Words are handled four at a time, one for
 * each rotation; n is a multiple of 8, so only the first and last words need the wrap-around.
 */
static void a_undo(uint32_t *d, size_t n)
{
	static const unsigned rot[4] = {9, 0, 13, 0};

	for (int cycle = 0; cycle < A_CYCLES; cycle++) {
		for (size_t i = 0; i < 8; i++)
			d[i] += d[(i + n - 2) % n] ^ rol(d[(i + n - 5) % n], rot[i % 4]);
		for (size_t i = 8; i < n; i += 4) {
			d[i] += d[i - 2] ^ rol(d[i - 5], 9);
			d[i + 1] += d[i - 1] ^ d[i - 4];
			d[i + 2] += d[i] ^ rol(d[i - 3], 13);
			d[i + 3] += d[i + 1] ^ d[i - 2];
		}
	}
}

static void b_undo(uint32_t *d, size_t n)
{
	static const unsigned rot[4] = {0, 10, 0, 25};

	for (int cycle = 0; cycle < B_CYCLES; cycle++) {
		for (size_t i = 0; i < n - 8; i += 4) {
			d[i] += d[i + 2] ^ d[i + 5];
			d[i + 1] += d[i + 3] ^ rol(d[i + 6], 10);
			d[i + 2] += d[i + 4] ^ d[i + 7];
			d[i + 3] += d[i + 5] ^ rol(d[i + 8], 25);
		}
		for (size_t i = n - 8; i < n; i++)
			d[i] += d[(i + 2) % n] ^ rol(d[(i + 5) % n], rot[i % 4]);
	}
}

static void a_do(uint32_t *d, size_t n)
{
	static const unsigned rot[4] = {9, 0, 13, 0};

	for (int cycle = 0; cycle < A_CYCLES; cycle++)
		for (size_t i = n; i--;)
			d[i] -= d[(i + n - 2) % n] ^ rol(d[(i + n - 5) % n], rot[i % 4]);
}

static void b_do(uint32_t *d, size_t n)
{
	static const unsigned rot[4] = {0, 10, 0, 25};

	for (int cycle = 0; cycle < B_CYCLES; cycle++)
		for (size_t i = n; i--;)
			d[i] -= d[(i + 2) % n] ^ rol(d[(i + 5) % n], rot[i % 4]);
}

static void xor_key(uint32_t *d, size_t n, const uint8_t key[32])
{
	uint32_t k[8];

	memcpy(k, key, sizeof(k));
	for (size_t i = 0; i < n; i++)
		d[i] ^= k[i % 8];
}

void elephant_undo(uint8_t *sector, size_t len, const uint8_t key[32])
{
	uint32_t d[WORDS_MAX];
	size_t n = len / 4;

	memcpy(d, sector, len);
	b_undo(d, n);
	a_undo(d, n);
	xor_key(d, n, key);
	memcpy(sector, d, len);
}

void elephant_do(uint8_t *sector, size_t len, const uint8_t key[32])
{
	uint32_t d[WORDS_MAX];
	size_t n = len / 4;

	memcpy(d, sector, len);
	xor_key(d, n, key);
	a_do(d, n);
	b_do(d, n);
	memcpy(sector, d, len);
}
