/* SPDX-License-Identifier: Apache-2.0 */
/* The dissect LUKS2 devices take 5 to 20 s of KDF each: not here. LUKS devices that cryptsetup and dissect.fve test themselves with, and their damage. */
#include <errno.h>
#include <stdio.h>

#include "crypto/keys.h"
#include "crypto/luks.h"
#include "tests/lib/corpus.h"

static const char mda[] = "e187fdce3c4309544505fe845b34166151b52be209572f4936ec590e67ab22f8";

static const struct device {
	const char *name, *passphrase; /* NULL: cryptsetup-luks1-keyfile1 */
	const char *sha256;
	const struct layer_ops *ops;
} devices[] = {
	{"cryptsetup-compatimage.img.xz", "compatkey",
	 "7428e8f2436882a07eb32765086f5c899474c08b5576f556b573d2aabdf923e8", &luks1_ops},
	{"cryptsetup-compatimage2.img.xz", "compatkey",
	 "38ef2d1b8c387efb50680e1d3f234f170d2b7b6c6d9eb856b4f426543a6c4ef2", &luks2_ops},
	{"cryptsetup-luks1_aes-cbc-essiv-sha256-sha1.img.xz", NULL,
	 "15898285e6c9ad576729cc01e5a557ebddfe562ea855bae0a2aba4fb8439eb1a", &luks1_ops},
	{"cryptsetup-luks1_aes-xts-plain64-sha256.img.xz", NULL,
	 "b42c93fc807d8c40cc05c932ae5c27fc56af96a0a3d5f53d215f63e4c59e7577", &luks1_ops},
	{"cryptsetup-luks1_aes-xts-plain64-whirlpool.img.xz", NULL,
	 "7184f40554996bfc78cf81ec870b29debc3fff0554fc136fb41b0c431c9cf953", &luks1_ops},
	{"cryptsetup-luks1_serpent-xts-plain64-sha1.img.xz", NULL,
	 "113a7ec676133cf08f62680d0c6227fce14c985b0938e648c81a842c8813d3f0", &luks1_ops},
	{"cryptsetup-luks1_twofish-xts-plain64-sha1.img.xz", NULL,
	 "4949cb8a45c88345c7aeee528f12ec98f87a333c019ee25e9a51f8810ffcdc28", &luks1_ops},
	{"cryptsetup-luks2-mda-16k.img.xz", "Qx3qn46vq0v", mda, &luks2_ops},
	{"cryptsetup-luks2-mda-4096k.img.xz", "Qx3qn46vq0v", mda, &luks2_ops},
};
enum { DEVICES = sizeof(devices) / sizeof(*devices) };

static struct image *unpack(const char *name)
{
	char path[128];
	const char *file;

	snprintf(path, sizeof(path), "luks/%s", name);
	file = corpus_file(path);
	if (!file)
		skip();
	return image_file(file);
}

static void add_key(struct image *img, const char *passphrase)
{
	size_t len;
	uint8_t *key;

	if (passphrase) {
		image_key(img, KEY_PASSPHRASE, passphrase, strlen(passphrase));
		return;
	}
	key = corpus_bytes("luks/cryptsetup-luks1-keyfile1", &len);
	assert_non_null(key);
	image_key(img, KEY_KEYFILE, key, len);
	free(key);
}

static void plaintext_is_the_truth(void **state)
{
	const struct device *d = *state;
	struct image *img = unpack(d->name);
	char hex[65];

	image_open(img, d->ops);
	assert_int_equal(img->err, -ENOKEY);
	add_key(img, d->passphrase);
	image_check(img, d->ops);
	assert_int_equal(img->err, 0);
	assert_clean(img);
	layer_sha256(img->top, img->top->size, hex);
	assert_string_equal(hex, d->sha256);
	image_free(img);
}

static void luks2_headers_stand_in_for_each_other(void **state)
{
	struct image *img = unpack("cryptsetup-luks2-mda-16k.img.xz");
	const uint64_t second = 0x4000;
	uint8_t *keep = malloc(2 * second);
	char hex[65];

	(void)state;
	memcpy(keep, img->buf, 2 * second);
	add_key(img, "Qx3qn46vq0v");
	for (int fate = 0; fate < 4; fate++)
		for (int which = 0; which < 2; which++) {
			uint64_t at = which * second;

			memcpy(img->buf, keep, 2 * second);
			if (fate == 0)
				memset(img->buf + at, 0, second);
			else if (fate == 1) /* the JSON is torn in the middle */
				memset(img->buf + at + 4096 + 300, 0, 200);
			else if (fate == 2) /* magic only */
				img->buf[at] ^= 1;
			else
				img->buf[at + 0x1c0] ^= 1; /* the checksum itself */
			image_check(img, &luks2_ops);
			assert_int_equal(img->err, 0);
			assert_finding(img, LUKS2_HEADER_BAD, at);
			assert_int_equal(image_worse(img, BLEMISH), 1);
			layer_sha256(img->top, img->top->size, hex);
			assert_string_equal(hex, mda);
		}
	memset(img->buf, 0, 2 * second);
	image_open(img, &luks2_ops);
	assert_int_equal(img->err, -EBADMSG);
	assert_finding(img, LUKS2_HEADER_USED_BAD, ANYWHERE);
	/* Both checksums wrong, both whole otherwise: used, and said. */
	memcpy(img->buf, keep, 2 * second);
	img->buf[0x1c0] ^= 1;
	img->buf[second + 0x1c0] ^= 1;
	image_check(img, &luks2_ops);
	assert_int_equal(img->err, 0);
	assert_finding(img, LUKS2_HEADER_USED_BAD, 0);
	free(keep);
	image_free(img);
}

