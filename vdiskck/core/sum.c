/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/core/sum.h"

#include <pthread.h>
#include <string.h>
#define XXH_STATIC_LINKING_ONLY /* the state on the stack */
#include <libdeflate.h>
#include <xxhash.h>

uint32_t sum_crc32(uint32_t crc, const void *p, size_t len)
{
	return libdeflate_crc32(crc, p, len);
}

uint32_t sum_crc32_raw(uint32_t crc, const void *p, size_t len)
{
	/* zlib inverts before and after */
	return ~libdeflate_crc32(~crc, p, len);
}

uint64_t sum_xxh64(const void *p, size_t len, const void *p2, size_t len2)
{
	XXH64_state_t st;

	XXH64_reset(&st, 0);
	XXH64_update(&st, p, len);
	XXH64_update(&st, p2, len2);
	return XXH64_digest(&st);
}

static uint32_t table[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void table_make(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = c >> 1 ^ (c & 1 ? 0x82f63b78 : 0);
		table[i] = c;
	}
}

static uint32_t crc32c_table(uint32_t crc, const uint8_t *p, size_t len)
{
	pthread_once(&once, table_make);
	while (len--)
		crc = crc >> 8 ^ table[(crc ^ *p++) & 0xff];
	return crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const uint8_t *p,
							       size_t len)
{
	uint64_t c = crc, x;

	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&x, p, 8);
		c = __builtin_ia32_crc32di(c, x);
	}
	crc = (uint32_t)c;
	while (len--)
		crc = __builtin_ia32_crc32qi(crc, *p++);
	return crc;
}

/* The instruction takes one word a cycle, and three cycles until its result can be used. */
__attribute__((target("sse4.2"))) static void crc32c_four(const uint8_t *p, size_t len,
							  uint32_t *crc)
{
	uint64_t a = ~0u, b = ~0u, c = ~0u, d = ~0u, x[4];

	for (size_t i = 0; i < len; i += 8) {
		memcpy(&x[0], p + i, 8);
		memcpy(&x[1], p + len + i, 8);
		memcpy(&x[2], p + 2 * len + i, 8);
		memcpy(&x[3], p + 3 * len + i, 8);
		a = __builtin_ia32_crc32di(a, x[0]);
		b = __builtin_ia32_crc32di(b, x[1]);
		c = __builtin_ia32_crc32di(c, x[2]);
		d = __builtin_ia32_crc32di(d, x[3]);
	}
	crc[0] = ~(uint32_t)a;
	crc[1] = ~(uint32_t)b;
	crc[2] = ~(uint32_t)c;
	crc[3] = ~(uint32_t)d;
}
#endif

void sum_crc32c_each(const void *p, size_t len, size_t n, uint32_t *crc)
{
	const uint8_t *b = p;

#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2") && len % 8 == 0)
		for (; n >= 4; n -= 4, b += 4 * len, crc += 4)
			crc32c_four(b, len, crc);
#endif
	for (; n; n--, b += len, crc++)
		*crc = ~sum_crc32c(~0u, b, len);
}

uint32_t sum_crc32c(uint32_t crc, const void *p, size_t len)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2"))
		return crc32c_sse42(crc, p, len);
#endif
	return crc32c_table(crc, p, len);
}

uint32_t sum_bytes(const void *p, size_t len)
{
	const uint8_t *b = p;
	uint32_t sum = 0;

	while (len--)
		sum += *b++;
	return sum;
}

int all_zero(const void *p, size_t len)
{
	const uint8_t *b = p;

	/* The first bytes decide nearly always; the rest is compared with itself, one step on. */
	for (size_t i = 0; i < 16; i++) {
		if (i == len)
			return 1;
		if (b[i])
			return 0;
	}
	return !memcmp(b, b + 16, len - 16);
}
