/* SPDX-License-Identifier: Apache-2.0 */
/* BitLocker's metadata, damaged: one good block is enough, and what is lost is said. */
#include <errno.h>

#include "crypto/bitlocker.h"
#include "formats/drivers.h"
#include "tests/lib/bitlocker_build.h"
#include "tests/lib/image.h"
#include "vdiskck/core/sum.h"

enum { SIZE = 384 << 10 };

static void plain(uint8_t *p)
{
	memset(p, 0, SIZE);
	for (size_t i = 0; i < 32 << 10; i++)
		p[i] = (uint8_t)(i / 512 + i % 7);
	memcpy(p + 3, "NTFS    ", 8);
	memcpy(p + 510, "\x55\xaa", 2);
}

static struct image *make(struct bitlocker_build *b)
{
	struct image *img = image_new(SIZE);

	plain(img->buf);
	assert_int_equal(bitlocker_build(b, img->buf, SIZE), 0);
	return img;
}

static bool has_plaintext(struct layer *top)
{
	static uint8_t want[SIZE], got[SIZE];
	struct ranges bad = {0};
	bool good;

	plain(want);
	assert_int_equal(layer_read(top, 0, got, SIZE, &bad), 0);
	good = !bad.n && !memcmp(want, got, SIZE);
	ranges_free(&bad);
	return good;
}

enum fate { KEPT, ZEROED, BROKEN };

/* BROKEN: its addresses and its datums are hit, so that only the CRC tells. */
static void hit_copy(struct image *img, uint64_t off, enum fate f)
{
	if (f == ZEROED)
		memset(img->buf + off, 0, FVE_BLOCK);
	if (f == BROKEN) {
		img->buf[off + 0x21] ^= 0x40;
		img->buf[off + 0x29] ^= 0x40;
		img->buf[off + 0x120] ^= 0x10;
	}
}

static void hit_header(struct image *img, enum fate f)
{
	if (f == ZEROED)
		memset(img->buf, 0, 512);
	if (f == BROKEN)
		for (int i = 0; i < 512; i++)
			img->buf[i] = (uint8_t)(i * 37 + 11);
}

/* 3 headers * 27 states of the copies; all but the 24 without a good copy open. */
static void one_good_block_is_enough(void **state)
{
	struct bitlocker_build b = {.clear = true};
	struct image *good = make(&b), *img = image_new(SIZE);
	int opened = 0;

	(void)state;
	for (int n = 0; n < 81; n++) {
		enum fate header = n % 3, copy[3] = {n / 3 % 3, n / 9 % 3, n / 27 % 3};
		size_t bad = 0;

		memcpy(img->buf, good->buf, SIZE);
		hit_header(img, header);
		for (int i = 0; i < 3; i++) {
			hit_copy(img, b.copy[i], copy[i]);
			bad += copy[i] != KEPT;
		}
		if (bad == 3)
			continue;
		image_discover(img);
		if (img->err || !img->top || img->top->ops != &bitlocker_ops ||
		    !has_plaintext(img->top)) {
			image_print(img);
			fail_msg("header %d, copies %d %d %d: error %d, %s", header, copy[0], copy[1],
				 copy[2], img->err, img->top ? img->top->path : "nothing");
		}
		opened++;
		assert_int_equal(image_seen(img, FVE_HEADER_LOST, 0), header != KEPT);
		assert_int_equal(image_seen(img, FVE_COPY_BAD, ANYWHERE), bad);
		for (int i = 0; i < 3; i++)
			assert_int_equal(image_seen(img, FVE_COPY_BAD, b.copy[i]), copy[i] != KEPT);
		assert_int_equal(image_worse(img, BLEMISH), bad + (header != KEPT));
	}
	assert_int_equal(opened, 57);
	image_free(img);
	image_free(good);
}

static void without_a_good_block_the_best_bad_one_is_used(void **state)
{
	struct bitlocker_build b = {.clear = true};
	struct image *img = make(&b);

	(void)state;
	for (int i = 0; i < 3; i++)
		img->buf[b.copy[i] + 0x70 + 8] ^= 1; /* a letter of the description */
	image_check(img, &bitlocker_ops);
	assert_int_equal(img->err, 0);
	assert_finding(img, FVE_COPY_USED_BAD, b.copy[0]);
	assert_non_null(strstr(image_first(img, FVE_COPY_USED_BAD)->stored, "CRC-32"));
	assert_true(has_plaintext(img->top));
	image_free(img);
}

