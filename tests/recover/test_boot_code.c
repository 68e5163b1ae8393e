/* SPDX-License-Identifier: Apache-2.0 */
/* GRUB's boot sector and core.img, put together as its setup.c does, and each part damaged. */
#include "recover/boot_code.h"

#include <stdio.h>

#include "formats/drivers.h"
#include "tests/lib/image.h"

enum { SECTOR = BOOT_CODE_SECTOR, SIZE = 1 << 20, CORE = 40 /* sectors */, LIST = 0x1f4 };

static uint8_t file[CORE * SECTOR - 100]; /* core.img; its redundancy begins where it ends */

static void put64(uint8_t *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

/* core.img at sector 1: its first sector, then one list of the rest. */
static struct image *disk(void)
{
	struct image *img = image_new(SIZE);
	uint8_t *core = img->buf + SECTOR;
	uint32_t x = 12345;

	memcpy(img->buf + 0x180, "GRUB \0Geom\0Hard Disk\0Read\0 Error\r\n", 34);
	put64(img->buf + 0x5c, 1);
	memcpy(img->buf + 510, "\x55\xaa", 2);
	for (size_t i = 0; i < CORE * SECTOR; i++) {
		x = x * 1664525 + 1013904223;
		core[i] = (uint8_t)(x >> 24 | 1);
	}
	memset(core, 0, SECTOR);
	memcpy(core, "\x52\x56\xbe\x1b\x81", 5);
	memcpy(core + 0x11b, "loading\0.\0\r\n\0Geom\0Read\0 Error\0", 31);
	put64(core + LIST, 2);
	core[LIST + 8] = CORE - 1;
	memcpy(file, core, sizeof(file));
	memset(file + LIST, 0, 12);		/* the list is set when it is installed */
	memset(file + SECTOR + 0x10, 0xee, 16); /* and so are lengths in the second sector */
	return img;
}

static struct grub_core look(struct image *img, bool with_file)
{
	struct session s;
	struct layer *f;
	struct grub_core core = {0};

	session_init(&s);
	f = memory_source(&s, "core.img", file, sizeof(file));
	image_open(img, &raw_ops);
	assert_int_equal(img->err, 0);
	assert_int_equal(boot_code_check_core(img->top, boot_code_core(img->buf),
					      with_file ? f : NULL, &core),
			 0);
	layer_free(f);
	session_fini(&s);
	return core;
}

static void a_sound_core_is_told_by_its_file(void **state)
{
	struct image *img = disk();
	struct grub_core c = look(img, true);

	(void)state;
	assert_int_equal(boot_code_kind(img->buf), BOOT_CODE_GRUB);
	assert_true(boot_code_is_core(img->buf + SECTOR));
	assert_false(c.bad);
	assert_true(c.decided);
	assert_int_equal(c.sectors, CORE);
	c = look(img, false);
	assert_false(c.bad || c.decided);
	image_free(img);
}

static void every_sector_that_differs_is_damage(void **state)
{
	struct image *img = disk();

	(void)state;
	for (size_t n = 2; n < CORE; n += 7) {
		struct grub_core c;

		img->buf[(1 + n) * SECTOR + 77] ^= 0x10;
		c = look(img, true);
		assert_true(c.bad);
		assert_int_equal(c.at, (1 + n) * SECTOR);
		assert_non_null(strstr(c.text, "1 of GRUB's 40 sectors is not as in core.img"));
		img->buf[(1 + n) * SECTOR + 77] ^= 0x10;
	}
	/* All of them: that is no damage, but another version. */
	for (size_t n = 2; n < CORE; n++)
		img->buf[(1 + n) * SECTOR + 77] ^= 0x10;
	assert_false(look(img, true).bad);
	assert_false(look(img, true).decided);
	image_free(img);
}

static void a_sector_of_zeros_is_damage_without_the_file(void **state)
{
	struct image *img = disk();
	struct grub_core c;

	(void)state;
	memset(img->buf + 20 * SECTOR, 0, SECTOR);
	c = look(img, false);
	assert_true(c.bad);
	assert_int_equal(c.at, 20 * SECTOR);
	image_free(img);
	img = disk();
	memset(img->buf + CORE * SECTOR, 0, SECTOR); /* the last one may be padding */
	assert_false(look(img, false).bad);
	image_free(img);
}

static void where_it_is_told_to_be_is_a_claim(void **state)
{
	struct image *img = disk();

	(void)state;
	put64(img->buf + 0x5c, 5);
	assert_int_equal(look(img, true).at, 5 * SECTOR);
	put64(img->buf + 0x5c, UINT64_MAX / SECTOR + 7);
	assert_true(look(img, true).bad);
	put64(img->buf + 0x5c, 0);
	assert_true(look(img, true).bad);
	put64(img->buf + 0x5c, 1);
	for (uint64_t start = 1; start; start <<= 1) {
		put64(img->buf + SECTOR + LIST, start * 0x1001);
		look(img, true);
	}
	put64(img->buf + SECTOR + LIST, SIZE / SECTOR - 2);
	assert_int_equal(look(img, true).at, SECTOR + LIST);
	img->buf[SECTOR + LIST + 8] = 0;
	assert_true(look(img, true).bad);
	/* Each list leads to the next: there is an end to them. */
	for (size_t at = 0; at <= 180; at += 12)
		memcpy(img->buf + SECTOR + LIST - at, "\x02\0\0\0\0\0\0\0\xff\x01\0\0", 12);
	look(img, true);
	image_free(img);
}

static void first_sectors_are_told_apart(void **state)
{
	uint8_t s[SECTOR] = {0}, want[SECTOR] = {0};

	(void)state;
	assert_int_equal(boot_code_kind(s), BOOT_CODE_NONE);
	s[10] = 1;
	assert_int_equal(boot_code_kind(s), BOOT_CODE_OTHER);
	memcpy(s + 300, "Invalid partition table", 23);
	assert_int_equal(boot_code_kind(s), BOOT_CODE_WINDOWS);
	assert_true(boot_code_same(want, want));
	want[0x5c] = 9; /* set when it is installed */
	assert_true(boot_code_same(s, s) && boot_code_same((uint8_t[SECTOR]){0}, want));
	want[0x100] = 9;
	assert_false(boot_code_same((uint8_t[SECTOR]){0}, want));
	memset(want + 0x80, 7, 200);
	assert_true(boot_code_same((uint8_t[SECTOR]){0}, want));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sound_core_is_told_by_its_file),
		cmocka_unit_test(every_sector_that_differs_is_damage),
		cmocka_unit_test(a_sector_of_zeros_is_damage_without_the_file),
		cmocka_unit_test(where_it_is_told_to_be_is_a_claim),
		cmocka_unit_test(first_sectors_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
