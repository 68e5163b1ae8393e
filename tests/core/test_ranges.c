/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/image.h"
#include "vdiskck/core/ranges.h"

static void neighbours_of_one_reason_are_joined(void **state)
{
	struct ranges r = {0};

	(void)state;
	assert_int_equal(ranges_add(&r, 0, 512, GRADE_LOST, SOURCE_UNREADABLE), 0);
	assert_int_equal(ranges_add(&r, 512, 512, GRADE_LOST, SOURCE_UNREADABLE), 0);
	assert_int_equal(ranges_add(&r, 1024, 512, GRADE_LOST, SOURCE_BAD_MAP), 0);
	assert_int_equal(r.n, 2);
	assert_int_equal(r.v[0].len, 1024);
	ranges_free(&r);
}

static void sorting_joins_overlaps_and_counts_once(void **state)
{
	struct ranges r = {0};

	(void)state;
	ranges_add(&r, 4096, 4096, GRADE_LOST, SOURCE_UNREADABLE);
	ranges_add(&r, 0, 6000, GRADE_LOST, SOURCE_UNREADABLE);
	ranges_add(&r, 100, 100, GRADE_DOUBTFUL, SOURCE_BAD_MAP);
	ranges_sort(&r);
	assert_int_equal(ranges_bytes(&r, GRADE_LOST), 8192);
	assert_int_equal(ranges_bytes(&r, GRADE_DOUBTFUL), 100);
	assert_true(ranges_overlap(&r, 8191, 1));
	assert_false(ranges_overlap(&r, 8192, 1));
	ranges_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(neighbours_of_one_reason_are_joined),
		cmocka_unit_test(sorting_joins_overlaps_and_counts_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
