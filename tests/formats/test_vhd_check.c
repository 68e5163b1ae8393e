/* SPDX-License-Identifier: Apache-2.0 */
/* VHD: one thing is damaged, and the check says what, where, and what it costs. */
#include <errno.h>

#include "formats/drivers.h"
#include "tests/lib/image.h"
#include "tests/lib/vhd_build.h"

enum {
	BLOCK = 32768,
	HEADER = 512,
	BAT = 1536,
};

/* Three of eight blocks, the middle one first in the file. */
static const struct vhd_spec plain = {
	.whole_bitmaps = true,
	.write = {{3 * BLOCK, BLOCK, 3}, {0, BLOCK, 1}, {5 * BLOCK, 1024, 5}},
};

static const struct vhd_spec xen = {
	.creator = "tap",
	.batmap = true,
	.write = {{3 * BLOCK, BLOCK, 3}, {0, BLOCK, 1}, {5 * BLOCK, 1024, 5}},
};

static const struct vhd_spec child = {
	.type = VHD_DIFFERENCING,
	.parent_id = 0x77,
	.parent_name = "base.vhd",
	.w2ru = ".\\base.vhd",
	.macx = "file:///vm/base.vhd",
	.write = {{3 * BLOCK, 4096, 3}, {0, BLOCK, 1}},
};

static void check(struct image *img)
{
	image_check(img, &vhd_ops);
	assert_int_equal(img->err, 0);
}

static void assert_filled(struct image *img, uint64_t off, size_t len, uint8_t byte)
{
	uint8_t *buf = malloc(len);

	assert_non_null(buf);
	assert_int_equal(layer_read(img->top, off, buf, len, NULL), 0);
	for (size_t i = 0; i < len; i++)
		if (buf[i] != byte)
			fail_msg("byte %#zx is %#x, not %#x", (size_t)off + i, buf[i], byte);
	free(buf);
}

/* Everything that @plain and its like hold, at its place. */
static void assert_contents(struct image *img)
{
	assert_filled(img, 0, BLOCK, 1);
	assert_filled(img, 1 * BLOCK, 2 * BLOCK, 0);
	assert_filled(img, 3 * BLOCK, BLOCK, 3);
	assert_filled(img, 4 * BLOCK, BLOCK, 0);
	assert_filled(img, 5 * BLOCK, 1024, 5);
	assert_filled(img, 5 * BLOCK + 1024, 3 * BLOCK - 1024, 0);
	assert_readable(img, 0, img->top->size);
}

static void assert_costs(struct image *img, enum finding_id id, uint64_t off, uint64_t len)
{
	const struct seen *s = image_first(img, id);

	if (!s || s->fact.off != off || s->fact.len != len) {
		image_print(img);
		fail_msg("%s does not cost %#llx+%#llx", finding_name(id), (unsigned long long)off,
			 (unsigned long long)len);
	}
}

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

			check(img);
			assert_clean(img);
			assert_int_equal(img->top->size, s.size);
			assert_filled(img, 0, 512, 1);
			assert_filled(img, 512, 2 * b - 512, 0);
			assert_filled(img, 2 * b, b, 2);
			assert_filled(img, 3 * b, 2 * b, 0);
			assert_filled(img, 5 * b, 512, 9);
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

		check(img);
		assert_clean(img);
		assert_filled(img, 0, 4096, 0);
		assert_filled(img, 4096, 8192, 7);
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
	check(img);
	assert_finding(img, VHD_TRUNCATED, 65536);
	assert_costs(img, VHD_TRUNCATED, 65536, (1 << 20) - 65536);
	assert_readable(img, 0, 65536);
	assert_lost(img, 65536, (1 << 20) - 65536, VHD_TRUNCATED);
	image_free(img);
}

