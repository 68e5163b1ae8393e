/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two hashes of the journal. They find objects, and so happen to prove payloads: 64 bits each.
 * Sources: J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF"; B. Jenkins, lookup3
 * (hashlittle2 with zero seeds).
 */
#include "formats/log/journal.h"

static uint64_t rotl64(uint64_t v, unsigned n)
{
	return v << n | v >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl64(v[1], 13) ^ v[0];
	v[0] = rotl64(v[0], 32);
	v[2] += v[3];
	v[3] = rotl64(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl64(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl64(v[1], 17) ^ v[2];
	v[2] = rotl64(v[2], 32);
}

static uint64_t word64(const uint8_t *p)
{
	le64_t v;

	memcpy(&v, p, sizeof(v));
	return le64(v);
}

uint64_t journal_siphash(const uint8_t key[16], const void *data, size_t len)
{
	uint64_t k0 = word64(key), k1 = word64(key + 8), m;
	uint64_t v[4] = {k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
			 k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573)};
	const uint8_t *p = data;
	uint8_t last[8] = {0};
	size_t n = len;

	for (; n >= 8; n -= 8, p += 8) {
		m = word64(p);
		v[3] ^= m;
		sip_round(v);
		sip_round(v);
		v[0] ^= m;
	}
	memcpy(last, p, n);
	last[7] = (uint8_t)len;
	m = word64(last);
	v[3] ^= m;
	sip_round(v);
	sip_round(v);
	v[0] ^= m;
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static uint32_t rot(uint32_t v, unsigned n)
{
	return v << n | v >> (32 - n);
}

static void mix(uint32_t v[3])
{
	static const uint8_t turn[6] = {4, 6, 8, 16, 19, 4};

	/* a -= c, a ^= c <<< n, c += b; then the same with the roles moved on by one. */
	for (unsigned i = 0; i < 6; i++) {
		uint32_t *a = &v[i % 3], *b = &v[(i + 1) % 3], *c = &v[(i + 2) % 3];

		*a -= *c;
		*a ^= rot(*c, turn[i]);
		*c += *b;
	}
}

static void finish(uint32_t v[3])
{
	static const uint8_t turn[7] = {14, 11, 25, 16, 4, 14, 24};

	/* c ^= b, c -= b <<< n; then a by c, b by a, and so on. */
	for (unsigned i = 0; i < 7; i++) {
		uint32_t *c = &v[(i + 2) % 3], *b = &v[(i + 1) % 3];

		*c ^= *b;
		*c -= rot(*b, turn[i]);
	}
}

uint64_t journal_jenkins(const void *data, size_t len)
{
	uint32_t v[3];
	const uint8_t *p = data;

	v[0] = v[1] = v[2] = 0xdeadbeef + (uint32_t)len;
	for (; len; p += 12) {
		size_t n = len < 12 ? len : 12;
		uint8_t part[12] = {0};
		le32_t w[3];

		memcpy(part, p, n);
		memcpy(w, part, sizeof(w));
		for (int i = 0; i < 3; i++)
			v[i] += le32(w[i]);
		len -= n;
		if (len)
			mix(v);
		else
			finish(v);
	}
	return (uint64_t)v[2] << 32 | v[1];
}
