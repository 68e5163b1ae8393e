/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/kuznyechik.h"

#include <pthread.h>
#include <string.h>

enum { SIZE = KUZNYECHIK_BLOCK };

/* RFC 7801 4.1.1 */
static const uint8_t pi[256] = {
	252, 238, 221, 17,  207, 110, 49,  22,	251, 196, 250, 218, 35,	 197, 4,   77,	233, 119,
	240, 219, 147, 46,  153, 186, 23,  54,	241, 187, 20,  205, 95,	 193, 249, 24,	101, 90,
	226, 92,  239, 33,  129, 28,  60,  66,	139, 1,	  142, 79,  5,	 132, 2,   174, 227, 106,
	143, 160, 6,   11,  237, 152, 127, 212, 211, 31,  235, 52,  44,	 81,  234, 200, 72,  171,
	242, 42,  104, 162, 253, 58,  206, 204, 181, 112, 14,  86,  8,	 12,  118, 18,	191, 114,
	19,  71,  156, 183, 93,	 135, 21,  161, 150, 41,  16,  123, 154, 199, 243, 145, 120, 111,
	157, 158, 178, 177, 50,	 117, 25,  61,	255, 53,  138, 126, 109, 84,  198, 128, 195, 189,
	13,  87,  223, 245, 36,	 169, 62,  168, 67,  201, 215, 121, 214, 246, 124, 34,	185, 3,
	224, 15,  236, 222, 122, 148, 176, 188, 220, 232, 40,  80,  78,	 51,  10,  74,	167, 151,
	96,  115, 30,  0,   98,	 68,  26,  184, 56,  130, 100, 159, 38,	 65,  173, 69,	70,  146,
	39,  94,  85,  47,  140, 163, 165, 125, 105, 213, 149, 59,  7,	 88,  179, 64,	134, 172,
	29,  247, 48,  55,  107, 228, 136, 217, 231, 137, 225, 27,  131, 73,  76,  63,	248, 254,
	141, 83,  170, 144, 202, 216, 133, 97,	32,  113, 103, 164, 45,	 43,  9,   91,	203, 155,
	37,  208, 190, 229, 108, 82,  89,  166, 116, 210, 230, 244, 180, 192, 209, 102, 175, 194,
	57,  75,  99,  182,
};

/* RFC 7801 4.1.2: the coefficients of l */
static const uint8_t coefficient[SIZE] = {148, 32,  133, 16, 194, 192, 1,   251,
					  1,   192, 194, 16, 133, 32,  148, 1};

/* L and its inverse are linear: what each value of each byte adds to the result. */
static uint8_t forward[SIZE][256][SIZE], backward[SIZE][256][SIZE], pi_back[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* In GF(2^8), x^8 + x^7 + x^6 + x + 1 */
static uint8_t times(uint8_t a, uint8_t b)
{
	uint8_t r = 0;

	for (; b; b >>= 1) {
		r ^= b & 1 ? a : 0;
		a = (uint8_t)(a << 1 ^ (a & 0x80 ? 0xc3 : 0));
	}
	return r;
}

static uint8_t little_l(const uint8_t *a)
{
	uint8_t r = 0;

	for (int i = 0; i < SIZE; i++)
		r ^= times(a[i], coefficient[i]);
	return r;
}

static void make_tables(void)
{
	for (int i = 0; i < SIZE; i++)
		for (int v = 0; v < 256; v++) {
			uint8_t *f = forward[i][v], *b = backward[i][v];

			f[i] = b[i] = (uint8_t)v;
			for (int k = 0; k < SIZE; k++) { /* R, and R back */
				uint8_t in = little_l(f), first = b[0];

				memmove(f + 1, f, SIZE - 1);
				f[0] = in;
				memmove(b, b + 1, SIZE - 1);
				b[SIZE - 1] = first;
				b[SIZE - 1] = little_l(b);
			}
		}
	for (int v = 0; v < 256; v++)
		pi_back[pi[v]] = (uint8_t)v;
}

static void add(uint8_t *to, const uint8_t *what)
{
	for (int i = 0; i < SIZE; i++)
		to[i] ^= what[i];
}

static void linear(uint8_t p[SIZE], uint8_t (*table)[256][SIZE])
{
	uint8_t r[SIZE] = {0};

	for (int i = 0; i < SIZE; i++)
		add(r, table[i][p[i]]);
	memcpy(p, r, SIZE);
}

/* LSX[k] */
static void lsx(uint8_t p[SIZE], const uint8_t k[SIZE])
{
	add(p, k);
	for (int i = 0; i < SIZE; i++)
		p[i] = pi[p[i]];
	linear(p, forward);
}

/* RFC 7801 4.3 */
void kuznyechik_key(struct kuznyechik *k, const uint8_t key[KUZNYECHIK_KEY])
{
	uint8_t a[SIZE], b[SIZE], t[SIZE];

	pthread_once(&once, make_tables);
	memcpy(a, key, SIZE);
	memcpy(b, key + SIZE, SIZE);
	for (int i = 0;; i++) {
		memcpy(k->round[2 * i], a, SIZE);
		memcpy(k->round[2 * i + 1], b, SIZE);
		if (2 * i + 2 == KUZNYECHIK_ROUNDS)
			break;
		for (int n = 8 * i + 1; n <= 8 * i + 8; n++) {
			uint8_t c[SIZE] = {0};

			c[SIZE - 1] = (uint8_t)n;
			linear(c, forward);
			memcpy(t, a, SIZE);
			lsx(t, c);
			add(t, b);
			memcpy(b, a, SIZE);
			memcpy(a, t, SIZE);
		}
	}
	explicit_bzero(a, SIZE);
	explicit_bzero(b, SIZE);
	explicit_bzero(t, SIZE);
}

void kuznyechik_encrypt(const struct kuznyechik *k, uint8_t block[SIZE])
{
	for (int i = 0; i < KUZNYECHIK_ROUNDS - 1; i++)
		lsx(block, k->round[i]);
	add(block, k->round[KUZNYECHIK_ROUNDS - 1]);
}

void kuznyechik_decrypt(const struct kuznyechik *k, uint8_t block[SIZE])
{
	for (int i = KUZNYECHIK_ROUNDS - 1; i > 0; i--) {
		add(block, k->round[i]);
		linear(block, backward);
		for (int n = 0; n < SIZE; n++)
			block[n] = pi_back[block[n]];
	}
	add(block, k->round[0]);
}