static void all_blocks_lost_is_not_opened(void **state)
{
	struct bitlocker_build b = {.clear = true};
	struct image *img = make(&b);

	(void)state;
	for (int i = 0; i < 3; i++)
		memset(img->buf + b.copy[i], 0, FVE_BLOCK);
	image_open(img, &bitlocker_ops);
	assert_int_equal(img->err, -EBADMSG);
	image_discover(img);
	assert_finding(img, LAYER_UNREADABLE, ANYWHERE);
	image_free(img);
}

static void a_header_that_lies_is_reported_and_not_believed(void **state)
{
	struct bitlocker_build b = {.clear = true};
	struct image *img = make(&b);

	(void)state;
	img->buf[0xb8 + 1] ^= 0x10; /* address of the second copy */
	image_check(img, &bitlocker_ops);
	assert_finding(img, FVE_HEADER_BAD, 0);
	assert_int_equal(image_worse(img, BLEMISH), 1);
	assert_true(has_plaintext(img->top));
	img->buf[0xb8 + 1] ^= 0x10;
	img->buf[5] ^= 0x10; /* -FVE-FS- */
	image_check(img, &bitlocker_ops);
	assert_finding(img, FVE_HEADER_BAD, 0);
	img->buf[5] ^= 0x10;
	img->buf[0x0c] = 0x10; /* sectors of 4096 bytes */
	image_check(img, &bitlocker_ops);
	assert_finding(img, FVE_SECTOR_SIZE, 11);
	assert_int_equal(img->top->sector, 512);
	assert_true(has_plaintext(img->top));
	image_free(img);
}

static void sectors_of_4096_are_told_without_a_header(void **state)
{
	struct bitlocker_build b = {.clear = true, .sector = 4096, .method = FVE_CBC256_ELEPHANT};
	struct image *img = make(&b);

	(void)state;
	memset(img->buf, 0, 4096);
	image_check(img, &bitlocker_ops);
	assert_int_equal(img->top->sector, 4096);
	assert_int_equal(image_worse(img, BLEMISH), 1);
	assert_true(has_plaintext(img->top));
	image_free(img);
}

static void an_unknown_sector_size_is_said(void **state)
{
	struct bitlocker_build b = {.clear = true};
	struct image *img = image_new(SIZE);

	(void)state;
	plain(img->buf);
	memset(img->buf + 3, 'x', 8); /* no file system that we know */
	assert_int_equal(bitlocker_build(&b, img->buf, SIZE), 0);
	memset(img->buf, 0, 512);
	image_check(img, &bitlocker_ops);
	assert_int_equal(img->err, 0);
	assert_finding(img, FVE_SECTOR_SIZE, 11);
	assert_int_equal(img->top->sector, 512);
	image_free(img);
}

static void a_copy_that_was_altered_with_its_crc_is_found_by_its_hash(void **state)
{
	struct bitlocker_build b = {.clear = true};
	struct image *img = make(&b);
	uint64_t at = b.copy[1];

	(void)state;
	img->buf[at + 0x70 + 8] ^= 1;
	image_le32(img, at + b.block + 4, sum_crc32(0, img->buf + at, b.block));
	image_check(img, &bitlocker_ops);
	assert_finding(img, FVE_COPY_HASH, at);
	assert_finding(img, FVE_COPY_DIFFERS, at);
	assert_int_equal(image_worse(img, DAMAGE), 1);
	/* Properly sealed: they differ all the same, as after an update that was cut short. */
	bitlocker_build_seal(&b, 1);
	image_check(img, &bitlocker_ops);
	assert_int_equal(image_worse(img, BLEMISH), 1);
	assert_finding(img, FVE_COPY_DIFFERS, at);
	image_free(img);
}

static void a_block_in_the_wrong_place_is_not_a_good_copy(void **state)
{
	struct bitlocker_build b = {.clear = true};
	struct image *img = make(&b);

	(void)state;
	/* The first copy where nobody expects it, as the only one; the header names that place. */
	memcpy(img->buf + (64 << 10), img->buf + b.copy[0], FVE_BLOCK / 2);
	for (int i = 0; i < 3; i++)
		memset(img->buf + b.copy[i], 0, FVE_BLOCK);
	image_le64(img, 0xb0, 64 << 10);
	image_check(img, &bitlocker_ops);
	assert_int_equal(img->err, 0);
	assert_finding(img, FVE_COPY_USED_BAD, 64 << 10);
	image_free(img);
}

/*
 * Every byte of the only block that is left: what opens is right, or something is said that is
 * more than the two lost copies. Never a crash.
 */
