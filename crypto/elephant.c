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

/*
 * The same for LANES sectors side by side: each step of the diffusers waits for the one before it,
 * so within a sector there is nothing to do at once. gcc makes AVX2 or SSE2 of it.
 */
enum { LANES = 8, LANE_WORDS = 4096 / 4 };
typedef uint32_t lanes __attribute__((vector_size(4 * LANES)));

#define ROL(x, n) ((x) << (n) | (x) >> (32 - (n)))

static inline __attribute__((always_inline)) void b_undo_lanes(lanes *d, size_t n)
{
	for (int cycle = 0; cycle < B_CYCLES; cycle++) {
		for (size_t i = 0; i < n; i += 4) {
			size_t next = i + 4 < n ? i + 4 : 0, after = i + 8 < n ? i + 8 : i + 8 - n;

			d[i] += d[i + 2] ^ d[next + 1];
			d[i + 1] += d[i + 3] ^ ROL(d[next + 2], 10);
			d[i + 2] += d[next] ^ d[next + 3];
			d[i + 3] += d[next + 1] ^ ROL(d[after], 25);
		}
	}
}

static inline __attribute__((always_inline)) void a_undo_lanes(lanes *d, size_t n)
{
	for (int cycle = 0; cycle < A_CYCLES; cycle++) {
		for (size_t i = 0; i < n; i += 4) {
			size_t last = i ? i - 4 : n - 4, before = i >= 8 ? i - 8 : n + i - 8;

			d[i] += d[last + 2] ^ ROL(d[before + 3], 9);
			d[i + 1] += d[last + 3] ^ d[last];
			d[i + 2] += d[i] ^ ROL(d[last + 1], 13);
			d[i + 3] += d[i + 1] ^ d[last + 2];
		}
	}
}

#if defined(__x86_64__)
__attribute__((target_clones("avx2", "default")))
#endif
static void
undo_lanes(uint8_t *buf, size_t len, const uint8_t *key)
{
	lanes d[LANE_WORDS], k[8];
	size_t n = len / 4;

	for (size_t i = 0; i < n; i++)
		for (size_t s = 0; s < LANES; s++) {
			uint32_t w;

			memcpy(&w, buf + s * len + 4 * i, 4);
			d[i][s] = w;
		}
	for (size_t i = 0; i < 8; i++)
		for (size_t s = 0; s < LANES; s++) {
			uint32_t w;

			memcpy(&w, key + 32 * s + 4 * i, 4);
			k[i][s] = w;
		}
	b_undo_lanes(d, n);
	a_undo_lanes(d, n);
	for (size_t i = 0; i < n; i++) {
		d[i] ^= k[i % 8];
		for (size_t s = 0; s < LANES; s++) {
			uint32_t w = d[i][s];

			memcpy(buf + s * len + 4 * i, &w, 4);
		}
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

void elephant_undo_many(uint8_t *buf, size_t len, size_t n, const uint8_t *keys)
{
	for (; n >= LANES && len <= 4 * LANE_WORDS; n -= LANES) {
		undo_lanes(buf, len, keys);
		buf += LANES * len;
		keys += 32 * LANES;
	}
	for (; n; n--, buf += len, keys += 32)
		elephant_undo(buf, len, keys);
}
