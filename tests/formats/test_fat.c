/* SPDX-License-Identifier: Apache-2.0 */
/* FAT12, FAT16, FAT32 as mkfs.vfat and mtools make them. */
#include <errno.h>
#include <stdio.h>

#include "formats/drivers.h"
#include "tests/lib/fs_list.h"

/* Each with folders, long names, a fragmented file, and files that were deleted. */
static const char script[] =
	"mkdir -p tree/Docs/inner 'tree/Ünï çode näme folder'\n"
	"seq 1 3000 >tree/README.TXT; seq 1 9 >tree/lower.txt; : >tree/EMPTY\n"
	"seq 5 500 >'tree/A rather long name with spaces.text'\n"
	"seq 7 4000 >tree/Docs/inner/deep.dat\n"
	"seq 8 800 >'tree/Ünï çode näme folder/файл.txt'\n"
	"for i in 1 2 3 4 5 6 7 8 9; do seq $i 300 >tree/Docs/file$i; done\n"
	"seq 1 6000 >tree/Docs/frag\n"
	"truncate -s $SIZE disk; mkfs.vfat $OPTIONS -n TESTVOL disk\n"
	"export MTOOLS_SKIP_CHECK=1\n"
	"seq 1 2000 >gone.txt; seq 2 2000 >gone\n"
	"mcopy -i disk -s tree/Docs tree/README.TXT tree/EMPTY ::\n"
	"mcopy -i disk gone.txt '::Deleted long name.txt'; mcopy -i disk gone ::SHORT.DEL\n"
	"mdel -i disk ::Docs/file2 ::Docs/file5 ::Docs/file7\n"
	"rm tree/Docs/file2 tree/Docs/file5 tree/Docs/file7\n"
	"mcopy -i disk -s 'tree/Ünï çode näme folder' 'tree/A rather long name with spaces.text' ::\n"
	"mcopy -i disk tree/lower.txt ::; mdel -i disk ::SHORT.DEL\n"
	"mdel -i disk '::Deleted long name.txt'; fsck.fat -n disk\n";

static const struct {
	unsigned bits;
	const char *size, *options;
} kinds[] = {{12, "2M", "-F 12 -s 1"}, {16, "16M", "-F 16 -s 4"}, {32, "40M", "-F 32 -s 1"}};

static struct image *good[3];
static struct fs_sums sums[3];

static int make_all(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		setenv("SIZE", kinds[i].size, 1);
		setenv("OPTIONS", kinds[i].options, 1);
		good[i] = fs_made(script, &sums[i]);
	}
	return 0;
}

static int free_all(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		if (good[i])
			image_free(good[i]);
	return 0;
}

/* A copy of a good one, to damage. */
static struct image *fresh(int i)
{
	struct image *img;

	if (!good[i])
		skip();
	img = image_new(good[i]->len);
	memcpy(img->buf, good[i]->buf, img->len);
	return img;
}

static void every_file_is_there_as_it_was_put_in(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct image *img = fresh(i);
		struct fs_list list;

		image_check(img, &fat_ops);
		assert_int_equal(img->err, 0);
		assert_clean(img);
		fs_list(img->top, false, &list);
		assert_true(sums[i].n > 10);
		assert_int_equal(fs_intact(&list, &sums[i]), sums[i].n);
		assert_int_equal(list.n, sums[i].n + 3);
		assert_owners_agree(img->top);
		fs_list_free(&list);
		image_free(img);
	}
}

static uint64_t id_of(struct layer *fs, const char *path)
{
	struct fs_entry *e = NULL;
	int r = fs->ops->fs->lookup(fs, path, &e);
	uint64_t id = r ? 0 : e->id;

	fs_entry_free(e);
	return id;
}

static void paths_are_looked_up_without_case(void **state)
{
	struct image *img = fresh(1);
	struct fs_entry *e;
	uint64_t id;

	(void)state;
	image_open(img, &fat_ops);
	id = id_of(img->top, "/Docs/inner/deep.dat");
	assert_true(id);
	assert_int_equal(id_of(img->top, "/DOCS/Inner/DEEP.DAT"), id);
	id = id_of(img->top, "/Ünï çode näme folder/файл.txt");
	assert_true(id);
	assert_int_equal(id_of(img->top, "/ÜNÏ ÇODE NÄME FOLDER/ФАЙЛ.TXT"), id);
	assert_int_equal(id_of(img->top, "/ARATHE~1.TEX"),
			 id_of(img->top, "/a rather long name with spaces.text"));
	assert_int_equal(img->top->ops->fs->lookup(img->top, "/nothing", &e), -ENOENT);
	assert_int_equal(img->top->ops->fs->lookup(img->top, "/EMPTY/x", &e), -ENOTDIR);
	assert_int_equal(id_of(img->top, "/"), 1);
	image_free(img);
}

static void deleted_files_come_back(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct image *img = fresh(i);
		struct fs_list list;
		const struct fs_item *item;

		image_open(img, &fat_ops);
		fs_list(img->top, true, &list);
		/* Its first character is gone from the entry; the sum of the long name tells it. */
		item = fs_listed(&list, "/Deleted long name.txt", true);
		assert_non_null(item);
		assert_int_equal(item->e->path_sure, FS_SURE);
		assert_int_equal(item->e->data_sure, FS_GUESSED);
		item = fs_listed(&list, "/_HORT.DEL", true);
		assert_non_null(item);
		assert_int_equal(item->e->path_sure, FS_GUESSED);
		assert_int_equal(item->e->size, 8891);
		fs_list_free(&list);
		image_free(img);
	}
}

static void a_lost_boot_sector_is_read_from_its_copy(void **state)
{
	struct image *img = fresh(2);
	struct fs_list list;

	(void)state;
	memset(img->buf, 0, 512);
	image_discover(img);
	assert_finding(img, FAT_BOOT_LOST, 0);
	fs_list(img->source->child, false, &list);
	assert_int_equal(fs_intact(&list, &sums[2]), sums[2].n);
	fs_list_free(&list);
	image_free(img);
}

static void a_volume_that_was_cut_short_says_so(void **state)
{
	struct image *img = fresh(1);

	(void)state;
	image_resize(img, img->len / 2);
	image_open(img, &fat_ops);
	assert_finding(img, FAT_TRUNCATED, 0);
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_file_is_there_as_it_was_put_in),
		cmocka_unit_test(paths_are_looked_up_without_case),
		cmocka_unit_test(deleted_files_come_back),
		cmocka_unit_test(a_lost_boot_sector_is_read_from_its_copy),
		cmocka_unit_test(a_volume_that_was_cut_short_says_so),
	};

	return cmocka_run_group_tests(tests, make_all, free_all);
}
