/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes that Windows and cryptsetup made: none is accused, and damage to them is seen. */
#include <stdio.h>
#include <unistd.h>

#include "crypto/bitlocker.h"
#include "crypto/luks.h"
#include "recover/keyless.h"
#include "tests/lib/corpus.h"

static const struct volume {
	const char *path;
	const struct layer_ops *ops;
	int kind;
	const char *key;
} volumes[] = {
	{"bitlocker/cryptsetup-bitlk-aes-xts-128.img.xz", &bitlocker_ops, KEY_PASSPHRASE,
	 "anaconda"},
	{"bitlocker/cryptsetup-bitlk-aes-xts-128-eow.img.xz", &bitlocker_ops, KEY_PASSPHRASE,
	 "anaconda"},
	{"bitlocker/cryptsetup-bitlk-aes-cbc-elephant-256.img.xz", &bitlocker_ops, KEY_PASSPHRASE,
	 "anaconda"},
	{"bitlocker/cryptsetup-bitlk-aes-cbc-128-4k.img.xz", &bitlocker_ops, KEY_PASSPHRASE,
	 "anaconda"},
	{"bitlocker/cryptsetup-bitlk-togo-aes-cbc-128.img.xz", &bitlocker_ops, KEY_PASSPHRASE,
	 "anaconda"},
	{"bitlocker/dissect-suspended.bin.gz", &bitlocker_ops, 0, NULL},
	{"bitlocker/dissect-decrypted.bin.gz", &bitlocker_ops, 0, NULL},
	{"bitlocker/dissect-vista.bin.gz", &bitlocker_ops, KEY_RECOVERY,
	 "517506-503998-044583-576191-587004-635965-501270-087802"},
	{"luks/cryptsetup-compatimage.img.xz", &luks1_ops, KEY_PASSPHRASE, "compatkey"},
	{"luks/cryptsetup-luks2-mda-64k.img.xz", &luks2_ops, KEY_PASSPHRASE, "Qx3qn46vq0v"},
	{"luks/dissect-luks2-aes-ecb-pbkdf2.bin.gz", &luks2_ops, KEY_PASSPHRASE, "password"},
	{"dm/l2xts512.img.xz", &luks2_ops, KEY_PASSPHRASE, "dev-passphrase"},
	{"dm/l2hmac.img.xz", &luks2_ops, 0, NULL}, /* locked: its tags are another's work */
};

/* What map() says is stored somewhere, ciphertext() finds again from there. */
static void agree(struct layer *l)
{
	uint64_t off = 0;

	while (off < l->size) {
		struct extent run;
		uint64_t len, back = UINT64_MAX;

		assert_int_equal(layer_map(l, off, &run), 0);
		if (run.kind == EXTENT_DATA && l->ops->ciphertext(l, run.at, &len, &back) == 1) {
			assert_int_equal(back, off);
			assert_true(len > 0);
		}
		off += run.len;
	}
}

static void no_volume_of_the_corpus_is_accused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(volumes) / sizeof(*volumes); i++) {
		const struct volume *v = &volumes[i];
		const char *path = corpus_file(v->path);
		struct image *img;

		if (!path)
			skip();
		img = image_path(path);
		for (int open = 0; open < 2; open++) {
			image_open(img, v->ops);
			img->n_seen = 0;
			assert_int_equal(keyless_check(img->top), 0);
			assert_clean(img);
			assert_true(img->n_seen <= 1); /* that it is encrypted in part */
			if (v->key && !open)
				image_key(img, v->kind, v->key, strlen(v->key));
		}
		if (v->key) {
			assert_int_equal(img->err, 0);
			agree(img->top);
		}
		image_free(img);
		corpus_file(NULL);
	}
}

/* Put noise where nothing was written, as a volume looks that was encrypted as a whole. */
static void fill(struct image *img)
{
	uint64_t x = 88172645463325252ull, len, off;

	for (uint64_t at = 0; at < img->len; at += 512) {
		if (img->top->ops->ciphertext(img->top, at, &len, &off) != 1 ||
		    keyless_look(img->buf + at) == LOOK_RANDOM)
			continue;
		for (size_t k = 0; k < 512; k += 8) {
			uint64_t w;

			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			w = x * 0x2545f4914f6cdd1dull;
			memcpy(img->buf + at + k, &w, 8);
		}
	}
}

static void damage_to_a_wholly_encrypted_bitlocker_volume(void **state)
{
	const char *path = corpus_file("bitlocker/cryptsetup-bitlk-aes-xts-128.img.xz");
	struct image *img;
	uint64_t moved;

	(void)state;
	if (!path)
		skip();
	img = image_file(path);
	image_open(img, &bitlocker_ops);
	moved = le64(
		fve_copy_header(&((struct bitlocker *)img->top->priv)->copy[0])->header_offset);
	fill(img);
	img->n_seen = 0;
	assert_int_equal(keyless_check(img->top), 0);
	assert_int_equal(img->n_seen,
			 0); /* metadata, the header and the moved sectors' old place */

	memset(img->buf + 0x3000000, 0, 4096);
	memset(img->buf + moved + 512, 0, 512); /* the second sector, where it is stored */
	assert_int_equal(keyless_check(img->top), 0);
	assert_int_equal(image_seen(img, CIPHERTEXT_OVERWRITTEN, ANYWHERE), 2);
	assert_finding(img, CIPHERTEXT_OVERWRITTEN, 0x3000000);
	assert_finding(img, CIPHERTEXT_OVERWRITTEN, moved + 512);
	assert_int_equal(image_first(img, CIPHERTEXT_OVERWRITTEN)->fact.off + img->seen[1].fact.off,
			 0x3000000 + 512);
	image_free(img);
	corpus_file(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_volume_of_the_corpus_is_accused),
		cmocka_unit_test(damage_to_a_wholly_encrypted_bitlocker_volume),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
