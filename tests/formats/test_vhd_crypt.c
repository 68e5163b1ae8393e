/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XenServer's encrypted VHDs. No tool at hand makes them: the writer here is ours, from the facts in
 * blktap (crypto/xen_vhd.c names them), with libgcrypt's XTS and SHA-256 called directly.
 */
#include <errno.h>
#include <gcrypt.h>
#include <stdio.h>

#include "crypto/keys.h"
#include "formats/drivers.h"
#include "tests/lib/image.h"
#include "tests/lib/vhd_build.h"

enum { BLOCK = 32768, BAT = 1536, HEAD = BAT + 512 };

static const struct vhd_spec xen = {
	.creator = "tap",
	.batmap = true,
	.key = 1,
	.write = {{0, BLOCK, 'A'}, {2 * BLOCK + 1024, 2048, 'B'}},
};

static void key_of(uint8_t key[64], uint8_t seed)
{
	for (int i = 0; i < 64; i++)
		key[i] = (uint8_t)(seed + 7 * i);
}

/* Encrypt what is allocated, and put the key's hash in. */
static void encrypt(struct image *img, const struct vhd_spec *s, const uint8_t *key, size_t len)
{
	struct vhd_batmap_header *b = (void *)(img->buf + HEAD);
	uint8_t text[32 + 64];
	gcry_cipher_hd_t c;

	memcpy(text, b->key_nonce, 32);
	memcpy(text + 32, key, len);
	gcry_md_hash_buffer(GCRY_MD_SHA256, b->key_hash, text, 32 + len);
	assert_int_equal(gcry_cipher_open(&c, len == 64 ? GCRY_CIPHER_AES256 : GCRY_CIPHER_AES128,
					  GCRY_CIPHER_MODE_XTS, 0),
			 0);
	assert_int_equal(gcry_cipher_setkey(c, key, len), 0);
	for (const struct vhd_write *w = s->write; w->len; w++)
		for (uint64_t off = w->off; off < w->off + w->len; off += 512) {
			uint8_t *p = img->buf + vhd_block(img, (uint32_t)(off / BLOCK)) + 512 +
				     off % BLOCK;
			uint8_t tweak[16] = {(uint8_t)(off / 512), (uint8_t)(off / 512 >> 8)};

			assert_int_equal(gcry_cipher_setiv(c, tweak, 16), 0);
			assert_int_equal(gcry_cipher_encrypt(c, p, 512, NULL, 0), 0);
		}
	gcry_cipher_close(c);
}

static struct image *build(const uint8_t *key, size_t len)
{
	struct image *img = vhd_build(&xen);

	encrypt(img, &xen, key, len);
	return img;
}

static void assert_byte(struct layer *l, uint64_t off, size_t len, uint8_t byte)
{
	static uint8_t buf[BLOCK];
	struct ranges bad = {0};

	assert_int_equal(layer_read(l, off, buf, len, &bad), 0);
	assert_int_equal(bad.n, 0);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(buf[i], byte);
}

static void assert_whole(struct layer *l)
{
	assert_byte(l, 0, BLOCK, 'A');
	assert_byte(l, 700, 1000, 'A'); /* meets no sector's bounds */
	assert_byte(l, BLOCK, BLOCK, 0);
	assert_byte(l, 2 * BLOCK, 1024, 0); /* in the block, but never written */
	assert_byte(l, 2 * BLOCK + 1024, 2048, 'B');
	assert_byte(l, 2 * BLOCK + 1025, 600, 'B');
}

static void both_key_sizes_open(void **state)
{
	(void)state;
	for (size_t len = 32; len <= 64; len += 32) {
		uint8_t key[64];
		struct image *img;

		key_of(key, 5);
		img = build(key, len);
		image_key(img, KEY_KEYFILE, "not this one, though it is long enough", 38);
		image_key(img, len == 32 ? KEY_KEYFILE : KEY_VOLUME_KEY, key, len);
		image_discover(img);
		assert_clean(img);
		assert_int_equal(img->top->locked, 0);
		assert_whole(img->top);
		image_free(img);
	}
}

static void without_its_key_the_rest_is_checked(void **state)
{
	uint8_t key[64];
	struct image *img;

	(void)state;
	key_of(key, 5);
	img = build(key, 64);
	image_discover(img);
	assert_int_equal(img->top->locked, -ENOKEY);
	assert_finding(img, LAYER_LOCKED, ANYWHERE);
	assert_int_equal(image_worse(img, BLEMISH), 1);
	assert_lost(img, 0, BLOCK, LAYER_LOCKED);
	assert_byte(img->top, BLOCK, BLOCK, 0);
	assert_true(img->s.checked > 0);

	key[63] ^= 1; /* the first 32 bytes are right: still not the key */
	image_key(img, KEY_KEYFILE, key, 64);
	vhd_bat(img, 2, UINT64_C(1) << 40);
	image_discover(img);
	assert_int_equal(img->top->locked, -EKEYREJECTED);
	assert_finding(img, LAYER_KEY_REJECTED, ANYWHERE);
	assert_finding(img, VHD_BAT_PAST_END, BAT + 8);
	image_free(img);
}

