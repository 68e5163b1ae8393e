/* SPDX-License-Identifier: Apache-2.0 */
/* Many sectors side by side are what each of them is by itself; and the way back. */
#include "crypto/elephant.h"

#include "tests/lib/image.h"

static void many_are_as_each_alone(void **state)
{
	static const size_t lens[] = {512, 4096, 8192};
	static uint8_t one[21 * 8192], many[21 * 8192], keys[21 * 32];

	(void)state;
	for (size_t l = 0; l < 3; l++)
		for (size_t n = 0; n <= 21; n++) {
			for (size_t i = 0; i < n * lens[l]; i++)
				one[i] = many[i] = (uint8_t)(i * i * 31 + i * 7 + (i >> 9) + n);
			for (size_t i = 0; i < n * 32; i++)
				keys[i] = (uint8_t)(i * 101 + n);
			for (size_t i = 0; i < n; i++)
				elephant_undo(one + i * lens[l], lens[l], keys + 32 * i);
			elephant_undo_many(many, lens[l], n, keys);
			assert_memory_equal(one, many, n * lens[l]);
		}
}

static void the_way_back_leads_back(void **state)
{
	static uint8_t a[4096], b[4096], key[32] = {7, 1};

	(void)state;
	for (size_t len = 512; len <= 4096; len *= 2) {
		for (size_t i = 0; i < len; i++)
			a[i] = b[i] = (uint8_t)(i * 13 + i / 3);
		elephant_do(b, len, key);
		assert_true(memcmp(a, b, len) != 0);
		elephant_undo(b, len, key);
		assert_memory_equal(a, b, len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_are_as_each_alone),
		cmocka_unit_test(the_way_back_leads_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
