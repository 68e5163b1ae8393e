/* SPDX-License-Identifier: Apache-2.0 */
/* The source itself, so that the table is tested on machines that never use it. */
#include "vdiskck/core/sum.c"

#include "tests/lib/image.h"

static void crc32_has_the_known_value(void **state)
{
	(void)state;
	assert_int_equal(sum_crc32(0, "123456789", 9), 0xcbf43926);
	assert_int_equal(sum_crc32(sum_crc32(0, "1234", 4), "56789", 5), 0xcbf43926);
	assert_int_equal(sum_crc32(0, "", 0), 0);
}

static void crc32c_has_the_known_values(void **state)
{
	uint8_t b[32] = {0};

	(void)state;
	/* RFC 3720, B.4 */
	assert_true(~sum_crc32c(~0u, b, 32) == 0x8a9136aa);
	memset(b, 0xff, 32);
	assert_true(~sum_crc32c(~0u, b, 32) == 0x62a8ab43);
	for (uint8_t i = 0; i < 32; i++)
		b[i] = i;
	assert_true(~sum_crc32c(~0u, b, 32) == 0x46dd794e);
	assert_true(~sum_crc32c(~0u, "123456789", 9) == 0xe3069283);
	assert_true(~crc32c_table(~0u, (const uint8_t *)"123456789", 9) == 0xe3069283);
}

static void hardware_and_table_agree_at_every_length_and_place(void **state)
{
	uint8_t b[80];
	uint32_t x = 5;

	(void)state;
	for (size_t i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
	for (size_t from = 0; from < 9; from++)
		for (size_t len = 0; from + len <= sizeof(b); len++)
			assert_int_equal(sum_crc32c(x, b + from, len),
					 crc32c_table(x, b + from, len));
	assert_int_equal(sum_crc32c(sum_crc32c(1, b, 13), b + 13, 30), sum_crc32c(1, b, 43));
}

static void many_at_once_are_as_one_by_one(void **state)
{
	uint8_t b[11 * 72];
	uint32_t crc[12];

	(void)state;
	for (size_t i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)(i * 2654435761u >> 9);
	for (size_t len = 0; len <= 72; len++)
		for (size_t n = 0; n <= 11; n++) {
			crc[n] = 0x12345678;
			sum_crc32c_each(b, len, n, crc);
			for (size_t i = 0; i < n; i++)
				assert_int_equal(crc[i],
						 (uint32_t)~crc32c_table(~0u, b + i * len, len));
			assert_int_equal(crc[n], 0x12345678);
		}
}

static void bytes_are_added_up(void **state)
{
	static uint8_t b[1 << 17];

	(void)state;
	assert_int_equal(sum_bytes("\x01\x02\xff", 3), 0x102);
	memset(b, 0xff, sizeof(b));
	assert_int_equal(sum_bytes(b, sizeof(b)), 0xffu << 17);
	assert_int_equal(sum_bytes(b, 0), 0);
}

static void any_byte_that_is_not_zero_is_seen(void **state)
{
	uint8_t b[100] = {0};

	(void)state;
	for (size_t len = 0; len <= sizeof(b); len++) {
		assert_true(all_zero(b, len));
		for (size_t i = 0; i < sizeof(b); i++) {
			b[i] = 1;
			assert_int_equal(!!all_zero(b, len), i >= len);
			b[i] = 0;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc32_has_the_known_value),
		cmocka_unit_test(crc32c_has_the_known_values),
		cmocka_unit_test(hardware_and_table_agree_at_every_length_and_place),
		cmocka_unit_test(many_at_once_are_as_one_by_one),
		cmocka_unit_test(bytes_are_added_up),
		cmocka_unit_test(any_byte_that_is_not_zero_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