static void every_byte_of_a_block_flipped(void **state)
{
	struct bitlocker_build b = {.clear = true};
	struct image *img = make(&b);
	int opened = 0;

	(void)state;
	memset(img->buf + b.copy[1], 0, FVE_BLOCK);
	memset(img->buf + b.copy[2], 0, FVE_BLOCK);
	for (size_t i = 0; i < b.block + 88; i++) {
		uint8_t *p = img->buf + b.copy[0] + i;

		for (int bit = 0; bit < 8; bit += 7) {
			*p ^= (uint8_t)(1 << bit);
			image_check(img, &bitlocker_ops);
			if (!img->err) {
				opened++;
				if (image_worse(img, DAMAGE) == 0 && !has_plaintext(img->top))
					fail_msg("byte %#zx: wrong plaintext, nothing said", i);
				if (i < b.block || (i >= b.block + 4 && i < b.block + 8))
					assert_true(image_worse(img, DAMAGE));
				image_exercise(img->top);
			}
			*p ^= (uint8_t)(1 << bit);
		}
	}
	assert_true(opened > 500);
	image_free(img);
}

/* With two whole copies besides, no flip costs anything. */
static void every_byte_of_one_of_three_blocks_flipped(void **state)
{
	struct bitlocker_build b = {.clear = true};
	struct image *img = make(&b);

	(void)state;
	for (size_t i = 0; i < b.block + 8; i++) {
		uint8_t *p = img->buf + b.copy[0] + i;

		*p ^= 0x10;
		image_check(img, &bitlocker_ops);
		assert_int_equal(img->err, 0);
		/* The validation's size and version are not covered by anything. */
		if (i < b.block || i >= b.block + 4)
			assert_true(image_seen(img, FVE_COPY_BAD, b.copy[0]));
		assert_true(has_plaintext(img->top));
		*p ^= 0x10;
	}
	image_free(img);
}

/* The volume header: all it holds is known better by the blocks. */
static void every_byte_of_the_volume_header_flipped(void **state)
{
	struct bitlocker_build b = {.clear = true};
	struct image *img = make(&b);

	(void)state;
	for (size_t i = 0; i < 512; i++)
		for (int bit = 0; bit < 8; bit++) {
			img->buf[i] ^= (uint8_t)(1 << bit);
			image_check(img, &bitlocker_ops);
			if (img->err || !has_plaintext(img->top)) {
				image_print(img);
				fail_msg("byte %#zx, bit %d: error %d", i, bit, img->err);
			}
			if (i >= 0xb0 && i < 0xc8)
				assert_finding(img, FVE_HEADER_BAD, 0);
			img->buf[i] ^= (uint8_t)(1 << bit);
		}
	image_free(img);
}

static bool odd(uint64_t chunk)
{
	return chunk & 1;
}

/* Encrypt-on-write: any state of its structures is read without a crash, and ends. */
static void every_byte_of_encrypt_on_write_flipped(void **state)
{
	struct bitlocker_build b = {.clear = true, .eow_chunk = 4096, .eow_set = odd};
	struct image *img = make(&b);
	const uint64_t at[] = {b.eow[0], b.eow_bitmap};
	const size_t len[] = {b.eow_size, b.eow_record[1] + 64};

	(void)state;
	memset(img->buf + b.eow[1], 0, 512);
	for (int k = 0; k < 2; k++)
		for (size_t i = 0; i < len[k]; i++)
			for (int sealed = 0; sealed < 2; sealed++) {
				uint8_t *p = img->buf + at[k] + i, was = *p;

				if (sealed && k && i >= 0x2c && i < 0x34)
					continue; /* where the records lie: nothing to seal */
				*p ^= 0x81;
				if (sealed && k && i >= b.eow_record[0])
					bitlocker_build_seal_eow(&b);
				image_check(img, &bitlocker_ops);
				assert_int_equal(img->err, 0);
				image_exercise(img->top);
				*p = was;
				bitlocker_build_seal_eow(&b);
				memset(img->buf + b.eow[1], 0, 512);
			}
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_good_block_is_enough),
		cmocka_unit_test(without_a_good_block_the_best_bad_one_is_used),
		cmocka_unit_test(all_blocks_lost_is_not_opened),
		cmocka_unit_test(a_header_that_lies_is_reported_and_not_believed),
		cmocka_unit_test(sectors_of_4096_are_told_without_a_header),
		cmocka_unit_test(an_unknown_sector_size_is_said),
		cmocka_unit_test(a_copy_that_was_altered_with_its_crc_is_found_by_its_hash),
		cmocka_unit_test(a_block_in_the_wrong_place_is_not_a_good_copy),
		cmocka_unit_test(every_byte_of_a_block_flipped),
		cmocka_unit_test(every_byte_of_one_of_three_blocks_flipped),
		cmocka_unit_test(every_byte_of_the_volume_header_flipped),
		cmocka_unit_test(every_byte_of_encrypt_on_write_flipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