static void end_footer_lost_copy_is_used(void **state)
{
	struct image *img = vhd_build(&plain);
	uint64_t end = vhd_end(img);

	(void)state;
	memset(img->buf + end, 0, 512);
	check(img);
	assert_finding(img, VHD_FOOTER_LOST, end);
	assert_int_equal(image_worse(img, DAMAGE), 0);
	assert_contents(img);
	image_free(img);
}

static void copy_lost_end_footer_is_used(void **state)
{
	struct image *img = vhd_build(&plain);

	(void)state;
	memset(img->buf, 0, 512);
	check(img);
	assert_finding(img, VHD_FOOTER_COPY, 0);
	assert_int_equal(image_worse(img, DAMAGE), 0);
	assert_contents(img);
	image_free(img);
}

static void both_footers_lost_header_is_enough(void **state)
{
	struct image *img = vhd_build(&plain);

	(void)state;
	memset(img->buf, 0, 512);
	memset(img->buf + vhd_end(img), 0, 512);
	check(img);
	assert_finding(img, VHD_FOOTERS_LOST, 0);
	assert_contents(img);
	image_free(img);
}

static void header_lost_is_rebuilt_from_the_table(void **state)
{
	struct image *img = vhd_build(&plain);

	(void)state;
	memset(img->buf + HEADER, 0, 1024);
	check(img);
	assert_finding(img, VHD_HEADER_LOST, HEADER);
	assert_contents(img);
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
	check(img);
	assert_finding(img, VHD_HEADER_LOST, HEADER);
	assert_filled(img, 1 << 21, 4096, 4);
	assert_filled(img, 5 << 21, 512, 6);
	assert_filled(img, (5 << 21) + 512, 512, 0);
	image_free(img);
}

static void header_and_table_lost_is_refused(void **state)
{
	struct image *img = vhd_build(&plain);

	(void)state;
	memset(img->buf + HEADER, 0, 1024 + 512);
	image_check(img, &vhd_ops);
	assert_int_equal(img->err, -74 /* EBADMSG */);
	assert_finding(img, VHD_HEADER_LOST, HEADER);
	image_free(img);
}

static void header_found_where_the_footer_does_not_say(void **state)
{
	struct image *img = vhd_build(&plain);

	(void)state;
	image_be64(img, vhd_end(img) + 0x10, 4096);
	vhd_sums(img);
	check(img);
	assert_finding(img, VHD_HEADER_MOVED, vhd_end(img) + 0x10);
	assert_contents(img);
	image_free(img);
}

static void impossible_block_size_is_found_from_the_table(void **state)
{
	struct image *img = vhd_build(&plain);

	(void)state;
	image_be32(img, HEADER + 0x20, 12345);
	vhd_sums(img);
	check(img);
	assert_finding(img, VHD_HEADER_BLOCK_SIZE, HEADER + 0x10);
	assert_contents(img);
	image_free(img);
}

static void another_block_size_with_a_wrong_sum_is_not_believed(void **state)
{
	struct image *img = vhd_build(&plain);

	(void)state;
	image_be32(img, HEADER + 0x20, 2 * BLOCK);
	check(img);
	assert_finding(img, VHD_HEADER_BLOCK_SIZE, HEADER + 0x10);
	assert_finding(img, VHD_HEADER_SUM, HEADER + 0x24);
	assert_contents(img);
	image_free(img);
}

static void absurd_table_with_a_wrong_sum_does_not_cover_blocks(void **state)
{
	struct image *img = vhd_build(&plain);

	(void)state;
	image_be32(img, HEADER + 0x1c, 0x40000008);
	check(img);
	assert_finding(img, VHD_HEADER_FIELD, HEADER + 0x1c);
	assert_contents(img);
	image_free(img);
}

static void cookies_overwritten_are_recognised(void **state)
{
	struct image *img = vhd_build(&plain);

	(void)state;
	memset(img->buf, 'x', 8);
	memset(img->buf + vhd_end(img), 'x', 8);
	memset(img->buf + HEADER, 'x', 8);
	check(img);
	assert_finding(img, VHD_FOOTER_FIELD, vhd_end(img));
	assert_finding(img, VHD_HEADER_FIELD, HEADER);
	assert_contents(img);
	image_free(img);
}

