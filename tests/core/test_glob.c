/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vdiskck/core/glob.h"

static void stars_stay_within_a_folder(void **state)
{
	(void)state;
	assert_true(glob_match("/a/*.txt", "/a/b.txt", 0));
	assert_true(glob_match("/a/*", "/a/b", 0));
	assert_false(glob_match("/a/*", "/a/b/c", 0));
	assert_true(glob_match("/*/c", "/b/c", 0));
	assert_false(glob_match("/*c", "/b/c", 0));
	assert_true(glob_match("/a*b*c", "/aXbXbc", 0));
	assert_false(glob_match("/a?c", "/a/c", 0));
	assert_true(glob_match("/a?c",
			       "/a\xc3\xa4"
			       "c",
			       0));
	assert_false(glob_match("/a*", "/b", 0));
	assert_false(glob_match("", "/", 0));
}

static void double_stars_cross_folders(void **state)
{
	(void)state;
	assert_true(glob_match("/**/x", "/x", 0));
	assert_true(glob_match("/**/x", "/a/b/x", 0));
	assert_false(glob_match("/**/x", "/a/bx", 0));
	assert_true(glob_match("**/x", "/x", 0));
	assert_true(glob_match("/a/**", "/a/b/c", 0));
	assert_true(glob_match("/**/*.evtx", "/W/L/x.evtx", 0));
	assert_true(glob_match("/**/a/*b/**/c", "/q/a/a/bb/1/2/c", 0));
	assert_false(glob_match("/**/a/*b/**/c", "/q/a/a/bb/1/2/d", 0));
	assert_true(glob_match("/a/**/b/*/c", "/a/b/b/x/c", 0));
}

static void sets_hold_characters(void **state)
{
	(void)state;
	assert_true(glob_match("/[a-c]x", "/bx", 0));
	assert_false(glob_match("/[!a-c]x", "/bx", 0));
	assert_true(glob_match("/[]]x", "/]x", 0));
	assert_false(glob_match("/[/]x", "//x", 0));
	assert_true(glob_match("/[\xc3\xa0-\xc3\xa6]", "/\xc3\xa4", 0));
	assert_true(glob_match("/[x", "/[x", 0)); /* no set: stands for itself */
	assert_true(glob_match("/[A-C]", "/b", GLOB_NOCASE));
}

static void case_is_that_of_unicode(void **state)
{
	(void)state;
	assert_true(glob_match("/WINDOWS/\xc3\x84*", "/Windows/\xc3\xa4x", GLOB_NOCASE));
	assert_false(glob_match("/WINDOWS", "/Windows", 0));
	assert_true(glob_match("/\xd0\x96", "/\xd0\xb6", GLOB_NOCASE));
	/* Bytes that are not UTF-8 are themselves, and no others. */
	assert_true(glob_match("/\xff*", "/\xff\xfe", GLOB_NOCASE));
	assert_false(glob_match("/\xfe", "/\xff", GLOB_NOCASE));
	assert_false(glob_match("/a*b", "/a\xc0\xaf/b", 0));
	assert_true(glob_match("/a*b",
			       "/a\xc0\xaf"
			       "b",
			       0));
}

static void a_backslash_takes_the_meaning_away(void **state)
{
	(void)state;
	assert_true(glob_match("/\\*", "/*", GLOB_ESCAPE));
	assert_false(glob_match("/\\*", "/a", GLOB_ESCAPE));
	assert_int_equal(glob_special("/a/\\*/b*", GLOB_ESCAPE), 7);
	assert_int_equal(glob_special("/a/b", 0), 4);
	assert_int_equal(glob_special("/a[b", 0), 2);
}

static void below_a_match_is_a_match(void **state)
{
	(void)state;
	assert_true(glob_match("/a*", "/ab/c/d", GLOB_BELOW));
	assert_true(glob_match("/a/b", "/a/b/c", GLOB_BELOW));
	assert_false(glob_match("/a/b", "/a/bc", GLOB_BELOW));
	assert_true(glob_match("/**/log", "/var/log/x/y", GLOB_BELOW));
}

/* Exponential in a naive matcher: must end. */
static void many_stars_take_bounded_time(void **state)
{
	char path[2001], pattern[401];

	(void)state;
	memset(path, 'a', sizeof(path) - 1);
	path[0] = '/';
	path[2000] = '\0';
	for (size_t i = 0; i < 400; i += 4)
		memcpy(pattern + i, i % 8 ? "a**a" : "*a*a", 4);
	memcpy(pattern + 399, "b", 2);
	assert_false(glob_match(pattern, path, GLOB_NOCASE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stars_stay_within_a_folder),
		cmocka_unit_test(double_stars_cross_folders),
		cmocka_unit_test(sets_hold_characters),
		cmocka_unit_test(case_is_that_of_unicode),
		cmocka_unit_test(a_backslash_takes_the_meaning_away),
		cmocka_unit_test(below_a_match_is_a_match),
		cmocka_unit_test(many_stars_take_bounded_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
