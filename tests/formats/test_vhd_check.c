/* SPDX-License-Identifier: Apache-2.0 */
/* VHD: a footer or header is damaged, and the check says what, where, and what it costs. */
#include <errno.h>

#include "formats/drivers.h"
#include "tests/lib/vhd_case.h"

enum {
	BLOCK = VHD_CASE_BLOCK,
	HEADER = VHD_CASE_HEADER,
};

static void clean_images_of_every_kind(void **state)
{
	static const uint32_t block[] = {512, 4096, 32768, 524288, 2097152};
	static const char *const creator[] = {"win ", "vpc ", "d2v ", "vbox", "tap", "qem2"};

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		for (size_t k = 0; k < 6; k++) {
			bool tap = k == 4;
			uint64_t b = block[i];
			struct vhd_spec s = {
				.block_size = block[i],
				.size = 5 * b + 512,
				.creator = creator[k],
				.batmap = tap,
				.whole_bitmaps = !tap,
				.short_footer = k == 1,
				.write = {{2 * b, b, 2}, {0, 512, 1}, {5 * b, 512, 9}},
			};
			struct image *img = vhd_build(&s);

			vhd_checked(img);
			assert_clean(img);
			assert_int_equal(img->top->size, s.size);
			vhd_assert_filled(img, 0, 512, 1);
			vhd_assert_filled(img, 512, 2 * b - 512, 0);
			vhd_assert_filled(img, 2 * b, b, 2);
			vhd_assert_filled(img, 3 * b, 2 * b, 0);
			vhd_assert_filled(img, 5 * b, 512, 9);
			assert_readable(img, 0, s.size);
			image_free(img);
		}
	}
}

static void fixed_with_footers_of_both_lengths(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct vhd_spec s = {.type = VHD_FIXED,
				     .size = 1 << 20,
				     .short_footer = i,
				     .write = {{4096, 8192, 7}}};
		struct image *img = vhd_build(&s);

		vhd_checked(img);
		assert_clean(img);
		vhd_assert_filled(img, 0, 4096, 0);
		vhd_assert_filled(img, 4096, 8192, 7);
		assert_readable(img, 0, s.size);
		image_free(img);
	}
}

static void fixed_cut_short_loses_its_end(void **state)
{
	struct vhd_spec s = {.type = VHD_FIXED, .size = 1 << 20, .write = {{4096, 8192, 7}}};
	struct image *img = vhd_build(&s);

	(void)state;
	/* The footer moved forward: a copy that was cut and then closed again. */
	memcpy(img->buf + 65536, img->buf + vhd_end(img), 512);
	image_resize(img, 65536 + 512);
	vhd_checked(img);
	assert_finding(img, VHD_TRUNCATED, 65536);
	vhd_assert_costs(img, VHD_TRUNCATED, 65536, (1 << 20) - 65536);
	assert_readable(img, 0, 65536);
	assert_lost(img, 65536, (1 << 20) - 65536, VHD_TRUNCATED);
	image_free(img);
}

static void end_footer_lost_copy_is_used(void **state)
{
	struct image *img = vhd_build(&vhd_plain);
	uint64_t end = vhd_end(img);

	(void)state;
	memset(img->buf + end, 0, 512);
	vhd_checked(img);
	assert_finding(img, VHD_FOOTER_LOST, end);
	assert_int_equal(image_worse(img, DAMAGE), 0);
	vhd_assert_contents(img);
	image_free(img);
}

static void copy_lost_end_footer_is_used(void **state)
{
	struct image *img = vhd_build(&vhd_plain);

	(void)state;
	memset(img->buf, 0, 512);
	vhd_checked(img);
	assert_finding(img, VHD_FOOTER_COPY, 0);
	assert_int_equal(image_worse(img, DAMAGE), 0);
	vhd_assert_contents(img);
	image_free(img);
}

static void both_footers_lost_header_is_enough(void **state)
{
	struct image *img = vhd_build(&vhd_plain);

	(void)state;
	memset(img->buf, 0, 512);
	memset(img->buf + vhd_end(img), 0, 512);
	vhd_checked(img);
	assert_finding(img, VHD_FOOTERS_LOST, 0);
	vhd_assert_contents(img);
	image_free(img);
}

static void header_lost_is_rebuilt_from_the_table(void **state)
{
	struct image *img = vhd_build(&vhd_plain);

	(void)state;
	memset(img->buf + HEADER, 0, 1024);
	vhd_checked(img);
	assert_finding(img, VHD_HEADER_LOST, HEADER);
	vhd_assert_contents(img);
	image_free(img);
}

