/* SPDX-License-Identifier: Apache-2.0 */
/* Devices that a real kernel wrote ($CORPUS/dm): read as it read them, and flipped here and there. */
#include <stdio.h>

#include "crypto/integrity.h"
#include "crypto/keys.h"
#include "tests/lib/corpus.h"

static const char hmac_key[] = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk";

/* Truth of dm/TRUTH.txt; places as `info` shows them, counted by hand from the superblock. */
static const struct device {
	const char *file, *sha256, *hash;
	uint64_t size, data, tags; /* of the first area, in the image */
	uint32_t block;
	size_t tag;
	bool key;
} devices[] = {
	{"dm/icrc32c.img.xz", "36f0ff7ea5ff2ac4ba4d877f5e68a6d5d27400f99c49dec8acb675d629388983",
	 "crc32c", 10260480, 0x37000, 0x17000, 512, 4, false},
	{"dm/ihmac.img.xz", "5811bb5b763c72e43938b05af7f0758a1da279b03c9e385caa4ec97138e74dca",
	 "hmac(sha256)", 10215424, 0x42000, 0x22000, 4096, 32, true},
	{"dm/isha256-bitmap.img.xz",
	 "82624d6577717f212e0c380d43cd99e577bb000bd46fe19d1caf3a6e37893711", "sha256", 10215424,
	 0x42000, 0x22000, 4096, 32, false},
};
enum { DEVICES = sizeof(devices) / sizeof(*devices) };

static struct image *device(const struct device *v)
{
	const char *path = corpus_file(v->file);
	struct image *img;

	if (!path)
		skip();
	img = image_file(path);
	corpus_file(NULL);
	if (v->key)
		image_key(img, KEY_VOLUME_KEY, hmac_key, 32);
	return img;
}

static void check_data(struct image *img)
{
	image_open(img, &integrity_ops);
	assert_int_equal(img->err, 0);
	img->s.opt.data = true;
	assert_int_equal(img->top->ops->check(img->top), 0);
}

static void plaintext_is_what_the_kernel_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < DEVICES; i++) {
		struct image *img = device(&devices[i]);
		char hex[65];

		check_data(img);
		assert_clean(img);
		assert_int_equal(img->n_seen, 0);
		assert_int_equal(img->top->size, devices[i].size);
		layer_sha256(img->top, img->top->size, hex);
		assert_string_equal(hex, devices[i].sha256);
		assert_readable(img, 0, img->top->size);
		image_free(img);
	}
}

static void hmac_without_its_key_is_undecided_and_readable(void **state)
{
	struct image *img = device(&devices[1]);
	char hex[65];

	(void)state;
	image_no_keys(img);
	check_data(img);
	assert_int_equal(image_seen(img, INTEGRITY_KEY, 0x22000), 1);
	layer_sha256(img->top, img->top->size, hex);
	assert_string_equal(hex, devices[1].sha256);
	image_key(img, KEY_VOLUME_KEY, "wrong", 5);
	check_data(img);
	assert_non_null(strstr(image_first(img, INTEGRITY_KEY)->message, "none of 1 keys"));
	image_free(img);
}

/* Exactly the block at @off of the volume is doubtful. */
static void assert_only(struct image *img, uint64_t off, uint32_t block)
{
	struct ranges bad = {0};
	uint8_t *buf = malloc(img->top->size);

	assert_non_null(buf);
	assert_int_equal(layer_read(img->top, 0, buf, img->top->size, &bad), 0);
	assert_int_equal(bad.n, 1);
	assert_int_equal(bad.v[0].off, off);
	assert_int_equal(bad.v[0].len, block);
	assert_int_equal(bad.v[0].grade, GRADE_DOUBTFUL);
	assert_int_equal(bad.v[0].why, INTEGRITY_TAG);
	ranges_free(&bad);
	free(buf);
}

static void a_flipped_bit_makes_its_block_doubtful_and_no_other(void **state)
{
	static const uint64_t blocks[] = {0, 1, 7, 100, 1000, 2000};

	(void)state;
	for (size_t i = 0; i < DEVICES; i++) {
		const struct device *v = &devices[i];
		struct image *img = device(v);

		for (size_t k = 0; k < 2 * sizeof(blocks) / sizeof(*blocks); k++) {
			uint64_t n = blocks[k / 2], at = v->data + n * v->block;
			uint64_t flip = k % 2 ? v->tags + n * v->tag + v->tag - 1 : at + 77;
			const struct seen *s;

			img->buf[flip] ^= 0x10;
			check_data(img);
			assert_only(img, n * v->block, v->block);
			s = image_first(img, INTEGRITY_TAG);
			assert_non_null(s);
			assert_int_equal(image_worse(img, INFO + 1), 1);
			assert_int_equal(s->fact.at, at);
			assert_int_equal(s->fact.at_len, v->block);
			assert_int_equal(s->fact.off, n * v->block);
			assert_true(s->fact.doubtful);
			img->buf[flip] ^= 0x10;
		}
		image_free(img);
	}
}

static void a_run_of_flipped_sectors_is_one_finding(void **state)
{
	const struct device *v = &devices[0];
	struct image *img = device(v);

	(void)state;
	for (unsigned i = 50; i < 60; i++)
		img->buf[v->data + i * 512] ^= 1;
	check_data(img);
	assert_int_equal(image_seen(img, INTEGRITY_TAG, ANYWHERE), 1);
	assert_int_equal(image_first(img, INTEGRITY_TAG)->fact.len, 10 * 512);
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plaintext_is_what_the_kernel_read),
		cmocka_unit_test(hmac_without_its_key_is_undecided_and_readable),
		cmocka_unit_test(a_flipped_bit_makes_its_block_doubtful_and_no_other),
		cmocka_unit_test(a_run_of_flipped_sectors_is_one_finding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
