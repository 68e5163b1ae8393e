/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/image.h"

#include <errno.h>
#include <stdio.h>

#include "vdiskck/core/text.h"

static void assert_size(uint64_t bytes, const char *want)
{
	char buf[SIZE_TEXT];

	assert_string_equal(size_text(bytes, buf), want);
}

static void sizes_without_a_decimal_are_exact(void **state)
{
	(void)state;
	assert_size(0, "0 B");
	assert_size(1, "1 B");
	assert_size(1023, "1023 B");
	assert_size(1024, "1 KiB");
	assert_size(5121, "5121 B");
	assert_size(2ull << 40, "2 TiB");
	assert_size(1ull << 60, "1 EiB");
}

static void sizes_with_a_decimal_are_never_more_than_there_is(void **state)
{
	(void)state;
	assert_size(1536, "1.5 KiB");
	assert_size(10239, "9.9 KiB");
	assert_size((1ull << 20) - 1, "1023.9 KiB");
	assert_size((2ull << 40) - 512, "1.9 TiB");
	assert_size((1ull << 30) + 1, "1.0 GiB");
	assert_size(UINT64_MAX, "15.9 EiB");
	for (uint64_t v = 1; v && v < UINT64_MAX / 3; v = v * 3 + 1) {
		char buf[SIZE_TEXT], u[4];
		unsigned a, b;

		if (sscanf(size_text(v, buf), "%u.%u %3s", &a, &b, u) == 3) {
			double unit = 1;

			for (const char *c = "KMGTPE"; *c; c++) {
				unit *= 1024;
				if (*c == u[0])
					break;
			}
			assert_true((a + b / 10.0) * unit <= (double)v * (1 + 1e-15));
			assert_true((a + (b + 1) / 10.0) * unit > (double)v * (1 - 1e-15));
		}
	}
}

static void assert_number(const char *text, uint64_t want)
{
	uint64_t v = 99;

	assert_int_equal(number_parse(text, &v, NULL), 0);
	assert_true(v == want);
}

static void numbers_are_read_with_their_suffixes(void **state)
{
	(void)state;
	assert_number("0", 0);
	assert_number("4096", 4096);
	assert_number("010", 10);
	assert_number("0xFFff", 65535);
	assert_number("0x10s", 16 * 512);
	assert_number("1s", 512);
	assert_number("2k", 2048);
	assert_number("2K", 2048);
	assert_number("3M", 3 << 20);
	assert_number("1g", 1 << 30);
	assert_number("2T", 2ull << 40);
	assert_number("18446744073709551615", UINT64_MAX);
	assert_number("0xffffffffffffffff", UINT64_MAX);
}

static void what_is_no_number_is_refused(void **state)
{
	static const char *const bad[] = {"",  " 1", "-1",  "+1",  "0x",  "0xg",
					  "k", "1x", "1kk", "1 k", "1.5", "1s2"};
	static const char *const big[] = {"18446744073709551616", "0x10000000000000000",
					  "36028797018963968s", "16777216T"};
	const char *end;
	uint64_t v;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(number_parse(bad[i], &v, NULL), -EINVAL);
	for (size_t i = 0; i < sizeof(big) / sizeof(big[0]); i++)
		assert_int_equal(number_parse(big[i], &v, NULL), -ERANGE);
	assert_int_equal(number_parse("64k+512", &v, &end), 0);
	assert_int_equal(v, 65536);
	assert_string_equal(end, "+512");
}

static const char *escape(const char *name, size_t len)
{
	static char out[256];

	return name_escape(name, len, out, sizeof(out));
}

static void names_that_print_stay(void **state)
{
	(void)state;
	assert_string_equal(escape("plain name.txt", 14), "plain name.txt");
	assert_string_equal(escape("gr\xc3\xbc\xc3\x9f", 6), "gr\xc3\xbc\xc3\x9f");
	assert_string_equal(escape("\xf0\x9f\x90\xa7", 4), "\xf0\x9f\x90\xa7");
	assert_string_equal(escape("", 0), "");
}