static void wrong_sums_are_said_and_read(void **state)
{
	struct image *img = vhd_build(&plain);

	(void)state;
	img->buf[0x43] ^= 1;
	img->buf[vhd_end(img) + 0x43] ^= 1;
	img->buf[HEADER + 0x27] ^= 1;
	check(img);
	assert_finding(img, VHD_FOOTER_SUM, vhd_end(img) + 0x40);
	assert_finding(img, VHD_HEADER_SUM, HEADER + 0x24);
	assert_int_equal(image_worse(img, DAMAGE), 0);
	assert_contents(img);
	image_free(img);
}

static void copies_that_disagree(void **state)
{
	struct image *img = vhd_build(&plain);
	uint64_t end = vhd_end(img);
	uint8_t old[512];

	(void)state;
	memcpy(old, img->buf, 512);
	image_be32(img, end + 0x18, 310000000);
	vhd_sums(img);
	memcpy(img->buf, old, 512);
	check(img);
	assert_int_equal(image_seen(img, VHD_FOOTER_DIFFERS, ANYWHERE), 1);
	assert_int_equal(image_first(img, VHD_FOOTER_DIFFERS)->fact.at & ~3, 0x18);
	assert_contents(img);
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
		struct image *img = vhd_build(&plain);
		uint64_t at = vhd_end(img) + field[i].at;

		image_be32(img, at, field[i].value);
		vhd_sums(img);
		check(img);
		assert_finding(img, field[i].id,
			       at == vhd_end(img) + 0x100 ? vhd_end(img) + 0x56 : at);
		assert_contents(img);
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
		struct image *img = vhd_build(&plain);

		image_be32(img, HEADER + field[i].at, field[i].value);
		vhd_sums(img);
		check(img);
		assert_finding(img, field[i].id, HEADER + field[i].where);
		assert_contents(img);
		image_free(img);
	}
}

static void junk_behind_the_footer(void **state)
{
	struct image *img = vhd_build(&plain);
	uint64_t end = vhd_end(img);

	(void)state;
	image_resize(img, img->len + 5000);
	memset(img->buf + end + 512, 0x5a, 5000);
	memset(img->buf, 0, 512);
	check(img);
	assert_finding(img, VHD_FOOTER_MOVED, end);
	assert_contents(img);
	image_free(img);
}

static void marks_of_xenserver_in_the_footer(void **state)
{
	struct image *img = vhd_build(&xen);
	uint64_t end = vhd_end(img);

	(void)state;
	memset(img->buf + end, 0xc7, 512);
	check(img);
	assert_finding(img, VHD_FOOTER_OPENED, end);
	assert_contents(img);
	image_free(img);

	img = vhd_build(&xen);
	memcpy(img->buf + end, VHD_POISON, 8);
	vhd_sums(img);
	check(img);
	assert_finding(img, VHD_FOOTER_DISABLED, end);
	assert_contents(img);
	image_free(img);
}

static void hidden_by_the_first_xenserver_tools(void **state)
{
	struct vhd_spec s = xen;
	struct image *img;

	(void)state;
	s.creator_version = 0x00010001;
	img = vhd_build(&s);
	img->buf[0x55] = 1; /* in the copy only, and without a new checksum */
	check(img);
	assert_clean(img);
	image_free(img);
}

