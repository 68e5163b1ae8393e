/* SPDX-License-Identifier: Apache-2.0 */
/* The pass without a key where no cipher is a layer of its own: encrypted VHDs; and in tcrypt. */
#include <errno.h>

#include "crypto/keys.h"
#include "crypto/prim.h"
#include "crypto/xen_vhd.h"
#include "formats/drivers.h"
#include "recover/keyless.h"
#include "tests/lib/image.h"
#include "tests/lib/tcrypt_build.h"
#include "tests/lib/vhd_build.h"

enum { BLOCK = 2 << 20, BATMAP = 1536 + 512, MIB = 1 << 20 };

static const uint8_t key[64] = {1, 2, 3, 4};

/* An encrypted VHD, of which blocks 0 and 2 are written; each sector different. */
static struct image *vhd(void)
{
	static const struct vhd_spec xen = {
		.creator = "tap",
		.block_size = BLOCK,
		.batmap = true,
		.key = 1,
		.write = {{0, BLOCK, 'A'}, {2 * BLOCK, BLOCK, 'B'}},
	};
	struct image *img = vhd_build(&xen);
	struct vhd_batmap_header *h = (void *)(img->buf + BATMAP);
	const struct prim_part part[] = {{h->key_nonce, 32}, {key, sizeof(key)}};
	struct sector_cipher *c;

	prim_hash_parts(PRIM_SHA256, part, 2, h->key_hash);
	assert_int_equal(xen_vhd_open(&c, h->key_nonce, h->key_hash, key, sizeof(key)), 0);
	for (uint32_t n = 0; n < 3; n += 2)
		assert_int_equal(sector_encrypt(c, (uint64_t)n * BLOCK,
						img->buf + vhd_block(img, n) + 512, BLOCK),
				 0);
	sector_close(c);
	return img;
}

/* Findings of the pass alone. */
static void pass(struct image *img, const struct layer_ops *ops)
{
	image_open(img, ops);
	while (img->n_seen)
		img->n_seen--;
	assert_int_equal(keyless_check(img->top), 0);
}

static void assert_one(struct image *img, enum finding_id id, uint64_t at, uint64_t len)
{
	const struct seen *f = image_first(img, id);

	if (image_worse(img, BLEMISH) != 1 || !f || f->fact.at != at || f->fact.at_len != len) {
		image_print(img);
		fail_msg("not one %s at %#llx", finding_name(id), (unsigned long long)at);
	}
}

static void an_encrypted_vhd_is_looked_through_without_its_key(void **state)
{
	struct image *img = vhd();
	uint64_t data = vhd_block(img, 2) + 512;

	(void)state;
	pass(img, &vhd_ops);
	assert_int_equal(img->top->locked, -ENOKEY);
	assert_int_equal(img->n_seen, 0);

	memset(img->buf + data + 0x1000, 0, 512);
	pass(img, &vhd_ops);
	assert_one(img, CIPHERTEXT_OVERWRITTEN, data + 0x1000, 512);
	assert_int_equal(image_first(img, CIPHERTEXT_OVERWRITTEN)->fact.off, 2 * BLOCK + 0x1000);
	image_free(img);
}

static void a_duplicated_write_in_an_encrypted_vhd_is_found(void **state)
{
	struct image *img = vhd();
	uint64_t hit = vhd_block(img, 2) + 512 + 0x8000;

	(void)state;
	memcpy(img->buf + hit, img->buf + vhd_block(img, 0) + 512 + 0x3000, 4096);
	pass(img, &vhd_ops);
	assert_one(img, CIPHERTEXT_TWICE, hit, 4096);
	image_key(img, KEY_VOLUME_KEY, key, sizeof(key));
	pass(img, &vhd_ops);
	assert_one(img, CIPHERTEXT_TWICE, hit, 4096);
	image_free(img);
}

/* A disk that is not encrypted has no ciphertext, whatever it holds. */
static void a_plain_vhd_is_left_alone(void **state)
{
	static const struct vhd_spec plain = {.block_size = BLOCK, .write = {{0, BLOCK, 'A'}}};
	struct image *img = vhd_build(&plain);

	(void)state;
	pass(img, &vhd_ops);
	assert_int_equal(img->n_seen, 0);
	image_free(img);
}

enum { DATA = 128 << 10, TC = 4 * MIB };

static struct image *tcrypt(void)
{
	struct image *img = image_new(DATA + TC + DATA);
	struct tcrypt_header h;

	tcrypt_noise_put(img->buf, 0, img->len);
	tcrypt_header_init(&h, DATA, TC, 0);
	tcrypt_header_put(img->buf, 0, "secret", &h);
	tcrypt_header_put(img->buf, DATA + TC, "secret", &h);
	tcrypt_data_put(img->buf, DATA, TC, &h);
	image_key(img, KEY_PASSPHRASE, "secret", 6);
	return img;
}

static void ciphertext_of_tcrypt_is_looked_at_once_it_is_open(void **state)
{
	struct image *img = tcrypt();

	(void)state;
	pass(img, &tcrypt_ops);
	assert_int_equal(img->err, 0);
	assert_int_equal(image_worse(img, BLEMISH), 0);
	memset(img->buf + DATA + 0x12000, 0xff, 4096);
	pass(img, &tcrypt_ops);
	assert_one(img, CIPHERTEXT_OVERWRITTEN, DATA + 0x12000, 4096);
	assert_int_equal(image_first(img, CIPHERTEXT_OVERWRITTEN)->fact.off, 0x12000);
	image_free(img);
}

/* Written to the wrong place: the tweak tells where it belongs. */
static void a_misdirected_write_in_tcrypt_is_told(void **state)
{
	struct image *img = tcrypt();

	(void)state;
	memmove(img->buf + DATA + 0x20000, img->buf + DATA + 0x24000, 4096);
	tcrypt_noise_put(img->buf, DATA + 0x24000, 4096);
	pass(img, &tcrypt_ops);
	assert_finding(img, CIPHERTEXT_MISDIRECTED, DATA + 0x20000);
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_encrypted_vhd_is_looked_through_without_its_key),
		cmocka_unit_test(a_duplicated_write_in_an_encrypted_vhd_is_found),
		cmocka_unit_test(a_plain_vhd_is_left_alone),
		cmocka_unit_test(ciphertext_of_tcrypt_is_looked_at_once_it_is_open),
		cmocka_unit_test(a_misdirected_write_in_tcrypt_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
