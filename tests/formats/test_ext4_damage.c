/* SPDX-License-Identifier: Apache-2.0 */
/* ext4 with one structure lost: every other file is still there, by its path, with its bytes. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "formats/drivers.h"
#include "formats/fs/fs.h"
#include "tests/lib/ext4_make.h"
#include "tests/lib/fs_list.h"
#include "vdiskck/core/endian.h"

/* Groups of 2 MiB, so that there are copies; and one with blocks of 4 KiB. */
static const char *const made[] = {"-t ext4 -b 1024 -g 2048", "-t ext3 -b 1024 -g 2048",
				   "-t ext4 -b 4096 -g 4096 -O ^metadata_csum",
				   "-t ext4 -b 1024 -g 2048 -O meta_bg,^resize_inode"};

static struct image *make(const char *args)
{
	struct image *img = ext4_make(args, "40M", NULL);

	if (!img)
		skip();
	return img;
}

static uint64_t field(const struct image *img, uint64_t at)
{
	le32_t v;

	memcpy(&v, img->buf + at, sizeof(v));
	return le32(v);
}

static uint64_t block_size(const struct image *img)
{
	return 1024u << field(img, 1024 + 24);
}

/* Of the descriptors; the first group's comes first. */
static uint64_t gdt_at(const struct image *img)
{
	return (1024 / block_size(img) + 1) * block_size(img);
}

static void wipe(struct image *img, uint64_t at, uint64_t len)
{
	memset(img->buf + at, 0, len);
}

/* Where the data of a file begins. */
static uint64_t data_at(struct image *img, const char *path)
{
	struct fs_entry *e;
	struct layer *file;
	struct extent run;

	image_open(img, &ext4_ops);
	assert_int_equal(img->err, 0);
	assert_int_equal(img->top->ops->fs->lookup(img->top, path, &e), 0);
	assert_int_equal(img->top->ops->fs->open_file(img->top, e, &file), 0);
	assert_int_equal(layer_map(file, 0, &run), 0);
	assert_int_equal(run.kind, EXTENT_DATA);
	fs_entry_free(e);
	layer_free(file);
	return run.at;
}

static uint64_t inode_of(struct image *img, const char *path)
{
	struct fs_entry *e;
	uint64_t ino;

	image_open(img, &ext4_ops);
	assert_int_equal(img->top->ops->fs->lookup(img->top, path, &e), 0);
	ino = e->id;
	fs_entry_free(e);
	return ino;
}

static void the_superblock_is_lost(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++) {
		struct image *img = make(made[i]);

		wipe(img, 1024, 1024);
		image_check(img, &ext4_ops);
		assert_int_equal(img->err, 0);
		assert_finding(img, EXT4_SUPER_LOST, 1024);
		ext4_compare(img, 0);
		/* Discovery finds it, too: by the copy. */
		image_discover(img);
		assert_non_null(img->top);
		assert_string_equal(img->top->name, "ext4");
		image_free(img);
	}
}

/* With the checksums of the descriptors there is one finding, and not one for each unused bitmap. */
static void a_lost_superblock_is_all_that_is_wrong(void **state)
{
	struct image *img = make("-t ext4 -b 1024 -g 2048");

	(void)state;
	wipe(img, 1024, 1024);
	image_check(img, &ext4_ops);
	assert_finding(img, EXT4_SUPER_LOST, 1024);
	assert_int_equal(image_worse(img, BLEMISH), 1);
	image_free(img);
}

static void noise(struct image *img, uint64_t at, size_t len)
{
	uint64_t x = 88172645463325252u;

	for (size_t k = 0; k < len; k++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		img->buf[at + k] = (uint8_t)(x >> 24);
	}
}

/*
 * Noise over a block of the inode table costs the inodes that were there: no field of it is
 * looked into, nothing is in use for its sake, and the bitmaps are not blamed.
 */
static void noise_in_an_inode_table_is_no_inodes(void **state)
{
	struct image *img = make("-t ext4 -b 1024 -g 2048");
	uint64_t at = field(img, gdt_at(img) + 8) * 1024 + 4 * 1024;

	(void)state;
	noise(img, at, 1024);
	image_check(img, &ext4_ops);
	for (size_t k = 0; k < 4; k++)
		assert_finding(img, EXT4_INODE_LOST, at + 256 * k);
	assert_int_equal(image_seen(img, EXT4_INODE_FIELD, ANYWHERE), 0);
	assert_int_equal(image_seen(img, EXT4_INODE_SUM, ANYWHERE), 0);
	assert_int_equal(image_seen(img, EXT4_INODE_BITMAP, ANYWHERE), 0);
	image_free(img);
}

/* A bitmap, or a block of addresses, that is garbage is told in few words. */
static void noise_is_told_in_few_words(void **state)
{
	struct image *img = make("-t ext4 -b 4096");

	(void)state;
	noise(img, field(img, gdt_at(img)) * 4096, 4096);
	/* Reserved for descriptors: in the map of the inode that holds them back. */
	noise(img, 3 * 4096, 4096);
	image_check(img, &ext4_ops);
	assert_finding(img, EXT4_BITMAP_SUM, ANYWHERE);
	/* One of them is about the bits behind the last block. */
	assert_int_equal(image_seen(img, EXT4_BLOCK_BITMAP, ANYWHERE), 18);
	assert_int_equal(image_seen(img, EXT4_EXTENT_BAD, ANYWHERE), 17);
	image_free(img);
}

