/* SPDX-License-Identifier: Apache-2.0 */
/* VHD: an entry of the table or a block is damaged: what the check says, and what it costs. */
#include "tests/lib/vhd_case.h"

enum {
	BLOCK = VHD_CASE_BLOCK,
	HEADER = VHD_CASE_HEADER,
	BAT = VHD_CASE_BAT,
};

static void bat_entry_behind_the_end(void **state)
{
	struct image *img = vhd_build(&vhd_plain);

	(void)state;
	vhd_bat(img, 5, UINT64_C(512) * 0xffff00);
	vhd_checked(img);
	assert_finding(img, VHD_BAT_PAST_END, BAT + 5 * 4);
	vhd_assert_costs(img, VHD_BAT_PAST_END, 5 * BLOCK, BLOCK);
	assert_lost(img, 5 * BLOCK, BLOCK, VHD_BAT_PAST_END);
	assert_readable(img, 0, 5 * BLOCK);
	assert_readable(img, 6 * BLOCK, 2 * BLOCK);
	/* Its block is still there, and its place in the disk is the only free one. */
	assert_int_equal(image_seen(img, VHD_BLOCK_ORPHAN, ANYWHERE), 1);
	image_free(img);
}

static void bat_entry_over_the_table(void **state)
{
	struct image *img = vhd_build(&vhd_plain);

	(void)state;
	vhd_bat(img, 3, 512);
	vhd_checked(img);
	assert_finding(img, VHD_BAT_METADATA, BAT + 3 * 4);
	assert_lost(img, 3 * BLOCK, BLOCK, VHD_BAT_METADATA);
	vhd_assert_filled(img, 0, BLOCK, 1);
	image_free(img);
}

static void bat_entries_that_share_a_block(void **state)
{
	struct image *img = vhd_build(&vhd_plain);
	struct ranges bad = {0};
	uint8_t buf[512];

	(void)state;
	vhd_bat(img, 7, vhd_block(img, 0));
	vhd_checked(img);
	assert_finding(img, VHD_BAT_OVERLAP, BAT);
	assert_finding(img, VHD_BAT_OVERLAP, BAT + 7 * 4);
	layer_read(img->top, 7 * BLOCK, buf, 512, &bad);
	assert_int_equal(bad.n, 1);
	assert_int_equal(bad.v[0].grade, GRADE_DOUBTFUL);
	assert_int_equal(buf[0], 1);
	ranges_free(&bad);
	image_free(img);
}

static void bat_entries_that_overlap_in_part(void **state)
{
	struct image *img = vhd_build(&vhd_plain);

	(void)state;
	vhd_bat(img, 6, vhd_block(img, 0) + 1024);
	vhd_checked(img);
	assert_finding(img, VHD_BAT_OVERLAP, BAT);
	assert_finding(img, VHD_BAT_OVERLAP, BAT + 5 * 4); /* 5 and 6: the next one is hit, too */
	image_free(img);
}

static void bat_with_too_few_entries(void **state)
{
	struct image *img = vhd_build(&vhd_plain);

	(void)state;
	image_be32(img, HEADER + 0x1c, 5);
	vhd_sums(img);
	vhd_checked(img);
	assert_finding(img, VHD_BAT_SHORT, HEADER + 0x1c);
	vhd_assert_costs(img, VHD_BAT_SHORT, 5 * BLOCK, 3 * BLOCK);
	assert_lost(img, 5 * BLOCK, 3 * BLOCK, VHD_BAT_SHORT);
	vhd_assert_filled(img, 3 * BLOCK, BLOCK, 3);
	image_free(img);
}

static void bat_cut_off_by_the_end_of_the_file(void **state)
{
	struct vhd_spec s = {.block_size = 512, .size = 512 * 1000, .write = {{0, 512, 1}}};
	struct image *img = vhd_build(&s);

	(void)state;
	image_resize(img, BAT + 100 * 4);
	vhd_checked(img);
	assert_finding(img, VHD_BAT_LOST, BAT + 100 * 4);
	vhd_assert_costs(img, VHD_BAT_LOST, 100 * 512, 900 * 512);
	assert_lost(img, 100 * 512, 900 * 512, VHD_BAT_LOST);
	assert_readable(img, 512, 99 * 512);
	image_free(img);
}

static void bat_entries_behind_the_disk(void **state)
{
	struct vhd_spec s = vhd_plain;
	struct image *img;

	(void)state;
	s.entries = 20;
	img = vhd_build(&s);
	vhd_checked(img);
	assert_clean(img);
	vhd_bat(img, 15, vhd_end(img) - 4096);
	vhd_checked(img);
	assert_finding(img, VHD_BAT_BEYOND_DISK, BAT + 15 * 4);
	vhd_assert_contents(img);
	image_free(img);
}

