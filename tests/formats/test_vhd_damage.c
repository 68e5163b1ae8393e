/* SPDX-License-Identifier: Apache-2.0 */
/* VHD: truncation at every structure, every metadata byte flipped: no crash, no false word. */
#include <stdio.h>

#include "formats/drivers.h"
#include "tests/lib/image.h"
#include "tests/lib/vhd_build.h"

enum { BLOCK = 4096, BLOCKS = 8, SIZE = BLOCK * BLOCKS };

static const struct vhd_spec kind[] = {
	{.block_size = BLOCK,
	 .whole_bitmaps = true,
	 .write = {{3 * BLOCK, BLOCK, 3}, {0, BLOCK, 1}, {5 * BLOCK, 1024, 5}}},
	{.block_size = BLOCK,
	 .creator = "tap",
	 .batmap = true,
	 .write = {{3 * BLOCK, BLOCK, 3}, {0, BLOCK, 1}, {5 * BLOCK, 1024, 5}}},
	{.block_size = BLOCK,
	 .type = VHD_DIFFERENCING,
	 .parent_id = 9,
	 .parent_name = "a.vhd",
	 .w2ru = ".\\a.vhd",
	 .w2ku = "C:\\vm\\a.vhd",
	 .macx = "file:///vm/a.vhd",
	 .write = {{3 * BLOCK, BLOCK, 3}, {0, BLOCK, 1}, {5 * BLOCK, 1024, 5}}},
	{.type = VHD_FIXED, .size = SIZE, .write = {{3 * BLOCK, BLOCK, 3}}},
	{.type = VHD_FIXED, .size = SIZE, .short_footer = true, .write = {{0, BLOCK, 3}}},
};
enum { KINDS = sizeof(kind) / sizeof(kind[0]) };

static uint8_t *contents(struct image *img, struct ranges *bad)
{
	uint8_t *buf = malloc(SIZE);

	assert_non_null(buf);
	assert_int_equal(layer_read(img->top, 0, buf, SIZE, bad), 0);
	if (bad)
		ranges_sort(bad);
	return buf;
}

/*
 * The rule that everything rests on: what differs from @good is lost or doubtful, or a finding
 * above INFO says that something is wrong.
 */
static void assert_honest(struct image *img, const uint8_t *good, const char *what, uint64_t at)
{
	struct ranges bad = {0};
	uint8_t *got;

	image_open(img, &vhd_ops);
	img->s.opt.data = true;
	if (!img->err)
		img->err = vhd_ops.check(img->top);
	if (img->err) {
		if (!image_worse(img, BLEMISH) && img->err != -74)
			fail_msg("%s %#llx: error %d without a finding", what,
				 (unsigned long long)at, img->err);
		return;
	}
	image_exercise(img->top);
	if (img->top->size != SIZE) {
		if (!image_worse(img, BLEMISH))
			fail_msg("%s %#llx: another size, silently", what, (unsigned long long)at);
		return;
	}
	got = contents(img, &bad);
	for (size_t i = 0; i < SIZE; i++)
		if (got[i] != good[i] && !ranges_overlap(&bad, i, 1) &&
		    !image_worse(img, BLEMISH) && !image_seen(img, VHD_BITMAP_STALE_DATA, ANYWHERE))
			fail_msg("%s %#llx: byte %#zx is wrong, silently", what,
				 (unsigned long long)at, i);
	free(got);
	ranges_free(&bad);
}

static uint8_t *good_contents(const struct vhd_spec *s)
{
	struct image *img = vhd_build(s);
	uint8_t *good;

	image_check(img, &vhd_ops);
	assert_int_equal(img->err, 0);
	good = contents(img, NULL);
	image_free(img);
	return good;
}

static void truncated_at_every_sector_and_beside_it(void **state)
{
	(void)state;
	for (size_t k = 0; k < KINDS; k++) {
		struct image *img = vhd_build(&kind[k]);
		uint8_t *good = good_contents(&kind[k]);
		size_t len = img->len;

		image_free(img);
		for (size_t cut = 0; cut < len; cut += 512) {
			for (size_t by = 0; by < 2; by++) {
				if (cut + by >= len)
					continue;
				img = vhd_build(&kind[k]);
				image_resize(img, cut + by);
				assert_honest(img, good, "cut at", cut + by);
				/* Nothing that is cut off may come back as data. */
				if (!img->err && cut + 512 < len && kind[k].type != VHD_FIXED)
					assert_true(image_worse(img, BLEMISH) > 0);
				image_free(img);
			}
		}
		free(good);
	}
}

/* Does byte @i lie in a table or in the bits that a block of 4096 bytes has? */
static bool is_metadata(const struct image *img, const struct vhd_spec *spec, uint64_t i)
{
	uint64_t first = img->len;
	bool bitmap = false;

	if (spec->type == VHD_FIXED)
		return false;
	for (uint32_t n = 0; n < BLOCKS; n++) {
		uint64_t at = vhd_block(img, n);

		if (at && at < first)
			first = at;
		bitmap |= at && i >= at && i < at + BLOCK / 512 / 8;
	}
	return i < first || bitmap;
}

static void every_metadata_byte_flipped(void **state)
{
	(void)state;
	for (size_t k = 0; k < KINDS; k++) {
		struct image *img = vhd_build(&kind[k]);
		uint8_t *good = good_contents(&kind[k]);
		uint64_t end = vhd_end(img);

		for (size_t i = 0; i < img->len; i++) {
			static const uint8_t flip[] = {0xff, 0x01, 0x80};

			/* Headers and tables, bitmaps, footer; not data. */
			if (i < end && !is_metadata(img, &kind[k], i))
				continue;
			/* Every eighth byte of long stretches of nothing. */
			if (!img->buf[i] && i % 8)
				continue;
			for (size_t f = 0; f < 3; f++) {
				img->buf[i] ^= flip[f];
				assert_honest(img, good, "flip at", i);
				img->buf[i] ^= flip[f];
			}
		}
		image_free(img);
		free(good);
	}
}

static void every_pair_of_sectors_wiped(void **state)
{
	(void)state;
	for (size_t k = 0; k < 3; k++) {
		uint8_t *good = good_contents(&kind[k]);
		struct image *img = vhd_build(&kind[k]);
		size_t meta = 0, n = img->len / 512;

		while (is_metadata(img, &kind[k], meta * 512))
			meta++;
		image_free(img);
		for (size_t a = 0; a < meta; a++) {
			for (size_t b = a; b < meta; b++) {
				size_t last = b + 1 == meta ? n - 1 : b;

				img = vhd_build(&kind[k]);
				memset(img->buf + a * 512, 0, 512);
				memset(img->buf + last * 512, 0, 512);
				assert_honest(img, good, "sectors wiped from", a * 512);
				image_free(img);
			}
		}
		free(good);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(truncated_at_every_sector_and_beside_it),
		cmocka_unit_test(every_metadata_byte_flipped),
		cmocka_unit_test(every_pair_of_sectors_wiped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
