/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/image.h"

#include <math.h>

#include "vdiskck/core/json.h"

static void members_keep_their_order_and_numbers_their_size(void **state)
{
	struct json *j = js_object(), *a = js_array();

	(void)state;
	js_str(j, "z", "text");
	js_u64(j, "big", UINT64_MAX);
	js_int(j, "low", INT64_MIN);
	js_bool(j, "yes", true);
	js_real(j, "pi", 3.14159);
	js_add_str(a, "one");
	js_add(a, js_object());
	js_put(j, "list", a);
	js_strf(j, "a", "%d/%s", 7, "x");
	assert_string_equal(js_line(j), "{\"z\":\"text\",\"big\":18446744073709551615,"
					"\"low\":-9223372036854775808,\"yes\":true,\"pi\":3.142,"
					"\"list\":[\"one\",{}],\"a\":\"7/x\"}");
	js_free(j);
}

static void a_line_is_one_line_of_ascii_safe_utf8(void **state)
{
	struct json *j = js_object();

	(void)state;
	js_str(j, "quotes", "a\"b\\c/d\n\x01");
	js_str(j, "utf8", "gr\xc3\xbc\xc3\x9f");
	js_str(j, "bytes", "\xff\\");
	js_str(j, "overlong", "\xc0\xaf");
	js_str(j, "surrogate", "\xed\xa0\x80");
	js_str(j, "cut", "\xe2\x82");
	js_str(j, "high", "\xf4\x90\x80\x80");
	assert_string_equal(js_line(j), "{\"quotes\":\"a\\\"b\\\\c/d\\n\\u0001\","
					"\"utf8\":\"gr\xc3\xbc\xc3\x9f\","
					"\"bytes\":\"\\\\xff\\\\\\\\\","
					"\"overlong\":\"\\\\xc0\\\\xaf\","
					"\"surrogate\":\"\\\\xed\\\\xa0\\\\x80\","
					"\"cut\":\"\\\\xe2\\\\x82\","
					"\"high\":\"\\\\xf4\\\\x90\\\\x80\\\\x80\"}");
	js_free(j);
}

static void what_json_has_no_word_for_is_null(void **state)
{
	struct json *j = js_object(), *back;
	const char *line;

	(void)state;
	js_real(j, "inf", INFINITY);
	js_real(j, "nan", NAN);
	js_real(j, "huge", 1e308);
	line = js_line(j);
	assert_memory_equal(line, "{\"inf\":null,\"nan\":null,\"huge\":1", 31);
	back = js_parse(line, strlen(line));
	assert_non_null(back);
	assert_int_equal(js_kind(js_get(back, "huge")), JSON_NUMBER);
	js_free(back);
	js_free(j);
}

static void each(void *arg, const char *key, struct json *v)
{
	strcat(strcat(strcat(strcat(arg, key), "="), v ? js_text(v) : "null"), " ");
}

static void what_was_parsed_can_be_asked(void **state)
{
	static const char text[] =
		"{\"s\":\"x\",\"n\":18446744073709551615,\"neg\":-1,\"d\":\"4096\","
		"\"f\":1.5,\"o\":{\"k\":null},\"a\":[1,2]} \n";
	struct json *j = js_parse(text, sizeof(text)); /* with its NUL, as from a padded area */
	char seen[256] = "";
	uint64_t v;

	(void)state;
	assert_non_null(j);
	assert_string_equal(js_text(js_get(j, "s")), "x");
	assert_true(js_to_u64(js_get(j, "n"), &v) && v == UINT64_MAX);
	assert_true(js_to_u64(js_get(j, "d"), &v) && v == 4096);
	assert_false(js_to_u64(js_get(j, "neg"), &v));
	assert_false(js_to_u64(js_get(j, "f"), &v));
	assert_false(js_to_u64(js_get(j, "s"), &v));
	assert_false(js_to_u64(NULL, &v));
	assert_null(js_get(j, "none"));
	assert_null(js_get(js_get(j, "s"), "s"));
	assert_null(js_get(js_get(j, "o"), "k"));
	assert_int_equal(js_len(js_get(j, "a")), 2);
	assert_int_equal(js_len(js_get(j, "o")), 0);
	assert_null(js_at(js_get(j, "a"), 2));
	assert_null(js_text(NULL));
	js_each(j, each, seen);
	assert_non_null(strstr(seen, "s=x n=18446744073709551615 neg=-1 d=4096 f=1.5 o="));
	js_each(js_get(j, "a"), each, seen);
	js_free(j);
}

static void what_is_no_json_is_refused(void **state)
{
	static const char *const bad[] = {"",	  "{",	 "{\"a\":}", "[1,2",	  "{} x",
					  "{}{}", "nul", "\"open",   "{\"a\" 1}", "\xff\xfe"};
	char deep[200];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_null(js_parse(bad[i], strlen(bad[i])));
	for (size_t depth = 1; depth < 90; depth++) {
		struct json *j;

		memset(deep, '[', depth);
		memset(deep + depth, ']', depth);
		j = js_parse(deep, 2 * depth);
		assert_int_equal(j != NULL, depth <= 32);
		js_free(j);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_keep_their_order_and_numbers_their_size),
		cmocka_unit_test(a_line_is_one_line_of_ascii_safe_utf8),
		cmocka_unit_test(what_json_has_no_word_for_is_null),
		cmocka_unit_test(what_was_parsed_can_be_asked),
		cmocka_unit_test(what_is_no_json_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
