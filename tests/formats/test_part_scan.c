/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "formats/drivers.h"
#include "formats/part/hunt.h"
#include "formats/stack.h"
#include "tests/lib/disk_build.h"

enum { DISK = 16 << 20, NTFS_AT = 1 << 20, NTFS_LEN = 4096 * 512, XFS_AT = 8 << 20 };

/* A GPT with two volumes: NTFS at 1 MiB (2 MiB long), xfs at 8 MiB (4 MiB). */
static struct image *disk(void)
{
	static const struct slot slots[] = {{NTFS_AT / 512, 4096, 0}, {XFS_AT / 512, 8192, 0}};
	struct image *img = image_new(DISK);

	disk_gpt(img, 512, slots, 2);
	disk_ntfs(img, NTFS_AT, 4095, true);
	disk_xfs(img, XFS_AT, 1024);
	return img;
}

static void wipe_table(struct image *img)
{
	memset(img->buf, 0, 34 * 512);
	memset(img->buf + DISK - 33 * 512, 0, 33 * 512);
}

static struct layer *find(struct layer *l, const char *name)
{
	for (l = l->child; l; l = l->next)
		if (!strcmp(l->name, name))
			return l;
	return NULL;
}

static int check_one(void *arg, struct layer *l)
{
	(void)arg;
	return !l->state && l->ops->check ? l->ops->check(l) : 0;
}

/* image_discover() with options; img->top is the map. */
static void discover(struct image *img, bool rebuild, bool data)
{
	image_open(img, &raw_ops);
	img->s.opt.rebuild = rebuild;
	img->s.opt.data = data;
	assert_int_equal(stack_discover(img->top), 0);
	assert_int_equal(stack_walk(img->top, check_one, NULL), 0);
	img->top = img->top->child;
}

static void a_sound_table_is_all_there_is(void **state)
{
	struct image *img = disk();

	(void)state;
	for (int k = 0; k < 4; k++) {
		discover(img, k & 1, k & 2);
		assert_string_equal(img->top->name, "gpt");
		assert_int_equal(img->n_seen, 0);
	}
	image_free(img);
}

static void volumes_of_a_lost_table_become_layers(void **state)
{
	struct image *img = disk();
	struct layer *ntfs, *ext;
	struct extent run;

	(void)state;
	wipe_table(img);
	discover(img, false, false);
	assert_string_equal(img->top->name, "scan");
	assert_finding(img, PART_TABLE_LOST, 0);
	assert_finding(img, PART_FOUND, NTFS_AT);
	assert_finding(img, PART_FOUND, XFS_AT);
	assert_int_equal(image_seen(img, PART_FOUND, ANYWHERE), 2);
	ntfs = find(img->top, "found2048s");
	ext = find(img->top, "found16384s");
	assert_non_null(ntfs);
	assert_non_null(ext);
	assert_int_equal(ntfs->size, NTFS_LEN);
	assert_int_equal(ext->size, 4 << 20);
	assert_int_equal(layer_map(ext, 5, &run), 0);
	assert_int_equal(run.at, XFS_AT + 5);
	assert_ptr_equal(stack_find(img->source, "raw/scan/found16384s"), ext);
	image_free(img);
}

static void volumes_at_odd_sectors_are_found_too(void **state)
{
	struct image *img = image_new(DISK);

	(void)state;
	disk_ntfs(img, 3333 * 512, 2000, true);
	disk_fat16(img, 7777 * 512, 8000);
	discover(img, false, false);
	assert_string_equal(img->top->name, "scan");
	assert_non_null(find(img->top, "found3333s"));
	assert_non_null(find(img->top, "found7777s"));
	assert_finding(img, PART_TABLE_LOST, 0);
	image_free(img);
}

static void a_copy_of_the_header_is_enough(void **state)
{
	struct image *img = disk();
	struct layer *l;

	(void)state;
	wipe_table(img);
	memset(img->buf + NTFS_AT, 0x5a, 512);
	discover(img, false, false);
	assert_finding(img, PART_FROM_COPY, NTFS_AT);
	l = find(img->top, "found2048s");
	assert_non_null(l);
	assert_int_equal(l->size, NTFS_LEN);
	image_free(img);
}

static void a_volume_that_reaches_behind_the_disk_is_lost_there(void **state)
{
	struct image *img = image_new(DISK);

	(void)state;
	disk_xfs(img, XFS_AT, 4096); /* 16 MiB; 8 are there */
	discover(img, false, false);
	assert_finding(img, PART_PAST_END, XFS_AT);
	img->top = find(img->top, "found16384s");
	assert_non_null(img->top);
	assert_readable(img, 0, 8 << 20);
	assert_lost(img, 8 << 20, 8 << 20, PART_PAST_END);
	image_free(img);
}

static void an_empty_table_is_looked_behind(void **state)
{
	struct image *img = image_new(DISK);

	(void)state;
	disk_mbr(img, NULL, 0);
	disk_xfs(img, XFS_AT, 1024);
	discover(img, false, false);
	assert_string_equal(img->top->name, "mbr");
	assert_finding(img, PART_TABLE_EMPTY, 0);
	assert_int_equal(image_worse(img, DAMAGE), 0);
	assert_non_null(find(img->top, "found16384s"));
	assert_int_equal(image_seen(img, PART_FOUND, ANYWHERE), 1);
	image_free(img);
}