static void a_wrong_passphrase_is_told_from_a_lost_keyslot(void **state)
{
	struct image *img = unpack("cryptsetup-luks2-mda-16k.img.xz");
	const struct luks *u;
	uint64_t at;

	(void)state;
	add_key(img, "passwore");
	image_open(img, &luks2_ops);
	assert_int_equal(img->err, -EKEYREJECTED);
	assert_int_equal(image_seen(img, LUKS_KEYSLOT_OVERWRITTEN, ANYWHERE), 0);
	u = img->top->priv;
	at = u->slot[0].off + 1024;
	memset(img->buf + at, 0, 512);
	image_no_keys(img);
	add_key(img, "Qx3qn46vq0v");
	image_open(img, &luks2_ops);
	assert_int_equal(img->err, -EKEYREJECTED);
	assert_finding(img, LUKS_KEYSLOT_OVERWRITTEN, at);
	image_free(img);
}

/* cryptsetup refuses these for the keyslot that we name; what else they hold can be read. */
static void malformed_headers_are_named(void **state)
{
	static const struct {
		const char *name;
		unsigned slot;
	} evil[] = {{"cryptsetup-evil_hdr-keyslot_overlap.xz", 1},
		    {"cryptsetup-evil_hdr-luks_hdr_damage.xz", 2},
		    {"cryptsetup-evil_hdr-stripes_payload_dmg.xz", 5}};

	(void)state;
	for (size_t i = 0; i < sizeof(evil) / sizeof(*evil); i++) {
		struct image *img = unpack(evil[i].name);

		image_open(img, &luks1_ops);
		assert_finding(img, LUKS_KEYSLOT_UNUSED_BAD, 0xd0 + 48 * evil[i].slot);
		image_free(img);
	}
}

static void an_unknown_cipher_is_unsupported(void **state)
{
	struct image *img = unpack("cryptsetup-luks2_invalid_cipher.img.xz");

	(void)state;
	image_open(img, &luks2_ops);
	assert_int_equal(img->err, -EOPNOTSUPP);
	assert_finding(img, LUKS_UNSUPPORTED, ANYWHERE);
	image_free(img);
}

/* Every byte of a LUKS1 header: no crash, no read that does not end. */
static void every_byte_of_a_luks1_header_flipped(void **state)
{
	struct image *img = unpack("dissect-luks1-aes-ecb.bin.gz");

	(void)state;
	for (size_t i = 8; i < 592; i++) {
		img->buf[i] ^= 0x81;
		image_check(img, &luks1_ops);
		if (!img->err)
			image_exercise(img->top);
		img->buf[i] ^= 0x81;
	}
	image_free(img);
}

static void truncated_devices_end_without_a_crash(void **state)
{
	struct image *img = unpack("cryptsetup-luks2-mda-16k.img.xz");

	(void)state;
	for (size_t len = img->len; len > 8000; len -= len > 500000 ? 400009 : 7777) {
		image_resize(img, len);
		image_check(img, &luks2_ops);
		if (img->top)
			image_worse(img, INFO);
	}
	image_free(img);
}

static int clean_up(void **state)
{
	(void)state;
	corpus_file(NULL);
	return 0;
}

int main(void)
{
	const struct CMUnitTest more[] = {
		cmocka_unit_test(luks2_headers_stand_in_for_each_other),
		cmocka_unit_test(a_wrong_passphrase_is_told_from_a_lost_keyslot),
		cmocka_unit_test(malformed_headers_are_named),
		cmocka_unit_test(an_unknown_cipher_is_unsupported),
		cmocka_unit_test(every_byte_of_a_luks1_header_flipped),
		cmocka_unit_test(truncated_devices_end_without_a_crash),
	};
	enum { MORE = sizeof(more) / sizeof(*more) };
	struct CMUnitTest tests[DEVICES + MORE];

	for (int i = 0; i < DEVICES; i++)
		tests[i] = (struct CMUnitTest){.name = devices[i].name,
					       .test_func = plaintext_is_the_truth,
					       .initial_state = (void *)(uintptr_t)&devices[i]};
	memcpy(tests + DEVICES, more, sizeof(more));
	return cmocka_run_group_tests(tests, NULL, clean_up);
}