static void the_hash_decides_what_the_cookie_says(void **state)
{
	struct vhd_spec plain = xen;
	uint8_t key[64];
	struct image *img;

	(void)state;
	key_of(key, 9);
	img = build(key, 64);
	img->buf[HEAD + 0x1d] = 0;
	image_key(img, KEY_KEYFILE, key, 64);
	image_discover(img);
	assert_finding(img, VHD_KEY_COOKIE, HEAD + 0x1d);
	assert_whole(img->top);
	image_free(img);

	plain.key = 0;
	img = vhd_build(&plain);
	img->buf[HEAD + 0x1d] = 1;
	image_discover(img);
	assert_finding(img, VHD_KEY_COOKIE, HEAD + 0x1d);
	assert_whole(img->top);
	image_free(img);
}

/* A child in clear on an encrypted parent, and the reverse; each by its own key. */
static void links_have_their_own_keys(void **state)
{
	char dir[] = "/tmp/test_vhdc.XXXXXX", path[64], top[64];
	uint8_t key[64], other[64];

	(void)state;
	key_of(key, 5);
	key_of(other, 77);
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/parent.vhd", dir);
	snprintf(top, sizeof(top), "%s/child.vhd", dir);
	for (int i = 0; i < 4; i++) {
		struct vhd_spec p = xen, c = {.type = VHD_DIFFERENCING,
					      .creator = "tap",
					      .batmap = true,
					      .id = 0x22,
					      .parent_id = 0x11,
					      .parent_name = "parent.vhd",
					      .macx = "parent.vhd",
					      .write = {{BLOCK, 1024, 'C'}, {0, 512, 'D'}}};
		struct image *img;

		p.key = i & 1;
		c.key = i & 2;
		img = vhd_build(&p);
		if (p.key)
			encrypt(img, &p, key, 64);
		image_write(img, path);
		image_free(img);
		img = vhd_build(&c);
		if (c.key)
			encrypt(img, &c, other, 32);
		image_write(img, top);
		image_free(img);

		img = image_path(top);
		image_discover(img);
		assert_non_null(img->top->parent);
		assert_int_equal(img->top->locked, c.key ? -ENOKEY : 0);
		assert_int_equal(img->top->parent->locked, p.key ? -ENOKEY : 0);
		assert_int_equal(image_seen(img, LAYER_LOCKED, ANYWHERE), !!p.key + !!c.key);
		if (p.key)
			assert_lost(img, 1024, 4096, LAYER_LOCKED);
		if (c.key)
			assert_lost(img, BLOCK, 1024, LAYER_LOCKED);
		image_key(img, KEY_KEYFILE, key, 64);
		image_key(img, KEY_KEYFILE, other, 32);
		image_discover(img);
		assert_clean(img);
		assert_byte(img->top, 0, 512, 'D');
		assert_byte(img->top, 512, BLOCK - 512, 'A');
		assert_byte(img->top, BLOCK, 1024, 'C');
		assert_byte(img->top, 2 * BLOCK + 1024, 2048, 'B');
		image_free(img);
	}
	remove(path);
	remove(top);
	remove(dir);
}

static void any_byte_of_the_batmap_header_may_be_wrong(void **state)
{
	uint8_t key[64];
	struct image *img;

	(void)state;
	key_of(key, 5);
	img = build(key, 64);
	image_key(img, KEY_KEYFILE, key, 64);
	for (uint64_t i = 0; i < 512; i++) {
		img->buf[HEAD + i] ^= 0xff;
		image_check(img, &vhd_ops);
		if (!img->err)
			image_exercise(img->top);
		/* The wrong key never decrypts. */
		if (i >= 0x1e && i < 0x5e)
			assert_int_equal(img->top->locked, -EKEYREJECTED);
		img->buf[HEAD + i] ^= 0xff;
	}
	for (size_t len = img->len; len > 600; len -= 509) {
		image_resize(img, len);
		image_check(img, &vhd_ops);
		if (!img->err)
			image_exercise(img->top);
	}
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_key_sizes_open),
		cmocka_unit_test(without_its_key_the_rest_is_checked),
		cmocka_unit_test(the_hash_decides_what_the_cookie_says),
		cmocka_unit_test(links_have_their_own_keys),
		cmocka_unit_test(any_byte_of_the_batmap_header_may_be_wrong),
	};

	gcry_check_version(NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