static void the_superblock_has_another_byte(void **state)
{
	struct image *img = make(made[0]);

	(void)state;
	img->buf[1024 + 0x20] ^= 4; /* blocks per group: its checksum knows */
	image_check(img, &ext4_ops);
	assert_int_equal(img->err, 0);
	assert_finding(img, EXT4_SUPER_COPY, 1024);
	ext4_compare(img, 0);
	image_free(img);
}

static void without_a_copy_a_wrong_checksum_is_said(void **state)
{
	struct image *img = ext4_make("-t ext4 -b 4096", "24M", NULL);

	(void)state;
	if (!img)
		skip();
	img->buf[1024 + 0x2c] ^= 4; /* the time of the last mount */
	image_check(img, &ext4_ops);
	assert_int_equal(img->err, 0);
	assert_finding(img, EXT4_SUPER_SUM, 1024 + 0x3fc);
	ext4_compare(img, 0);
	image_free(img);
}

static void the_descriptors_are_lost(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++)
		for (int both = 0; both < 2; both++) {
			struct image *img = make(made[i]);
			uint64_t at = gdt_at(img), len = block_size(img);

			wipe(img, at, len);
			if (both)
				wipe(img, 1024, 1024);
			image_check(img, &ext4_ops);
			assert_int_equal(img->err, 0);
			assert_finding(img, EXT4_GROUPS_COPY, at);
			ext4_compare(img, 0);
			image_free(img);
		}
}

static void all_descriptors_are_lost(void **state)
{
	struct image *img = ext4_make("-t ext4 -b 4096", "24M", NULL);

	(void)state;
	if (!img)
		skip();
	wipe(img, 4096, 4096);
	image_check(img, &ext4_ops);
	assert_finding(img, EXT4_GROUPS_LOST, 4096);
	image_free(img);
}

static void a_block_of_the_inode_table_is_lost(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++) {
		struct image *img = make(made[i]);
		uint64_t bs = block_size(img), table = field(img, gdt_at(img) + 8) * bs;
		uint64_t size = field(img, 1024 + 0x58) & 0xffff;

		/* Its neighbours are files of the same folder. */
		wipe(img,
		     table + (inode_of(img, "/many/a-file-with-a-long-name-number-150") - 1) *
				     size / bs * bs,
		     bs);
		image_check(img, &ext4_ops);
		assert_int_equal(img->err, 0);
		assert_true(image_worse(img, DAMAGE));
		assert_true(image_seen(img, EXT4_DIR_INODE, ANYWHERE) ||
			    image_seen(img, EXT4_INODE_BITMAP, ANYWHERE));
		ext4_compare(img, bs / size);
		image_free(img);
	}
}

static void the_journal_is_lost(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct image *img = make(made[i]);
		uint64_t at = data_at(img, "/$journal");

		wipe(img, at, 4096);
		image_check(img, &ext4_ops);
		assert_int_equal(img->err, 0);
		assert_finding(img, EXT4_JOURNAL_BAD, at);
		ext4_compare(img, 0);
		image_free(img);
	}
}

static void the_journals_inode_is_lost(void **state)
{
	struct image *img = make(made[1]);
	uint64_t bs = block_size(img), table = field(img, gdt_at(img) + 8) * bs;
	uint64_t size = field(img, 1024 + 0x58) & 0xffff;

	(void)state;
	wipe(img, table + 7 * size, size);
	image_check(img, &ext4_ops);
	assert_finding(img, EXT4_JOURNAL_INODE_COPY, ANYWHERE);
	ext4_compare(img, 0);
	image_free(img);
}

struct orphans {
	struct image *img;
	size_t many, deep, all;
};

static int count_orphans(void *arg, const struct fs_entry *e)
{
	struct orphans *o = arg;
	const char *n = strstr(e->path, "/a-file-with-a-long-name-number-");
	char want[16], got[16] = "";
	struct layer *file;

	if (strncmp(e->path, "/$orphans/", 10))
		return 0;
	o->all++;
	o->deep += strstr(e->path, "/a/b/c/d/e/f/g/file") != NULL;
	if (!n)
		return 0;
	snprintf(want, sizeof(want), "%s\n", n + 32);
	assert_int_equal(e->size, strlen(want));
	assert_int_equal(o->img->top->ops->fs->open_file(o->img->top, e, &file), 0);
	assert_int_equal(layer_read(file, 0, got, e->size, NULL), 0);
	assert_string_equal(got, want);
	layer_free(file);
	o->many++;
	return 0;
}