/* What is left of an earlier life in a gap is worth a word, no more. */
static void a_stale_volume_in_a_gap_is_only_information(void **state)
{
	struct image *img = disk();
	struct layer *l;

	(void)state;
	disk_xfs(img, 4 << 20, 4096); /* states 16 MiB, over p2: there are 4 MiB of gap */
	discover(img, false, false);
	assert_string_equal(img->top->name, "gpt");
	assert_finding(img, PART_FOUND, 4 << 20);
	assert_clean(img);
	assert_null(find(img->top, "found8192s"));
	discover(img, true, false);
	assert_int_equal(image_seen(img, PART_FOUND, ANYWHERE), 1);
	assert_clean(img);
	l = find(img->top, "found8192s");
	assert_non_null(l);
	assert_int_equal(l->size, 4 << 20);
	image_free(img);
}

static void every_sector_of_a_gap_is_looked_at_with_data(void **state)
{
	struct image *img = disk();

	(void)state;
	disk_fat16(img, (4 << 20) + 5 * 512, 2000);
	discover(img, false, false);
	assert_int_equal(img->n_seen, 0);
	discover(img, false, true);
	assert_finding(img, PART_FOUND, (4 << 20) + 5 * 512);
	assert_clean(img);
	image_free(img);
}

static void empty_disks_and_noise_are_left_alone(void **state)
{
	struct image *img = image_new(DISK);
	uint64_t x = 42;

	(void)state;
	discover(img, true, true);
	assert_null(img->top);
	assert_int_equal(img->n_seen, 0);
	for (size_t i = 0; i < img->len; i++)
		img->buf[i] =
			(uint8_t)((x = x * 6364136223846793005ull + 1442695040888963407ull) >> 56);
	discover(img, true, true);
	assert_null(img->top);
	assert_int_equal(img->n_seen, 0);
	image_free(img);
}

/* Something unknown on the whole disk, with an image of a volume somewhere in it: no damage. */
static void a_volume_inside_something_unknown_is_no_lost_table(void **state)
{
	struct image *img = image_new(DISK);

	(void)state;
	memset(img->buf, 0x77, 1 << 20);
	disk_xfs(img, 3333 * 512, 512);
	discover(img, false, false);
	assert_finding(img, PART_FOUND, 3333 * 512);
	assert_clean(img);
	image_free(img);
}

static void a_superfloppy_that_lost_its_first_sector_is_told_from_the_copy(void **state)
{
	struct image *img = image_new(DISK);

	(void)state;
	disk_ntfs(img, 0, DISK / 512 - 1, true);
	memset(img->buf, 0, 512);
	discover(img, false, false);
	assert_non_null(img->top);
	assert_finding(img, PART_FROM_COPY, 0);
	assert_int_equal(image_seen(img, PART_TABLE_LOST, ANYWHERE), 0);
	assert_int_equal(find(img->top, "found0s")->size, DISK);
	image_free(img);
}

static void a_disk_full_of_headers_is_bounded(void **state)
{
	struct image *img = image_new(DISK);
	size_t n = 0;

	(void)state;
	for (uint64_t at = 1 << 20; at + 8192 <= DISK; at += 8192)
		disk_fat16(img, at, 16);
	/* 16 sectors: reserved 4, FATs 128 does not fit; make it tiny but valid */
	for (uint64_t at = 1 << 20; at + 8192 <= DISK; at += 8192) {
		image_poke(img, at + 22, "\1\0", 2);
		image_poke(img, at + 17, "\x10\0", 2);
		image_poke(img, at + 13, "\1", 1);
	}
	discover(img, true, true);
	assert_string_equal(img->top->name, "scan");
	for (struct layer *l = img->top->child; l; l = l->next)
		n++;
	assert_int_equal(n, HUNT_MAX);
	image_free(img);
}

static void any_truncation_and_flip_is_survived(void **state)
{
	struct image *img = disk();

	(void)state;
	wipe_table(img);
	for (uint64_t at = NTFS_AT; at < NTFS_AT + 512; at += 3) {
		img->buf[at] ^= 0xff;
		discover(img, false, false);
		img->buf[at] ^= 0xff;
	}
	for (uint64_t at = XFS_AT; at < XFS_AT + 256; at += 3) {
		img->buf[at] ^= 0xff;
		discover(img, false, false);
		img->buf[at] ^= 0xff;
	}
	for (size_t len = DISK; len > 1000; len = len * 2 / 3) {
		image_resize(img, len);
		discover(img, true, false);
	}
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sound_table_is_all_there_is),
		cmocka_unit_test(volumes_of_a_lost_table_become_layers),
		cmocka_unit_test(volumes_at_odd_sectors_are_found_too),
		cmocka_unit_test(a_copy_of_the_header_is_enough),
		cmocka_unit_test(a_volume_that_reaches_behind_the_disk_is_lost_there),
		cmocka_unit_test(an_empty_table_is_looked_behind),
		cmocka_unit_test(a_stale_volume_in_a_gap_is_only_information),
		cmocka_unit_test(every_sector_of_a_gap_is_looked_at_with_data),
		cmocka_unit_test(empty_disks_and_noise_are_left_alone),
		cmocka_unit_test(a_volume_inside_something_unknown_is_no_lost_table),
		cmocka_unit_test(a_superfloppy_that_lost_its_first_sector_is_told_from_the_copy),
		cmocka_unit_test(a_disk_full_of_headers_is_bounded),
		cmocka_unit_test(any_truncation_and_flip_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
