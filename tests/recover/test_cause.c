/* SPDX-License-Identifier: Apache-2.0 */
/* With the key: a sector that was written to the wrong place says where it belongs. */
#include "recover/cause.h"

#include <stdio.h>

#include "crypto/bitlocker.h"
#include "crypto/keys.h"
#include "crypto/luks.h"
#include "recover/keyless.h"
#include "tests/lib/bitlocker_build.h"
#include "tests/lib/luks1_build.h"

enum { SIZE = 16 << 20, AT = LUKS1_PAYLOAD };

static struct image *volume(const char *mode)
{
	struct image *img = luks1_build(SIZE, mode);

	luks1_key(img);
	return img;
}

static void pass(struct image *img)
{
	image_open(img, &luks1_ops);
	assert_int_equal(img->err, 0);
	img->n_seen = 0;
	assert_int_equal(keyless_check(img->top), 0);
}

/* The sector that belongs to @from lands at @to; what belongs there is gone. */
static void misdirect(struct image *img, uint64_t from, uint64_t to, size_t len)
{
	uint8_t text[4096] = {0};

	for (size_t i = 0; i < len; i += 512)
		luks1_text(1000000 + i, text + i); /* newer than what stands at @from */
	luks1_write(img, from, text, len, to);
	if (from != to) { /* luks1_write() encrypts for where the first argument says */
		uint8_t old[4096] = {0};

		for (size_t i = 0; i < len; i += 512)
			luks1_text((from + i) / 512, old + i);
		luks1_write(img, from, old, len, from);
	}
}

static void assert_misdirected(struct image *img, uint64_t at, uint64_t len, uint64_t home)
{
	char text[32];

	snprintf(text, sizeof(text), "as of 0x%llx:", (unsigned long long)home + AT);
	for (size_t i = 0; i < img->n_seen; i++) {
		const struct seen *f = &img->seen[i];

		if (f->id == CIPHERTEXT_MISDIRECTED && f->fact.at == AT + at &&
		    f->fact.at_len == len && f->fact.off == at && f->fact.doubtful &&
		    strstr(f->message, text))
			return;
	}
	image_print(img);
	fail_msg("%#llx: not found to belong to %#llx", (unsigned long long)at,
		 (unsigned long long)home);
}

static void a_sector_from_nearby(void **state)
{
	struct image *img = volume("xts-plain64");

	(void)state;
	misdirect(img, 0x123400, 0x124a00, 512);
	pass(img);
	assert_misdirected(img, 0x124a00, 512, 0x123400);
	assert_int_equal(image_worse(img, BLEMISH), 1);
	image_free(img);
}

static void a_sector_whose_address_had_one_bit_wrong(void **state)
{
	struct image *img = volume("xts-plain64");

	(void)state;
	misdirect(img, 0x923400, 0x123400, 512); /* 8 MiB away */
	pass(img);
	assert_misdirected(img, 0x123400, 512, 0x923400);
	assert_int_equal(image_worse(img, BLEMISH), 1);
	image_free(img);
}

static void a_block_off_by_a_power_of_two(void **state)
{
	struct image *img = volume("xts-plain64");

	(void)state;
	misdirect(img, 0x3ff000, 0xbff000, 4096); /* sum, not one bit: 0x3ff000 + 0x800000 */
	misdirect(img, 0x7ff000, 0x8ff000, 4096);
	pass(img);
	assert_misdirected(img, 0xbff000, 4096, 0x3ff000);
	assert_misdirected(img, 0x8ff000, 4096, 0x7ff000);
	assert_int_equal(image_worse(img, BLEMISH), 2);
	image_free(img);
}

static void a_sector_number_taken_in_larger_units(void **state)
{
	struct image *img = volume("xts-plain64");

	(void)state;
	misdirect(img, 0xdec000, 0xdec000 / 8, 512);
	misdirect(img, 0x191200, 0x191200 * 8, 512);
	pass(img);
	assert_misdirected(img, 0xdec000 / 8, 512, 0xdec000);
	assert_misdirected(img, 0x191200 * 8, 512, 0x191200);
	image_free(img);
}

static void two_sectors_in_each_others_place(void **state)
{
	struct image *img = volume("xts-plain64");
	uint8_t a[512];

	(void)state;
	memcpy(a, img->buf + AT + 0x200200, 512);
	memcpy(img->buf + AT + 0x200200, img->buf + AT + 0x200600, 512);
	memcpy(img->buf + AT + 0x200600, a, 512);
	pass(img);
	assert_misdirected(img, 0x200200, 512, 0x200600);
	assert_misdirected(img, 0x200600, 512, 0x200200);
	assert_int_equal(image_worse(img, BLEMISH), 2);
	image_free(img);
}

static void neighbours_swapped(void **state)
{
	struct image *img = volume("xts-plain64");
	uint8_t a[4096], *p = img->buf + AT + 0x300000;

	(void)state;
	memcpy(a, p, 4096);
	memcpy(p, p + 4096, 4096);
	memcpy(p + 4096, a, 4096);
	memcpy(a, p + 0x10200, 512);
	memcpy(p + 0x10200, p + 0x10400, 512);
	memcpy(p + 0x10400, a, 512);
	pass(img);
	assert_misdirected(img, 0x300000, 4096, 0x301000);
	assert_misdirected(img, 0x301000, 4096, 0x300000);
	assert_misdirected(img, 0x310200, 512, 0x310400);
	assert_misdirected(img, 0x310400, 512, 0x310200);
	assert_int_equal(image_worse(img, BLEMISH), 4);
	image_free(img);
}

