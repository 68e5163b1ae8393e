/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/image.h"

#include <ctype.h>
#include <stdio.h>

#include "vdiskck/core/findings.h"

static void names_are_as_users_type_them_and_found_again(void **state)
{
	(void)state;
	assert_string_equal(finding_name(SOURCE_UNREADABLE), "source-unreadable");
	assert_string_equal(finding_name(LAYER_READ_PAST_END), "layer-read-past-end");
	for (size_t i = 0; i < FINDING_COUNT; i++) {
		const char *name = finding_name((enum finding_id)i);

		assert_true(strlen(name) > 3);
		for (const char *c = name; *c; c++)
			assert_true(islower((unsigned char)*c) || isdigit((unsigned char)*c) ||
				    *c == '-');
		/* Unique: an earlier one of that name would be found instead. */
		assert_int_equal(finding_lookup(name), i);
	}
	assert_int_equal(finding_lookup("no-such-finding"), FINDING_COUNT);
	assert_int_equal(finding_lookup(""), FINDING_COUNT);
}

static void assert_sentence(const char *name, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	if (len < 10 || text[len - 1] == '.' || isspace((unsigned char)text[len - 1]) ||
	    isspace((unsigned char)text[0]) || strstr(text, "  "))
		fail_msg("%s: \"%s\"", name, text);
}

static void each_has_a_meaning_and_an_advice(void **state)
{
	(void)state;
	for (size_t i = 0; i < FINDING_COUNT; i++) {
		enum finding_id id = (enum finding_id)i;

		assert_sentence(finding_name(id), finding_meaning(id));
		assert_sentence(finding_name(id), finding_advice(id));
		assert_string_not_equal(finding_meaning(id), finding_advice(id));
		assert_in_range(finding_severity(id), INFO, UNDECIDED);
	}
}

static void severities_have_the_names_of_the_interface(void **state)
{
	(void)state;
	assert_string_equal(severity_name(INFO), "info");
	assert_string_equal(severity_name(BLEMISH), "blemish");
	assert_string_equal(severity_name(DAMAGE), "damage");
	assert_string_equal(severity_name(UNDECIDED), "info");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_as_users_type_them_and_found_again),
		cmocka_unit_test(each_has_a_meaning_and_an_advice),
		cmocka_unit_test(severities_have_the_names_of_the_interface),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
