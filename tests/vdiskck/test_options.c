/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/image.h"

#include <errno.h>

#include "vdiskck/options.h"
#include "vdiskck/progress.h"

static void addresses_have_an_offset_and_perhaps_a_length(void **state)
{
	uint64_t off, len;

	(void)state;
	assert_int_equal(address_parse("0x10", &off, &len), 0);
	assert_int_equal(off, 16);
	assert_int_equal(len, 1);
	assert_int_equal(address_parse("3s+1k", &off, &len), 0);
	assert_int_equal(off, 1536);
	assert_int_equal(len, 1024);
	assert_int_equal(address_parse("16777215T+16777215T", &off, &len), -ERANGE);
	assert_int_equal(address_parse("99999999999999999999", &off, &len), -ERANGE);
}

static void addresses_that_are_none_are_refused(void **state)
{
	static const char *const bad[] = {"",	"+",  "1+", "+1", "1+0",
					  "-1", "1 ", "0x", "1q", "1+2+3"};
	uint64_t off, len;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(address_parse(bad[i], &off, &len), -EINVAL);
}

static void the_nearest_word_is_a_likely_slip_or_none(void **state)
{
	static const char *const words[] = {"check", "info", "locate", "export", NULL};

	(void)state;
	assert_string_equal(nearest_word("chekc", words), "check");
	assert_string_equal(nearest_word("loc", words), "locate");
	assert_string_equal(nearest_word("exprot", words), "export");
	assert_null(nearest_word("frobnicate", words));
	assert_null(nearest_word("", words));
}

static void progress_says_how_much_how_fast_and_how_long_yet(void **state)
{
	char line[160];

	(void)state;
	progress_text(line, sizeof(line), "reading", 512 << 20, 1 << 30, 0, 2000000000);
	assert_string_equal(line, "reading  512 MiB of 1 GiB  50%  256 MiB/s  2 s left");
	progress_text(line, sizeof(line), "reading", 1 << 20, 0, 0, 1000000000);
	assert_string_equal(line, "reading  1 MiB  1 MiB/s");
	progress_text(line, sizeof(line), "reading", 0, 1 << 30, 0, 0);
	assert_non_null(strstr(line, "0%"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_have_an_offset_and_perhaps_a_length),
		cmocka_unit_test(addresses_that_are_none_are_refused),
		cmocka_unit_test(the_nearest_word_is_a_likely_slip_or_none),
		cmocka_unit_test(progress_says_how_much_how_fast_and_how_long_yet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