static void header_lost_with_blocks_of_two_mib(void **state)
{
	struct vhd_spec s = {.block_size = 1 << 21,
			     .whole_bitmaps = true,
			     .write = {{1 << 21, 4096, 4}, {5 << 21, 512, 6}}};
	struct image *img = vhd_build(&s);

	(void)state;
	memset(img->buf + HEADER, 0xee, 1024);
	vhd_checked(img);
	assert_finding(img, VHD_HEADER_LOST, HEADER);
	vhd_assert_filled(img, 1 << 21, 4096, 4);
	vhd_assert_filled(img, 5 << 21, 512, 6);
	vhd_assert_filled(img, (5 << 21) + 512, 512, 0);
	image_free(img);
}

static void header_and_table_lost_is_refused(void **state)
{
	struct image *img = vhd_build(&vhd_plain);

	(void)state;
	memset(img->buf + HEADER, 0, 1024 + 512);
	image_check(img, &vhd_ops);
	assert_int_equal(img->err, -74 /* EBADMSG */);
	assert_finding(img, VHD_HEADER_LOST, HEADER);
	image_free(img);
}

static void header_found_where_the_footer_does_not_say(void **state)
{
	struct image *img = vhd_build(&vhd_plain);

	(void)state;
	image_be64(img, vhd_end(img) + 0x10, 4096);
	vhd_sums(img);
	vhd_checked(img);
	assert_finding(img, VHD_HEADER_MOVED, vhd_end(img) + 0x10);
	vhd_assert_contents(img);
	image_free(img);
}

static void impossible_block_size_is_found_from_the_table(void **state)
{
	struct image *img = vhd_build(&vhd_plain);

	(void)state;
	image_be32(img, HEADER + 0x20, 12345);
	vhd_sums(img);
	vhd_checked(img);
	assert_finding(img, VHD_HEADER_BLOCK_SIZE, HEADER + 0x10);
	vhd_assert_contents(img);
	image_free(img);
}

static void another_block_size_with_a_wrong_sum_is_not_believed(void **state)
{
	struct image *img = vhd_build(&vhd_plain);

	(void)state;
	image_be32(img, HEADER + 0x20, 2 * BLOCK);
	vhd_checked(img);
	assert_finding(img, VHD_HEADER_BLOCK_SIZE, HEADER + 0x10);
	assert_finding(img, VHD_HEADER_SUM, HEADER + 0x24);
	vhd_assert_contents(img);
	image_free(img);
}

static void absurd_table_with_a_wrong_sum_does_not_cover_blocks(void **state)
{
	struct image *img = vhd_build(&vhd_plain);

	(void)state;
	image_be32(img, HEADER + 0x1c, 0x40000008);
	vhd_checked(img);
	assert_finding(img, VHD_HEADER_FIELD, HEADER + 0x1c);
	vhd_assert_contents(img);
	image_free(img);
}

static void cookies_overwritten_are_recognised(void **state)
{
	struct image *img = vhd_build(&vhd_plain);

	(void)state;
	memset(img->buf, 'x', 8);
	memset(img->buf + vhd_end(img), 'x', 8);
	memset(img->buf + HEADER, 'x', 8);
	vhd_checked(img);
	assert_finding(img, VHD_FOOTER_FIELD, vhd_end(img));
	assert_finding(img, VHD_HEADER_FIELD, HEADER);
	vhd_assert_contents(img);
	image_free(img);
}

static void wrong_sums_are_said_and_read(void **state)
{
	struct image *img = vhd_build(&vhd_plain);

	(void)state;
	img->buf[0x43] ^= 1;
	img->buf[vhd_end(img) + 0x43] ^= 1;
	img->buf[HEADER + 0x27] ^= 1;
	vhd_checked(img);
	assert_finding(img, VHD_FOOTER_SUM, vhd_end(img) + 0x40);
	assert_finding(img, VHD_HEADER_SUM, HEADER + 0x24);
	assert_int_equal(image_worse(img, DAMAGE), 0);
	vhd_assert_contents(img);
	image_free(img);
}

static void copies_that_disagree(void **state)
{
	struct image *img = vhd_build(&vhd_plain);
	uint64_t end = vhd_end(img);
	uint8_t old[512];

	(void)state;
	memcpy(old, img->buf, 512);
	image_be32(img, end + 0x18, 310000000);
	vhd_sums(img);
	memcpy(img->buf, old, 512);
	vhd_checked(img);
	assert_int_equal(image_seen(img, VHD_FOOTER_DIFFERS, ANYWHERE), 1);
	assert_int_equal(image_first(img, VHD_FOOTER_DIFFERS)->fact.at & ~3, 0x18);
	vhd_assert_contents(img);
	image_free(img);
}