static void file_that_ends_inside_a_block(void **state)
{
	struct image *img = vhd_build(&vhd_plain);
	uint64_t data = vhd_block(img, 5) + 512;

	(void)state;
	image_resize(img, data + 4096);
	vhd_checked(img);
	assert_finding(img, VHD_BLOCK_TRUNCATED, BAT + 5 * 4);
	vhd_assert_costs(img, VHD_BLOCK_TRUNCATED, 5 * BLOCK + 4096, BLOCK - 4096);
	assert_lost(img, 5 * BLOCK + 4096, BLOCK - 4096, VHD_BLOCK_TRUNCATED);
	vhd_assert_filled(img, 5 * BLOCK, 1024, 5);
	image_free(img);
}

static void table_of_garbage_is_told_in_few_words(void **state)
{
	struct vhd_spec s = {.block_size = 512, .size = 512 * 4000, .write = {{0, 512, 1}}};
	struct image *img = vhd_build(&s);

	(void)state;
	for (uint32_t i = 1; i < 4000; i += 2)
		vhd_bat(img, i, UINT64_C(512) * (0x100000 + i * 77));
	vhd_checked(img);
	assert_true(image_seen(img, VHD_BAT_PAST_END, ANYWHERE) <= 257);
	vhd_assert_filled(img, 0, 512, 1);
	image_free(img);
}

static void entry_cleared_over_live_data(void **state)
{
	struct image *img = vhd_build(&vhd_plain);
	uint64_t at = vhd_block(img, 0);

	(void)state;
	vhd_bat(img, 0, VHD_NO_OFFSET);
	vhd_checked(img);
	assert_finding(img, VHD_BLOCK_ORPHAN, at);
	image_free(img);
}

static void orphan_between_its_neighbours_has_a_place(void **state)
{
	struct vhd_spec s = {.whole_bitmaps = true, .write = {{0, 4 * BLOCK, 1}}};
	struct image *img = vhd_build(&s);

	(void)state;
	vhd_bat(img, 1, VHD_NO_OFFSET);
	vhd_checked(img);
	vhd_assert_costs(img, VHD_BLOCK_ORPHAN, 1 * BLOCK, BLOCK);
	assert_true(image_first(img, VHD_BLOCK_ORPHAN)->fact.doubtful);
	image_free(img);
}

static void empty_block_without_owner_is_leaked(void **state)
{
	struct vhd_spec s = {.whole_bitmaps = true, .write = {{0, BLOCK, 1}, {BLOCK, BLOCK, 0}}};
	struct image *img = vhd_build(&s);
	uint64_t at = vhd_block(img, 1);

	(void)state;
	vhd_bat(img, 1, VHD_NO_OFFSET);
	vhd_checked(img);
	assert_finding(img, VHD_BLOCK_LEAKED, at);
	assert_int_equal(image_worse(img, DAMAGE), 0);
	image_free(img);
}

static void space_that_is_no_block(void **state)
{
	struct image *img = vhd_build(&vhd_plain);
	uint64_t end = vhd_end(img);

	(void)state;
	image_resize(img, img->len + 8192);
	memmove(img->buf + end + 8192, img->buf + end, 512);
	memset(img->buf + end, 0, 512);
	vhd_checked(img);
	assert_finding(img, VHD_SPACE_UNUSED, end);
	assert_clean(img);
	image_free(img);
}

static void volume_larger_than_its_vhd_is_no_finding(void **state)
{
	struct image *img = vhd_build(&vhd_xen);
	uint64_t end = vhd_end(img);

	(void)state;
	/* On an LVM volume, the footer is in its last sector; old blocks lie in front of it. */
	image_resize(img, img->len + 200000);
	memset(img->buf + end + 512, 0xff, 200000);
	memmove(img->buf + img->len - 512, img->buf + end, 512);
	image_resize(img, (img->len + 511) / 512 * 512);
	memmove(img->buf + img->len - 512, img->buf + end, 512);
	memset(img->buf + end, 0xff, 512);
	vhd_checked(img);
	assert_clean(img);
	vhd_assert_contents(img);
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bat_entry_behind_the_end),
		cmocka_unit_test(bat_entry_over_the_table),
		cmocka_unit_test(bat_entries_that_share_a_block),
		cmocka_unit_test(bat_entries_that_overlap_in_part),
		cmocka_unit_test(bat_with_too_few_entries),
		cmocka_unit_test(bat_cut_off_by_the_end_of_the_file),
		cmocka_unit_test(bat_entries_behind_the_disk),
		cmocka_unit_test(file_that_ends_inside_a_block),
		cmocka_unit_test(table_of_garbage_is_told_in_few_words),
		cmocka_unit_test(entry_cleared_over_live_data),
		cmocka_unit_test(orphan_between_its_neighbours_has_a_place),
		cmocka_unit_test(empty_block_without_owner_is_leaked),
		cmocka_unit_test(space_that_is_no_block),
		cmocka_unit_test(volume_larger_than_its_vhd_is_no_finding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
