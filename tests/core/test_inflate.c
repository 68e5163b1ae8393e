/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "tests/lib/image.h"
#include "vdiskck/core/inflate.h"

enum { LEN = 100000, CAP = 2 * LEN };

static uint8_t text[LEN], packed[CAP], out[LEN];

static int make_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN; i++)
		text[i] = (uint8_t)(i * i / 999);
	return 0;
}

static size_t deflated(int bits)
{
	z_stream z = {.next_in = text, .avail_in = LEN, .next_out = packed, .avail_out = CAP};

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, bits, 9, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out;
}

static size_t packed_by(enum inflate_method m)
{
	if (m == INFLATE_ZSTD)
		return ZSTD_compress(packed, CAP, text, LEN, 3);
	return deflated(m == INFLATE_RAW ? -12 : 15);
}

static const enum inflate_method methods[] = {INFLATE_RAW, INFLATE_ZLIB, INFLATE_ZSTD};

static void what_was_packed_comes_out(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		size_t n = packed_by(methods[i]);

		memset(out, 0, LEN);
		assert_int_equal(inflate_exactly(methods[i], packed, n, out, LEN), 0);
		assert_memory_equal(out, text, LEN);
	}
}

static void bytes_behind_the_stream_do_not_matter(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		size_t n = packed_by(methods[i]);

		memset(packed + n, 0xa5, 600);
		assert_int_equal(inflate_exactly(methods[i], packed, n + 600, out, LEN), 0);
		assert_memory_equal(out, text, LEN);
	}
}

/* A stream that gives more than a cluster: the fast library refuses, zlib does not. */
static void the_first_bytes_of_a_longer_stream_are_enough(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		size_t n = packed_by(methods[i]);

		memset(out, 0, LEN);
		assert_int_equal(inflate_exactly(methods[i], packed, n, out, 65536), 0);
		assert_memory_equal(out, text, 65536);
	}
}

static void too_little_is_an_error(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		size_t n = packed_by(methods[i]);

		assert_int_equal(inflate_exactly(methods[i], packed, n / 2, out, LEN), -EBADMSG);
		assert_int_equal(inflate_exactly(methods[i], packed, 0, out, LEN), -EBADMSG);
		memset(packed, 0xff, 32);
		assert_int_equal(inflate_exactly(methods[i], packed, n, out, LEN), -EBADMSG);
	}
}

static void a_scratch_buffer_is_given_to_one_taker_at_a_time(void **state)
{
	char *a = scratch_take(100), *b = scratch_take(1000), *c;

	(void)state;
	assert_ptr_not_equal(a, b);
	memset(a, 1, 100);
	memset(b, 2, 1000);
	assert_int_equal(a[99], 1);
	scratch_give(a);
	scratch_give(b);
	c = scratch_take(900); /* the longer one was kept */
	assert_ptr_equal(c, b);
	scratch_give(c);
	scratch_give(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_packed_comes_out),
		cmocka_unit_test(bytes_behind_the_stream_do_not_matter),
		cmocka_unit_test(the_first_bytes_of_a_longer_stream_are_enough),
		cmocka_unit_test(too_little_is_an_error),
		cmocka_unit_test(a_scratch_buffer_is_given_to_one_taker_at_a_time),
	};

	return cmocka_run_group_tests(tests, make_text, NULL);
}