static void bat_entry_behind_the_end(void **state)
{
	struct image *img = vhd_build(&plain);

	(void)state;
	vhd_bat(img, 5, UINT64_C(512) * 0xffff00);
	check(img);
	assert_finding(img, VHD_BAT_PAST_END, BAT + 5 * 4);
	assert_costs(img, VHD_BAT_PAST_END, 5 * BLOCK, BLOCK);
	assert_lost(img, 5 * BLOCK, BLOCK, VHD_BAT_PAST_END);
	assert_readable(img, 0, 5 * BLOCK);
	assert_readable(img, 6 * BLOCK, 2 * BLOCK);
	/* Its block is still there, and its place in the disk is the only free one. */
	assert_int_equal(image_seen(img, VHD_BLOCK_ORPHAN, ANYWHERE), 1);
	image_free(img);
}

static void bat_entry_over_the_table(void **state)
{
	struct image *img = vhd_build(&plain);

	(void)state;
	vhd_bat(img, 3, 512);
	check(img);
	assert_finding(img, VHD_BAT_METADATA, BAT + 3 * 4);
	assert_lost(img, 3 * BLOCK, BLOCK, VHD_BAT_METADATA);
	assert_filled(img, 0, BLOCK, 1);
	image_free(img);
}

static void bat_entries_that_share_a_block(void **state)
{
	struct image *img = vhd_build(&plain);
	struct ranges bad = {0};
	uint8_t buf[512];

	(void)state;
	vhd_bat(img, 7, vhd_block(img, 0));
	check(img);
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
	struct image *img = vhd_build(&plain);

	(void)state;
	vhd_bat(img, 6, vhd_block(img, 0) + 1024);
	check(img);
	assert_finding(img, VHD_BAT_OVERLAP, BAT);
	assert_finding(img, VHD_BAT_OVERLAP, BAT + 5 * 4); /* 5 and 6: the next one is hit, too */
	image_free(img);
}

static void bat_with_too_few_entries(void **state)
{
	struct image *img = vhd_build(&plain);

	(void)state;
	image_be32(img, HEADER + 0x1c, 5);
	vhd_sums(img);
	check(img);
	assert_finding(img, VHD_BAT_SHORT, HEADER + 0x1c);
	assert_costs(img, VHD_BAT_SHORT, 5 * BLOCK, 3 * BLOCK);
	assert_lost(img, 5 * BLOCK, 3 * BLOCK, VHD_BAT_SHORT);
	assert_filled(img, 3 * BLOCK, BLOCK, 3);
	image_free(img);
}

static void bat_cut_off_by_the_end_of_the_file(void **state)
{
	struct vhd_spec s = {.block_size = 512, .size = 512 * 1000, .write = {{0, 512, 1}}};
	struct image *img = vhd_build(&s);

	(void)state;
	image_resize(img, BAT + 100 * 4);
	check(img);
	assert_finding(img, VHD_BAT_LOST, BAT + 100 * 4);
	assert_costs(img, VHD_BAT_LOST, 100 * 512, 900 * 512);
	assert_lost(img, 100 * 512, 900 * 512, VHD_BAT_LOST);
	assert_readable(img, 512, 99 * 512);
	image_free(img);
}

static void bat_entries_behind_the_disk(void **state)
{
	struct vhd_spec s = plain;
	struct image *img;

	(void)state;
	s.entries = 20;
	img = vhd_build(&s);
	check(img);
	assert_clean(img);
	vhd_bat(img, 15, vhd_end(img) - 4096);
	check(img);
	assert_finding(img, VHD_BAT_BEYOND_DISK, BAT + 15 * 4);
	assert_contents(img);
	image_free(img);
}

static void file_that_ends_inside_a_block(void **state)
{
	struct image *img = vhd_build(&plain);
	uint64_t data = vhd_block(img, 5) + 512;

	(void)state;
	image_resize(img, data + 4096);
	check(img);
	assert_finding(img, VHD_BLOCK_TRUNCATED, BAT + 5 * 4);
	assert_costs(img, VHD_BLOCK_TRUNCATED, 5 * BLOCK + 4096, BLOCK - 4096);
	assert_lost(img, 5 * BLOCK + 4096, BLOCK - 4096, VHD_BLOCK_TRUNCATED);
	assert_filled(img, 5 * BLOCK, 1024, 5);
	image_free(img);
}