static void names_that_do_something_are_escaped(void **state)
{
	(void)state;
	assert_string_equal(escape("a\x1b[2Jb\n", 7), "a\\x1b[2Jb\\x0a");
	assert_string_equal(escape("a\\x1b", 5), "a\\\\x1b");
	assert_string_equal(escape("a\0b", 3), "a\\x00b");
	/* bidi override, zero width space, next line (C1), byte order mark */
	assert_string_equal(escape("\xe2\x80\xae", 3), "\\xe2\\x80\\xae");
	assert_string_equal(escape("\xe2\x80\x8b", 3), "\\xe2\\x80\\x8b");
	assert_string_equal(escape("\xc2\x85", 2), "\\xc2\\x85");
	assert_string_equal(escape("\xef\xbb\xbf", 3), "\\xef\\xbb\\xbf");
	/* invalid: stray, overlong (of a backslash), surrogate, beyond Unicode, cut short */
	assert_string_equal(escape("\x80z", 2), "\\x80z");
	assert_string_equal(escape("\xc1\x9c", 2), "\\xc1\\x9c");
	assert_string_equal(escape("\xed\xa0\x80", 3), "\\xed\\xa0\\x80");
	assert_string_equal(escape("\xf4\x90\x80\x80", 4), "\\xf4\\x90\\x80\\x80");
	assert_string_equal(escape("\xe2\x82", 2), "\\xe2\\x82");
}

/* What name_escape() did, undone. */
static size_t unescape(const char *s, char *out)
{
	size_t n = 0;

	while (*s) {
		unsigned v;

		if (s[0] == '\\' && s[1] == '\\') {
			out[n++] = '\\';
			s += 2;
		} else if (s[0] == '\\') {
			assert_int_equal(sscanf(s, "\\x%2x", &v), 1);
			out[n++] = (char)v;
			s += 4;
		} else {
			out[n++] = *s++;
		}
	}
	return n;
}

static void escaping_can_be_undone_and_leaves_nothing_dangerous(void **state)
{
	uint32_t x = 3;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		char name[24], out[200], back[200];
		size_t len = (size_t)i % sizeof(name);

		for (size_t k = 0; k < len; k++) {
			static const char likely[] = "\\x\x1b\xe2\x80\xae\xc3\xbc\xf0\x9f\x90\xa7";

			x = x * 1664525 + 1013904223;
			name[k] = x >> 31 ? likely[(x >> 16) % (sizeof(likely) - 1)]
					  : (char)(x >> 16);
		}
		name_escape(name, len, out, sizeof(out));
		for (const char *c = out; *c; c++)
			assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
		assert_int_equal(unescape(out, back), len);
		assert_memory_equal(back, name, len);
	}
}

static void a_cut_name_ends_at_a_whole_character(void **state)
{
	static const char name[] = "a\\\x01\xc3\xbc\xf0\x9f\x90\xa7z";
	static const char whole[] = "a\\\\\\x01\xc3\xbc\xf0\x9f\x90\xa7z";
	static const size_t ends[] = {0, 1, 3, 7, 9, 13, 14};
	char out[32];

	(void)state;
	for (size_t cap = 1; cap < 20; cap++) {
		size_t want = 0;

		memset(out, 'Q', sizeof(out));
		name_escape(name, sizeof(name) - 1, out, cap);
		for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
			if (ends[i] < cap)
				want = ends[i];
		assert_int_equal(strlen(out), want);
		assert_memory_equal(out, whole, want);
		assert_int_equal(out[cap], 'Q');
	}
}

static void utf16_is_read_in_both_byte_orders(void **state)
{
	static const uint8_t le[] = {'a',  0,	 0xfc, 0, 0xac, 0x20, 0x3d,
				     0xd8, 0x27, 0xdc, 0, 0,	'x',  0};
	static const uint8_t be[] = {0, 'a', 0, 0xfc, 0x20, 0xac, 0xd8, 0x3d, 0xdc, 0x27};
	static const char want[] = "a\xc3\xbc\xe2\x82\xac\xf0\x9f\x90\xa7";
	char out[32];

	(void)state;
	assert_string_equal(utf16_text(le, sizeof(le) / 2, 0, out, sizeof(out)), want);
	assert_string_equal(utf16_text(be, sizeof(be) / 2, 1, out, sizeof(out)), want);
	/* cut: no half character */
	assert_string_equal(utf16_text(le, 5, 0, out, 10), "a\xc3\xbc\xe2\x82\xac");
	assert_string_equal(utf16_text(le, 5, 0, out, 1), "");
}