static void the_root_is_lost(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++) {
		struct image *img = make(made[i]);
		struct fs_query q = {.recursive = true};
		struct orphans o = {.img = img};
		uint64_t at = data_at(img, "/");

		wipe(img, at, block_size(img));
		image_check(img, &ext4_ops);
		assert_int_equal(img->err, 0);
		assert_finding(img, EXT4_DIR_BLOCK, at);
		assert_finding(img, EXT4_INODE_UNNAMED, ANYWHERE);
		assert_finding(img, EXT4_DIR_LOST, ANYWHERE);
		assert_int_equal(img->top->ops->fs->walk(img->top, &q, count_orphans, &o), 0);
		assert_int_equal(o.many, 300);
		assert_int_equal(o.deep, 1);
		assert_true(o.all > 320);
		image_free(img);
	}
}

static void a_volume_that_was_cut_short(void **state)
{
	struct image *img = make(made[0]);

	(void)state;
	image_resize(img, img->len / 2);
	image_check(img, &ext4_ops);
	assert_int_equal(img->err, 0);
	assert_finding(img, EXT4_PAST_END, 1024 + 4);
	image_free(img);

	/* Without flex_bg each group has its own table: those behind the end are lost. */
	img = make("-t ext2 -b 1024 -g 2048");
	image_resize(img, img->len / 2);
	image_check(img, &ext4_ops);
	assert_int_equal(img->err, 0);
	assert_finding(img, EXT4_INODE_LOST, ANYWHERE);
	image_free(img);
}

static void an_unknown_feature_is_named(void **state)
{
	struct image *img = make(made[1]);

	(void)state;
	image_le32(img, 1024 + 0x60, (uint32_t)field(img, 1024 + 0x60) | 0x40000000);
	image_open(img, &ext4_ops);
	assert_int_equal(img->err, -EOPNOTSUPP);
	assert_finding(img, EXT4_FEATURE_UNKNOWN, 1024 + 0x60);
	image_free(img);
}

/* Each byte of the metadata with all its bits turned; nothing may be read that is not there. */
static void turned_bytes_do_no_harm(void **state)
{
	struct image *img =
		ext4_make("-t ext4 -b 1024 -N 400 -O ^resize_inode,inline_data", "8M", NULL);
	uint64_t places[4], step = 37;

	(void)state;
	if (!img)
		skip();
	places[0] = 1024;
	places[1] = gdt_at(img);
	places[2] = field(img, gdt_at(img) + 8) * 1024;
	places[3] = data_at(img, "/");
	for (size_t p = 0; p < 4; p++)
		for (uint64_t at = places[p]; at < places[p] + (p == 2 ? 4096 : 1024); at += step) {
			img->buf[at] ^= 0xff;
			image_check(img, &ext4_ops);
			if (!img->err)
				fs_exercise(img->top);
			img->buf[at] ^= 0xff;
		}
	image_check(img, &ext4_ops);
	assert_clean(img);
	image_free(img);
}

static void truncation_does_no_harm(void **state)
{
	struct image *img = ext4_make("-t ext4 -b 1024 -N 400", "8M", NULL);

	(void)state;
	if (!img)
		skip();
	for (size_t len = img->len; len > 1000; len = len * 4 / 5) {
		image_resize(img, len);
		image_check(img, &ext4_ops);
		if (!img->err)
			fs_exercise(img->top);
	}
	image_free(img);
}

/* Copies of descriptors have mkfs' flags and checksums: no bitmap is wrong by them. */
static void descriptors_of_a_copy_blame_no_bitmap(void **state)
{
	struct image *img = ext4_make("-t ext4 -b 1024", "60M", NULL);

	(void)state;
	if (!img)
		skip();
	memset(img->buf + 1024, 0, 2 * 1024); /* the superblock, and the descriptors */
	image_check(img, &ext4_ops);
	assert_finding(img, EXT4_GROUPS_COPY, ANYWHERE);
	assert_int_equal(image_seen(img, EXT4_BITMAP_SUM, ANYWHERE), 0);
	assert_int_equal(image_seen(img, EXT4_BLOCK_BITMAP, ANYWHERE), 0);
	assert_int_equal(image_seen(img, EXT4_INODE_BITMAP, ANYWHERE), 0);
	assert_int_equal(image_seen(img, EXT4_INODE_BLOCKS, ANYWHERE), 0);
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors_of_a_copy_blame_no_bitmap),
		cmocka_unit_test(the_superblock_is_lost),
		cmocka_unit_test(a_lost_superblock_is_all_that_is_wrong),
		cmocka_unit_test(noise_in_an_inode_table_is_no_inodes),
		cmocka_unit_test(noise_is_told_in_few_words),
		cmocka_unit_test(the_superblock_has_another_byte),
		cmocka_unit_test(without_a_copy_a_wrong_checksum_is_said),
		cmocka_unit_test(the_descriptors_are_lost),
		cmocka_unit_test(all_descriptors_are_lost),
		cmocka_unit_test(a_block_of_the_inode_table_is_lost),
		cmocka_unit_test(the_journal_is_lost),
		cmocka_unit_test(the_journals_inode_is_lost),
		cmocka_unit_test(the_root_is_lost),
		cmocka_unit_test(a_volume_that_was_cut_short),
		cmocka_unit_test(an_unknown_feature_is_named),
		cmocka_unit_test(turned_bytes_do_no_harm),
		cmocka_unit_test(truncation_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