static void table_of_garbage_is_told_in_few_words(void **state)
{
	struct vhd_spec s = {.block_size = 512, .size = 512 * 4000, .write = {{0, 512, 1}}};
	struct image *img = vhd_build(&s);

	(void)state;
	for (uint32_t i = 1; i < 4000; i += 2)
		vhd_bat(img, i, UINT64_C(512) * (0x100000 + i * 77));
	check(img);
	assert_true(image_seen(img, VHD_BAT_PAST_END, ANYWHERE) <= 257);
	assert_filled(img, 0, 512, 1);
	image_free(img);
}

static void entry_cleared_over_live_data(void **state)
{
	struct image *img = vhd_build(&plain);
	uint64_t at = vhd_block(img, 0);

	(void)state;
	vhd_bat(img, 0, VHD_NO_OFFSET);
	check(img);
	assert_finding(img, VHD_BLOCK_ORPHAN, at);
	image_free(img);
}

static void orphan_between_its_neighbours_has_a_place(void **state)
{
	struct vhd_spec s = {.whole_bitmaps = true, .write = {{0, 4 * BLOCK, 1}}};
	struct image *img = vhd_build(&s);

	(void)state;
	vhd_bat(img, 1, VHD_NO_OFFSET);
	check(img);
	assert_costs(img, VHD_BLOCK_ORPHAN, 1 * BLOCK, BLOCK);
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
	check(img);
	assert_finding(img, VHD_BLOCK_LEAKED, at);
	assert_int_equal(image_worse(img, DAMAGE), 0);
	image_free(img);
}

static void space_that_is_no_block(void **state)
{
	struct image *img = vhd_build(&plain);
	uint64_t end = vhd_end(img);

	(void)state;
	image_resize(img, img->len + 8192);
	memmove(img->buf + end + 8192, img->buf + end, 512);
	memset(img->buf + end, 0, 512);
	check(img);
	assert_finding(img, VHD_SPACE_UNUSED, end);
	assert_clean(img);
	image_free(img);
}

static void volume_larger_than_its_vhd_is_no_finding(void **state)
{
	struct image *img = vhd_build(&xen);
	uint64_t end = vhd_end(img);

	(void)state;
	/* On an LVM volume, the footer is in its last sector; old blocks lie in front of it. */
	image_resize(img, img->len + 200000);
	memset(img->buf + end + 512, 0xff, 200000);
	memmove(img->buf + img->len - 512, img->buf + end, 512);
	image_resize(img, (img->len + 511) / 512 * 512);
	memmove(img->buf + img->len - 512, img->buf + end, 512);
	memset(img->buf + end, 0xff, 512);
	check(img);
	assert_clean(img);
	assert_contents(img);
	image_free(img);
}

static void data_under_a_clear_bit_is_doubtful(void **state)
{
	struct image *img = vhd_build(&plain);
	uint64_t at = vhd_block(img, 3);
	struct ranges bad = {0};
	uint8_t buf[4096];

	(void)state;
	img->buf[at] = 0xfb; /* sector 5 */
	check(img);
	assert_finding(img, VHD_BITMAP_CLEAR_DATA, at);
	layer_read(img->top, 3 * BLOCK, buf, 4096, &bad);
	assert_int_equal(bad.n, 1);
	assert_int_equal(bad.v[0].off, 3 * BLOCK + 5 * 512);
	assert_int_equal(bad.v[0].len, 512);
	assert_int_equal(bad.v[0].grade, GRADE_DOUBTFUL);
	assert_int_equal(buf[5 * 512], 3);
	ranges_free(&bad);
	image_free(img);
}

