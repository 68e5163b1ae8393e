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

static void flattening_leaves_each_byte_in_one_range_lost_first(void **state)
{
	struct ranges r = {0};

	(void)state;
	ranges_add(&r, 0, 1000, GRADE_DOUBTFUL, SOURCE_CHANGED);
	ranges_add(&r, 200, 100, GRADE_LOST, SOURCE_UNREADABLE);
	ranges_add(&r, 250, 100, GRADE_LOST, SOURCE_BAD_MAP);
	ranges_add(&r, 900, 200, GRADE_DOUBTFUL, SOURCE_SHRANK);
	assert_int_equal(ranges_flatten(&r), 0);
	assert_int_equal(r.n, 5);
	for (size_t i = 1; i < r.n; i++)
		assert_int_equal(r.v[i - 1].off + r.v[i - 1].len, r.v[i].off);
	assert_int_equal(r.v[1].grade, GRADE_LOST);
	assert_int_equal(r.v[1].off, 200);
	assert_int_equal(r.v[2].why, SOURCE_BAD_MAP);
	assert_int_equal(r.v[2].off, 300);
	assert_int_equal(r.v[3].grade, GRADE_DOUBTFUL);
	assert_int_equal(r.v[4].why, SOURCE_SHRANK);
	assert_int_equal(r.v[4].off + r.v[4].len, 1100);
	ranges_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(neighbours_of_one_reason_are_joined),
		cmocka_unit_test(sorting_joins_overlaps_and_counts_once),
		cmocka_unit_test(flattening_leaves_each_byte_in_one_range_lost_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
