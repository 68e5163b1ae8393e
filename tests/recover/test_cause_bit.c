/* SPDX-License-Identifier: Apache-2.0 */
/* One wrong bit under a checksum: found where it is, and never where there are two. */
#include "recover/cause_bit.h"
#include "recover/cause_shape.h"
#include "tests/lib/corpus.h"
#include "vdiskck/core/sum.h"

enum { LEN = 5000 };

static struct session session;
static uint8_t bytes[LEN];

static void fill(void)
{
	uint32_t v = 1;

	for (size_t i = 0; i < LEN; i++) {
		v = v * 1664525 + 1013904223;
		bytes[i] = (uint8_t)(v >> 24);
	}
}

static uint32_t sum_of(uint32_t poly, const uint8_t *p, size_t len, size_t hole, size_t hole_len)
{
	uint32_t crc = ~0u;

	if (poly == CRC32C_POLY)
		return sum_crc32c(sum_crc32c(crc, p, hole), p + hole + hole_len,
				  len - hole - hole_len);
	return sum_crc32_raw(sum_crc32_raw(crc, p, hole), p + hole + hole_len,
			     len - hole - hole_len);
}

static int find(uint32_t poly, uint32_t stored, size_t off, size_t len, size_t hole,
		size_t hole_len, struct cause_bit *b)
{
	struct layer *l = memory_source(&session, "m", bytes, LEN);
	struct cause_sum s = {l, off, len, hole, hole_len, poly, 0};
	int r;

	s.differs = stored ^ sum_of(poly, bytes + off, len, hole, hole_len);
	r = cause_bit_find(&s, b);
	layer_free(l);
	return r;
}

static void every_bit_is_found_where_it_is(void **state)
{
	static const uint32_t poly[] = {CRC32_POLY, CRC32C_POLY};
	struct cause_bit b;

	(void)state;
	fill();
	for (size_t k = 0; k < 2; k++) {
		uint32_t stored = sum_of(poly[k], bytes + 100, 4321, 0, 0);

		for (size_t i = 100; i < 4421; i += 61)
			for (unsigned bit = 0; bit < 8; bit += 3) {
				bytes[i] ^= (uint8_t)(1 << bit);
				assert_int_equal(find(poly[k], stored, 100, 4321, 0, 0, &b), 1);
				assert_int_equal(b.off, i);
				assert_int_equal(b.bit, bit);
				assert_int_equal(b.at, i);
				assert_false(b.in_sum || b.in_cipher);
				bytes[i] ^= (uint8_t)(1 << bit);
			}
		assert_int_equal(find(poly[k], stored, 100, 4321, 0, 0, &b), 0);
		/* A bit of the checksum itself. */
		assert_int_equal(find(poly[k], stored ^ 0x400, 100, 4321, 0, 0, &b), 1);
		assert_true(b.in_sum);
		assert_int_equal(b.bit, 10);
	}
}

/* The header of an EVTX chunk: 120 bytes, 8 that do not count, the rest. */
static void what_does_not_count_is_passed_over(void **state)
{
	uint32_t stored;
	struct cause_bit b;

	(void)state;
	fill();
	stored = sum_of(CRC32_POLY, bytes, 512, 120, 8);
	for (size_t i = 0; i < 512; i++) {
		bytes[i] ^= 0x20;
		assert_int_equal(find(CRC32_POLY, stored, 0, 512, 120, 8, &b), i < 120 || i >= 128);
		if (i < 120 || i >= 128)
			assert_int_equal(b.off, i);
		bytes[i] ^= 0x20;
	}
}

static void two_bits_are_not_one(void **state)
{
	uint32_t stored;
	struct cause_bit b;

	(void)state;
	fill();
	stored = sum_of(CRC32_POLY, bytes, LEN, 0, 0);
	for (size_t i = 0; i < LEN - 40; i += 97) {
		bytes[i] ^= 0x20;
		bytes[i + 33] ^= 1;
		assert_int_equal(find(CRC32_POLY, stored, 0, LEN, 0, 0, &b), 0);
		bytes[i] ^= 0x20;
		bytes[i + 33] ^= 1;
	}
	/* Ranges that are none. */
	assert_int_equal(find(CRC32_POLY, stored ^ 3, 0, 0, 0, 0, &b), 0);
}

/* Text, with a block of a cipher in it that was decrypted from something else. */
static void noise_in_text_stands_out(void **state)
{
	struct cause_shape sh;
	struct layer *l;

	(void)state;
	for (size_t i = 0; i < LEN; i++)
		bytes[i] =
			(uint8_t) "a line of a log that goes on and on, and says little. "[i % 54];
	l = memory_source(&session, "m", bytes, LEN);
	assert_int_equal(cause_shape(l, 0, LEN, &sh), 0);
	assert_false(sh.noise || sh.flat || sh.random);
	memcpy(bytes + 1024 + 48,
	       "\x9b\x01\xfe\x77\xc3\x80\xd4\x1f\xe2\x99\xa7\xb8\x03\xf1\x8d\xcc", 16);
	assert_int_equal(cause_shape(l, 1000, 200, &sh), 0);
	assert_true(sh.noise);
	assert_int_equal(sh.noise_off, 1024 + 48);
	/* It is not among what was asked for. */
	assert_int_equal(cause_shape(l, 2048, 100, &sh), 0);
	assert_false(sh.noise);
	memset(bytes + 512, 0, 1024);
	assert_int_equal(cause_shape(l, 600, 1000, &sh), 0);
	assert_int_equal(sh.flat, 1024);
	assert_int_equal(sh.flat_off, 512);
	assert_int_equal(sh.value, 0);
	assert_int_equal(cause_shape(l, LEN, 10, &sh), 0);
	assert_int_equal(cause_shape(l, LEN - 1, UINT64_MAX, &sh), 0);
	layer_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_bit_is_found_where_it_is),
		cmocka_unit_test(what_does_not_count_is_passed_over),
		cmocka_unit_test(two_bits_are_not_one),
		cmocka_unit_test(noise_in_text_stands_out),
	};
	int failed;

	session_init(&session);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	session_fini(&session);
	return failed;
}