static void stale_bytes_of_xenserver_are_not_shown(void **state)
{
	struct image *img = vhd_build(&xen);
	uint64_t at = vhd_block(img, 5);

	(void)state;
	memset(img->buf + at + 512 + 8192, 0x99, 4096);
	check(img);
	assert_clean(img);
	assert_contents(img);
	image_open(img, &vhd_ops);
	img->s.opt.data = true;
	assert_int_equal(vhd_ops.check(img->top), 0);
	assert_finding(img, VHD_BITMAP_STALE_DATA, at);
	assert_clean(img);
	image_free(img);
}

static void cleared_bitmap_of_a_child_hides_data(void **state)
{
	struct image *img = vhd_build(&child);
	uint64_t at = vhd_block(img, 3);

	(void)state;
	memset(img->buf + at, 0, 512);
	check(img);
	assert_finding(img, VHD_BITMAP_HIDDEN_DATA, at);
	image_free(img);
}

static void little_endian_bits_of_xenserver_0_1(void **state)
{
	struct vhd_spec s = {.creator = "tap",
			     .creator_version = 1,
			     .write = {{512, 512, 1}, {5 * 512, 1024, 2}, {BLOCK + 512, 512, 7}}};
	struct image *img = vhd_build(&s);

	(void)state;
	check(img);
	assert_clean(img);
	assert_filled(img, 0, 512, 0);
	assert_filled(img, 512, 512, 1);
	assert_filled(img, 5 * 512, 1024, 2);
	assert_filled(img, BLOCK + 512, 512, 7);
	image_free(img);
}

static void bits_behind_the_disk(void **state)
{
	struct vhd_spec s = {.creator = "tap",
			     .batmap = true,
			     .size = 2 * BLOCK + 1024,
			     .write = {{2 * BLOCK, 512, 1}}};
	struct image *img = vhd_build(&s);
	uint64_t at = vhd_block(img, 2);

	(void)state;
	img->buf[at] |= 0x10;
	check(img);
	assert_finding(img, VHD_BITMAP_PAST_DISK, at);
	assert_clean(img);
	image_free(img);
}

static void batmap_is_checked(void **state)
{
	struct image *img = vhd_build(&xen);
	uint64_t head = BAT + 512, map = head + 512;

	(void)state;
	img->buf[map] ^= 0x40; /* block 1: not there */
	vhd_sums(img);
	check(img);
	assert_finding(img, VHD_BATMAP_WRONG, BAT + 4);
	img->buf[map] ^= 0x44; /* block 5: has two sectors */
	vhd_sums(img);
	check(img);
	assert_finding(img, VHD_BATMAP_WRONG, vhd_block(img, 5));
	img->buf[map + 100] ^= 1;
	check(img);
	assert_finding(img, VHD_BATMAP_SUM, head + 0x18);
	image_be32(img, head + 0x14, 0x00090000);
	check(img);
	assert_finding(img, VHD_BATMAP_FIELD, head + 0x14);
	image_be32(img, head + 0x14, 0x00010002);
	image_be64(img, head + 8, 77);
	check(img);
	assert_finding(img, VHD_BATMAP_FIELD, head + 8);
	memset(img->buf + head, 0, 8);
	check(img);
	assert_finding(img, VHD_BATMAP_FIELD, head);
	assert_contents(img);
	image_free(img);
}

static void key_hash_is_known(void **state)
{
	struct vhd_spec s = xen;
	struct image *img;

	(void)state;
	s.key = 0x21;
	img = vhd_build(&s);
	check(img);
	assert_clean(img);
	assert_int_equal(img->top->locked, -ENOKEY);
	image_free(img);
	img = vhd_build(&xen);
	check(img);
	assert_int_equal(img->top->locked, 0);
	image_free(img);
}

