/* SPDX-License-Identifier: Apache-2.0 */
/* VHD: bitmaps, batmap, key hash and parent locators: what their check says. */
#include <errno.h>

#include "formats/drivers.h"
#include "tests/lib/vhd_case.h"

enum {
	BLOCK = VHD_CASE_BLOCK,
	HEADER = VHD_CASE_HEADER,
	BAT = VHD_CASE_BAT,
};

static void data_under_a_clear_bit_is_doubtful(void **state)
{
	struct image *img = vhd_build(&vhd_plain);
	uint64_t at = vhd_block(img, 3);
	struct ranges bad = {0};
	uint8_t buf[4096];

	(void)state;
	img->buf[at] = 0xfb; /* sector 5 */
	vhd_checked(img);
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
	struct image *img = vhd_build(&vhd_xen);
	uint64_t at = vhd_block(img, 5);

	(void)state;
	memset(img->buf + at + 512 + 8192, 0x99, 4096);
	vhd_checked(img);
	assert_clean(img);
	vhd_assert_contents(img);
	image_open(img, &vhd_ops);
	img->s.opt.data = true;
	assert_int_equal(vhd_ops.check(img->top), 0);
	assert_finding(img, VHD_BITMAP_STALE_DATA, at);
	assert_clean(img);
	image_free(img);
}

static void cleared_bitmap_of_a_child_hides_data(void **state)
{
	struct image *img = vhd_build(&vhd_child);
	uint64_t at = vhd_block(img, 3);

	(void)state;
	memset(img->buf + at, 0, 512);
	vhd_checked(img);
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
	vhd_checked(img);
	assert_clean(img);
	vhd_assert_filled(img, 0, 512, 0);
	vhd_assert_filled(img, 512, 512, 1);
	vhd_assert_filled(img, 5 * 512, 1024, 2);
	vhd_assert_filled(img, BLOCK + 512, 512, 7);
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
	vhd_checked(img);
	assert_finding(img, VHD_BITMAP_PAST_DISK, at);
	assert_clean(img);
	image_free(img);
}

static void batmap_is_checked(void **state)
{
	struct image *img = vhd_build(&vhd_xen);
	uint64_t head = BAT + 512, map = head + 512;

	(void)state;
	img->buf[map] ^= 0x40; /* block 1: not there */
	vhd_sums(img);
	vhd_checked(img);
	assert_finding(img, VHD_BATMAP_WRONG, BAT + 4);
	img->buf[map] ^= 0x44; /* block 5: has two sectors */
	vhd_sums(img);
	vhd_checked(img);
	assert_finding(img, VHD_BATMAP_WRONG, vhd_block(img, 5));
	img->buf[map + 100] ^= 1;
	vhd_checked(img);
	assert_finding(img, VHD_BATMAP_SUM, head + 0x18);
	image_be32(img, head + 0x14, 0x00090000);
	vhd_checked(img);
	assert_finding(img, VHD_BATMAP_FIELD, head + 0x14);
	image_be32(img, head + 0x14, 0x00010002);
	image_be64(img, head + 8, 77);
	vhd_checked(img);
	assert_finding(img, VHD_BATMAP_FIELD, head + 8);
	memset(img->buf + head, 0, 8);
	vhd_checked(img);
	assert_finding(img, VHD_BATMAP_FIELD, head);
	vhd_assert_contents(img);
	image_free(img);
}

static void key_hash_is_known(void **state)
{
	struct vhd_spec s = vhd_xen;
	struct image *img;

	(void)state;
	s.key = 0x21;
	img = vhd_build(&s);
	vhd_checked(img);
	assert_clean(img);
	assert_int_equal(img->top->locked, -ENOKEY);
	image_free(img);
	img = vhd_build(&vhd_xen);
	vhd_checked(img);
	assert_int_equal(img->top->locked, 0);
	image_free(img);
}

static void locators_are_checked(void **state)
{
	enum { L0 = HEADER + 0x240, L1 = L0 + 24, L2 = L1 + 24 };
	struct image *img = vhd_build(&vhd_child);

	(void)state;
	vhd_checked(img);
	assert_int_equal(image_seen(img, VHD_LOCATOR, ANYWHERE), 0);
	memcpy(img->buf + L0, "Oops", 4);
	image_be64(img, L1 + 16, 1 << 30);
	image_be32(img, L2 + 12, 1);
	vhd_sums(img);
	vhd_checked(img);
	assert_finding(img, VHD_LOCATOR, L0);
	assert_finding(img, VHD_LOCATOR, L1);
	assert_finding(img, VHD_LOCATOR, L2);
	memcpy(img->buf + L0, "MacX", 4);
	vhd_sums(img);
	vhd_checked(img);
	assert_finding(img, VHD_LOCATOR, L1);
	image_free(img);
}

static void locator_that_names_another_file(void **state)
{
	struct vhd_spec s = vhd_child;
	struct image *img;

	(void)state;
	s.w2ru = ".\\other.vhd";
	img = vhd_build(&s);
	vhd_checked(img);
	assert_finding(img, VHD_LOCATOR, HEADER + 0x240);
	image_free(img);
}

static void metadata_over_metadata(void **state)
{
	struct image *img = vhd_build(&vhd_child);

	(void)state;
	image_be64(img, HEADER + 0x240 + 16, BAT);
	vhd_sums(img);
	vhd_checked(img);
	assert_finding(img, VHD_METADATA_OVERLAP, BAT);
	image_free(img);
}

static void missing_parent_loses_what_it_holds(void **state)
{
	struct image *img = vhd_build(&vhd_child);

	(void)state;
	vhd_checked(img);
	assert_finding(img, CHAIN_PARENT_MISSING, HEADER + 0x40);
	vhd_assert_filled(img, 0, BLOCK, 1);
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
	vhd_checked(img);
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