static void footer_fields(void **state)
{
	static const struct {
		uint32_t at, value;
		enum finding_id id;
	} field[] = {
		{0x08, 0, VHD_FOOTER_FIELD},	      {0x08, 0x12, VHD_FOOTER_FIELD},
		{0x0c, 0x20000, VHD_VERSION_UNKNOWN}, {0x18, 0xfffffff0, VHD_TIME},
		{0x38, 0x10001010, VHD_GEOMETRY},     {0x3c, 6, VHD_FOOTER_FIELD},
		{0x100, 1, VHD_FOOTER_FIELD},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(field) / sizeof(field[0]); i++) {
		struct image *img = vhd_build(&vhd_plain);
		uint64_t at = vhd_end(img) + field[i].at;

		image_be32(img, at, field[i].value);
		vhd_sums(img);
		vhd_checked(img);
		assert_finding(img, field[i].id,
			       at == vhd_end(img) + 0x100 ? vhd_end(img) + 0x56 : at);
		vhd_assert_contents(img);
		image_free(img);
	}
}

static void header_fields(void **state)
{
	static const struct {
		uint32_t at, value, where;
		enum finding_id id;
	} field[] = {
		{0x08, 5, 0x08, VHD_HEADER_FIELD},
		{0x18, 0x30000, 0x18, VHD_VERSION_UNKNOWN},
		{0x28, 5, 0x28, VHD_HEADER_FIELD},
		{0x38, 5, 0x28, VHD_HEADER_FIELD},
		{0x40, 0x410042, 0x28, VHD_HEADER_FIELD},
		{0x310, 1, 0x300, VHD_HEADER_FIELD},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(field) / sizeof(field[0]); i++) {
		struct image *img = vhd_build(&vhd_plain);

		image_be32(img, HEADER + field[i].at, field[i].value);
		vhd_sums(img);
		vhd_checked(img);
		assert_finding(img, field[i].id, HEADER + field[i].where);
		vhd_assert_contents(img);
		image_free(img);
	}
}

static void junk_behind_the_footer(void **state)
{
	struct image *img = vhd_build(&vhd_plain);
	uint64_t end = vhd_end(img);

	(void)state;
	image_resize(img, img->len + 5000);
	memset(img->buf + end + 512, 0x5a, 5000);
	memset(img->buf, 0, 512);
	vhd_checked(img);
	assert_finding(img, VHD_FOOTER_MOVED, end);
	vhd_assert_contents(img);
	image_free(img);
}

static void marks_of_xenserver_in_the_footer(void **state)
{
	struct image *img = vhd_build(&vhd_xen);
	uint64_t end = vhd_end(img);

	(void)state;
	memset(img->buf + end, 0xc7, 512);
	vhd_checked(img);
	assert_finding(img, VHD_FOOTER_OPENED, end);
	vhd_assert_contents(img);
	image_free(img);

	img = vhd_build(&vhd_xen);
	memcpy(img->buf + end, VHD_POISON, 8);
	vhd_sums(img);
	vhd_checked(img);
	assert_finding(img, VHD_FOOTER_DISABLED, end);
	vhd_assert_contents(img);
	image_free(img);
}

static void hidden_by_the_first_xenserver_tools(void **state)
{
	struct vhd_spec s = vhd_xen;
	struct image *img;

	(void)state;
	s.creator_version = 0x00010001;
	img = vhd_build(&s);
	img->buf[0x55] = 1; /* in the copy only, and without a new checksum */
	vhd_checked(img);
	assert_clean(img);
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clean_images_of_every_kind),
		cmocka_unit_test(fixed_with_footers_of_both_lengths),
		cmocka_unit_test(fixed_cut_short_loses_its_end),
		cmocka_unit_test(end_footer_lost_copy_is_used),
		cmocka_unit_test(copy_lost_end_footer_is_used),
		cmocka_unit_test(both_footers_lost_header_is_enough),
		cmocka_unit_test(header_lost_is_rebuilt_from_the_table),
		cmocka_unit_test(header_lost_with_blocks_of_two_mib),
		cmocka_unit_test(header_and_table_lost_is_refused),
		cmocka_unit_test(header_found_where_the_footer_does_not_say),
		cmocka_unit_test(impossible_block_size_is_found_from_the_table),
		cmocka_unit_test(another_block_size_with_a_wrong_sum_is_not_believed),
		cmocka_unit_test(absurd_table_with_a_wrong_sum_does_not_cover_blocks),
		cmocka_unit_test(cookies_overwritten_are_recognised),
		cmocka_unit_test(wrong_sums_are_said_and_read),
		cmocka_unit_test(copies_that_disagree),
		cmocka_unit_test(footer_fields),
		cmocka_unit_test(header_fields),
		cmocka_unit_test(junk_behind_the_footer),
		cmocka_unit_test(marks_of_xenserver_in_the_footer),
		cmocka_unit_test(hidden_by_the_first_xenserver_tools),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