static void lone_surrogates_are_kept_and_shown(void **state)
{
	static const uint8_t high_end[] = {'a', 0, 0x3d, 0xd8};
	static const uint8_t low_first[] = {0x27, 0xdc, 0x3d, 0xd8, 'b', 0};
	char out[32];

	(void)state;
	assert_string_equal(utf16_text(high_end, 2, 0, out, sizeof(out)), "a\xed\xa0\xbd");
	assert_string_equal(utf16_text(low_first, 3, 0, out, sizeof(out)),
			    "\xed\xb0\xa7\xed\xa0\xbd"
			    "b");
	assert_string_equal(escape("\xed\xa0\xbd", 3), "\\xed\\xa0\\xbd");
}

static void guids_are_written_in_both_orders(void **state)
{
	static const uint8_t g[16] = {0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11,
				      0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b};
	char buf[GUID_TEXT];
	uint8_t back[16];

	(void)state;
	/* the EFI system partition as it stands in a GPT */
	assert_string_equal(guid_text_le(g, buf), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
	assert_string_equal(guid_text_be(g, buf), "28732ac1-1ff8-d211-ba4b-00a0c93ec93b");
	assert_true(guid_parse_le("{C12A7328-F81F-11d2-BA4B-00A0C93EC93B}", 38, back));
	assert_memory_equal(back, g, 16);
	assert_true(guid_parse_le("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", 36, back));
	assert_false(guid_parse_le("c12a7328-f81f-11d2-ba4b-00a0c93ec93", 35, back));
	assert_false(guid_parse_le("c12a7328-f81f-11d2-ba4b-00a0c93ec93g", 36, back));
	assert_false(guid_parse_le("c12a7328+f81f-11d2-ba4b-00a0c93ec93b", 36, back));
	assert_false(guid_parse_le("c12a7328-f81f-11d2-ba4b-00a0c93ec9\0b", 36, back));
}

static void times_are_rfc_3339_or_a_number(void **state)
{
	char buf[TIME_TEXT];

	(void)state;
	assert_string_equal(time_text(0, 0, buf), "1970-01-01T00:00:00Z");
	assert_string_equal(time_text(946684800, 0, buf), "2000-01-01T00:00:00Z"); /* VHD's epoch */
	assert_string_equal(time_text(-1, 500000000, buf), "1969-12-31T23:59:59.500000000Z");
	assert_string_equal(time_text(253402300799, 0, buf), "9999-12-31T23:59:59Z");
	assert_string_equal(time_text(253402300800, 0, buf), "@253402300800");
	assert_string_equal(time_text(INT64_MIN, UINT32_MAX, buf), "@-9223372036854775808");
	assert_string_equal(time_text(-62135596800, 0, buf), "0001-01-01T00:00:00Z");
}

static void base64_is_that_of_the_rfc(void **state)
{
	/* RFC 4648, section 10, and what is none. */
	static const struct {
		const char *text, *bytes;
	} v[] = {{"", ""},
		 {"Zg==", "f"},
		 {"Zm8=", "fo"},
		 {"Zm9v", "foo"},
		 {"Zm9vYg==", "foob"},
		 {"Zm9vYmE=", "fooba"},
		 {"Zm9vYmFy", "foobar"},
		 {"Zm9v\nYmFy\r\n", "foobar"},
		 {"Zm 9v", ""},
		 {"Zm9-", ""},
		 {"Zm9vYmFyYg==", ""}};
	uint8_t out[6];

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
		size_t n = base64_bytes(v[i].text, out, sizeof(out));

		assert_int_equal(n, strlen(v[i].bytes));
		assert_memory_equal(out, v[i].bytes, n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_without_a_decimal_are_exact),
		cmocka_unit_test(sizes_with_a_decimal_are_never_more_than_there_is),
		cmocka_unit_test(numbers_are_read_with_their_suffixes),
		cmocka_unit_test(what_is_no_number_is_refused),
		cmocka_unit_test(names_that_print_stay),
		cmocka_unit_test(names_that_do_something_are_escaped),
		cmocka_unit_test(escaping_can_be_undone_and_leaves_nothing_dangerous),
		cmocka_unit_test(a_cut_name_ends_at_a_whole_character),
		cmocka_unit_test(utf16_is_read_in_both_byte_orders),
		cmocka_unit_test(lone_surrogates_are_kept_and_shown),
		cmocka_unit_test(guids_are_written_in_both_orders),
		cmocka_unit_test(base64_is_that_of_the_rfc),
		cmocka_unit_test(times_are_rfc_3339_or_a_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
