/* SPDX-License-Identifier: Apache-2.0 */
/* LUKS2 authenticated encryption: volumes of a real kernel ($CORPUS/dm), whole and flipped. */
#include <errno.h>
#include <stdio.h>

#include "crypto/keys.h"
#include "crypto/luks.h"
#include "tests/lib/corpus.h"

static const char passphrase[] = "dev-passphrase";

static const struct volume {
	const char *file, *sha256;
	uint64_t size;
	uint32_t block;
} volumes[] = {
	{"dm/l2hmac.img.xz", "fbeca8e6056b9ca525df96912fbdfad83505b682cee3c7da670849ea985b0ce9",
	 9166848, 4096},
	{"dm/l2gcm.img.xz", "fed8f933dc11d1ed05aaa76cf1cbce40bdcc53fc28093db51ca7f56dc9215149",
	 9183232, 4096},
	{"dm/l2chapoly.img.xz", "c56c618179ad07cbbaf7200214b83ca60d264f67cd376ef6a09217c0502a1e43",
	 8470528, 512},
};
enum { VOLUMES = sizeof(volumes) / sizeof(*volumes) };

static struct image *volume(const struct volume *v, bool key)
{
	const char *path = corpus_file(v->file);
	struct image *img;

	if (!path)
		skip();
	img = image_file(path);
	corpus_file(NULL);
	if (key)
		image_key(img, KEY_PASSPHRASE, passphrase, strlen(passphrase));
	return img;
}

static void check_data(struct image *img)
{
	img->n_seen = 0;
	img->s.opt.data = true;
	assert_int_equal(img->top->ops->check(img->top), 0);
}

static void plaintext_is_what_the_kernel_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < VOLUMES; i++) {
		struct image *img = volume(&volumes[i], true);
		char hex[65];

		image_open(img, &luks2_ops);
		assert_int_equal(img->err, 0);
		check_data(img);
		assert_clean(img);
		assert_int_equal(img->top->size, volumes[i].size);
		layer_sha256(img->top, img->top->size, hex);
		assert_string_equal(hex, volumes[i].sha256);
		image_exercise(img->top);
		image_free(img);
	}
}

static void size_is_known_before_any_key(void **state)
{
	(void)state;
	for (size_t i = 0; i < VOLUMES; i++) {
		struct image *img = volume(&volumes[i], false);

		image_open(img, &luks2_ops);
		assert_int_equal(img->err, -ENOKEY);
		assert_int_equal(img->top->size, volumes[i].size);
		image_free(img);
	}
}

/* The image is opened once, for the KDF takes long; what is flipped is read anew each time. */
static void a_flipped_bit_makes_its_sector_doubtful_and_no_other(void **state)
{
	static const uint64_t blocks[] = {0, 1, 333, 2000};

	(void)state;
	for (size_t i = 0; i < VOLUMES; i++) {
		const struct volume *v = &volumes[i];
		struct image *img = volume(v, true);

		image_open(img, &luks2_ops);
		assert_int_equal(img->err, 0);
		for (size_t k = 0; k < sizeof(blocks) / sizeof(*blocks); k++) {
			uint64_t off = blocks[k] * v->block;
			struct extent run;
			const struct seen *s;

			assert_int_equal(layer_map(img->top, off, &run), 0);
			img->buf[run.at + 100] ^= 4;
			check_data(img);
			s = image_first(img, INTEGRITY_TAG);
			assert_non_null(s);
			assert_int_equal(image_worse(img, INFO + 1), 1);
			assert_int_equal(s->fact.off, off);
			assert_int_equal(s->fact.len, v->block);
			assert_int_equal(s->fact.at, run.at);
			assert_true(s->fact.doubtful);
			img->buf[run.at + 100] ^= 4;
		}
		check_data(img);
		assert_clean(img);
		image_free(img);
	}
}

static void a_lost_dm_integrity_superblock_is_named(void **state)
{
	struct image *img = volume(&volumes[1], true);
	uint64_t at = 0;

	(void)state;
	while (memcmp(img->buf + at, "integrt", 8))
		at += 512;
	memset(img->buf + at, 0, 64);
	image_open(img, &luks2_ops);
	assert_int_equal(img->err, -EOPNOTSUPP);
	assert_finding(img, INTEGRITY_SUPERBLOCK, at);
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plaintext_is_what_the_kernel_read),
		cmocka_unit_test(size_is_known_before_any_key),
		cmocka_unit_test(a_flipped_bit_makes_its_sector_doubtful_and_no_other),
		cmocka_unit_test(a_lost_dm_integrity_superblock_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