static void locators_are_checked(void **state)
{
	enum { L0 = HEADER + 0x240, L1 = L0 + 24, L2 = L1 + 24 };
	struct image *img = vhd_build(&child);

	(void)state;
	check(img);
	assert_int_equal(image_seen(img, VHD_LOCATOR, ANYWHERE), 0);
	memcpy(img->buf + L0, "Oops", 4);
	image_be64(img, L1 + 16, 1 << 30);
	image_be32(img, L2 + 12, 1);
	vhd_sums(img);
	check(img);
	assert_finding(img, VHD_LOCATOR, L0);
	assert_finding(img, VHD_LOCATOR, L1);
	assert_finding(img, VHD_LOCATOR, L2);
	memcpy(img->buf + L0, "MacX", 4);
	vhd_sums(img);
	check(img);
	assert_finding(img, VHD_LOCATOR, L1);
	image_free(img);
}

static void locator_that_names_another_file(void **state)
{
	struct vhd_spec s = child;
	struct image *img;

	(void)state;
	s.w2ru = ".\\other.vhd";
	img = vhd_build(&s);
	check(img);
	assert_finding(img, VHD_LOCATOR, HEADER + 0x240);
	image_free(img);
}

static void metadata_over_metadata(void **state)
{
	struct image *img = vhd_build(&child);

	(void)state;
	image_be64(img, HEADER + 0x240 + 16, BAT);
	vhd_sums(img);
	check(img);
	assert_finding(img, VHD_METADATA_OVERLAP, BAT);
	image_free(img);
}

static void missing_parent_loses_what_it_holds(void **state)
{
	struct image *img = vhd_build(&child);

	(void)state;
	check(img);
	assert_finding(img, CHAIN_PARENT_MISSING, HEADER + 0x40);
	assert_filled(img, 0, BLOCK, 1);
	assert_readable(img, 0, BLOCK);
	assert_readable(img, 3 * BLOCK, 4096);
	assert_lost(img, BLOCK, 2 * BLOCK, CHAIN_PARENT_MISSING);
	assert_lost(img, 3 * BLOCK + 4096, 5 * BLOCK - 4096, CHAIN_PARENT_MISSING);
	image_free(img);
}

static void structures_have_names(void **state)
{
	static const struct vhd_spec both = {.type = VHD_DIFFERENCING,
					     .creator = "tap",
					     .batmap = true,
					     .parent_id = 7,
					     .w2ru = ".\\a.vhd",
					     .write = {{3 * BLOCK, 512, 3}}};
	struct image *img = vhd_build(&both);
	struct {
		uint64_t at;
		const char *name;
	} want[] = {
		{5, "footer copy"},
		{HEADER + 900, "dynamic header"},
		{BAT + 13, "BAT entries of blocks 0..7"},
		{BAT + 512, "batmap header"},
		{BAT + 1024 + 511, "batmap"},
		{BAT + 1536, "parent locator W2ru"},
		{vhd_block(img, 3) + 511, "bitmap of block 3"},
		{vhd_end(img), "footer"},
	};
	uint64_t start, len;
	char name[64];

	(void)state;
	check(img);
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		assert_true(
			vhd_ops.structure(img->top, want[i].at, name, sizeof(name), &start, &len));
		assert_string_equal(name, want[i].name);
		assert_true(start <= want[i].at && want[i].at - start < len);
	}
	assert_false(vhd_ops.structure(img->top, vhd_block(img, 3) + 512, name, sizeof(name),
				       &start, &len));
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
		cmocka_unit_test(data_under_a_clear_bit_is_doubtful),
		cmocka_unit_test(stale_bytes_of_xenserver_are_not_shown),
		cmocka_unit_test(cleared_bitmap_of_a_child_hides_data),
		cmocka_unit_test(little_endian_bits_of_xenserver_0_1),
		cmocka_unit_test(bits_behind_the_disk),
		cmocka_unit_test(batmap_is_checked),
		cmocka_unit_test(key_hash_is_known),
		cmocka_unit_test(locators_are_checked),
		cmocka_unit_test(locator_that_names_another_file),
		cmocka_unit_test(metadata_over_metadata),
		cmocka_unit_test(missing_parent_loses_what_it_holds),
		cmocka_unit_test(structures_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