/* A twin whose home the key tells needs no second finding. */
static void a_duplicate_is_said_once(void **state)
{
	struct image *img = volume("xts-plain64");

	(void)state;
	memcpy(img->buf + AT + 0x200200, img->buf + AT + 0x200600, 512);
	pass(img);
	assert_finding(img, CIPHERTEXT_TWICE, AT + 0x200200);
	assert_int_equal(image_worse(img, BLEMISH), 1);
	image_free(img);
}

/* Garbage of unknown origin, or a compressed file: nobody can tell, so nothing is said. */
static void noise_that_belongs_nowhere_is_silent(void **state)
{
	struct image *img = volume("xts-plain64");
	uint64_t x = 88172645463325252ull;

	(void)state;
	for (int i = 0; i < 40; i++) {
		uint8_t p[4096];
		size_t len = i % 2 ? 4096 : 1024;

		for (size_t k = 0; k < len; k++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			p[k] = (uint8_t)(x >> 40);
		}
		luks1_write(img, 0x100000 + i * 0x4000, p, len, 0x100000 + i * 0x4000);
	}
	pass(img);
	assert_int_equal(img->n_seen, 0);
	image_free(img);
}

/* In CBC another IV costs the first 16 bytes only: no noise, so no trial, and no false home. */
static void cbc_gives_no_suspects(void **state)
{
	struct image *img = volume("cbc-essiv:sha256");

	(void)state;
	misdirect(img, 0x123400, 0x124a00, 512);
	pass(img);
	assert_int_equal(img->n_seen, 0);
	memcpy(img->buf + AT + 0x300000, img->buf + AT + 0x200000, 4096);
	pass(img);
	assert_int_equal(image_seen(img, CIPHERTEXT_TWICE, ANYWHERE), 1);
	assert_null(strstr(image_first(img, CIPHERTEXT_TWICE)->message, "noise"));
	image_free(img);
}

static void a_locked_volume_has_no_causes(void **state)
{
	struct image *img = volume("xts-plain64");

	(void)state;
	misdirect(img, 0x123400, 0x124a00, 512);
	image_no_keys(img);
	image_open(img, &luks1_ops);
	assert_null(cause_open(img->top));
	assert_int_equal(cause_home(img->top, AT, AT + 512), 0);
	img->n_seen = 0;
	assert_int_equal(keyless_check(img->top), 0);
	assert_int_equal(img->n_seen, 0);
	image_free(img);
}

/* BitLocker's ways to bind a sector to its address; suspended, so that no key is needed. */
static void bitlocker_sectors_say_where_they_belong(void **state)
{
	enum { LEN = 8 << 20 };
	static const struct {
		enum fve_method method;
		uint32_t sector;
	} kinds[] = {{FVE_XTS128, 512},
		     {FVE_XTS256, 4096},
		     {FVE_CBC128_ELEPHANT, 512},
		     {FVE_CBC256_ELEPHANT, 4096}};

	(void)state;
	for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
		struct bitlocker_build b = {
			.method = kinds[k].method, .sector = kinds[k].sector, .clear = true};
		uint32_t n = kinds[k].sector;
		struct image *img = image_new(LEN);
		uint8_t a[4096];
		uint64_t x = 0x123000, y = 0x12c000;

		for (size_t i = 0; i < LEN / 512; i++)
			if (i % (LEN / 512 / 4) >= 512 || i < 512) /* room for metadata */
				luks1_text(i, img->buf + 512 * i);
		memcpy(img->buf + 3, "NTFS    ", 8);
		assert_int_equal(bitlocker_build(&b, img->buf, LEN), 0);
		image_open(img, &bitlocker_ops);
		assert_int_equal(img->err, 0);
		img->n_seen = 0;
		assert_int_equal(keyless_check(img->top), 0);
		assert_clean(img);

		memcpy(a, img->buf + x, n);
		memcpy(img->buf + x, img->buf + y, n);
		memcpy(img->buf + y, a, n);
		memset(img->buf + 0x701000, 0, 512);
		img->n_seen = 0;
		assert_int_equal(keyless_check(img->top), 0);
		assert_finding(img, CIPHERTEXT_OVERWRITTEN, 0x701000);
		assert_finding(img, CIPHERTEXT_MISDIRECTED, x);
		assert_finding(img, CIPHERTEXT_MISDIRECTED, y);
		assert_int_equal(image_worse(img, BLEMISH), 3);
		assert_non_null(
			strstr(image_first(img, CIPHERTEXT_MISDIRECTED)->message, "as of 0x12"));
		image_free(img);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sector_from_nearby),
		cmocka_unit_test(a_sector_whose_address_had_one_bit_wrong),
		cmocka_unit_test(a_block_off_by_a_power_of_two),
		cmocka_unit_test(a_sector_number_taken_in_larger_units),
		cmocka_unit_test(two_sectors_in_each_others_place),
		cmocka_unit_test(neighbours_swapped),
		cmocka_unit_test(a_duplicate_is_said_once),
		cmocka_unit_test(noise_that_belongs_nowhere_is_silent),
		cmocka_unit_test(cbc_gives_no_suspects),
		cmocka_unit_test(bitlocker_sectors_say_where_they_belong),
		cmocka_unit_test(a_locked_volume_has_no_causes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
