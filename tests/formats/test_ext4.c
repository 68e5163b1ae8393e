/* SPDX-License-Identifier: Apache-2.0 */
/* ext2/3/4: every file of volumes made by mke2fs in all the ways it knows. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "formats/drivers.h"
#include "formats/fs/fs.h"
#include "tests/lib/ext4_make.h"

static const char *const made[] = {
	"-t ext2",
	"-t ext2 -b 1024 -r 0",
	"-t ext2 -b 2048 -I 128",
	"-t ext3",
	"-t ext3 -b 1024 -g 1024",
	"-t ext4",
	"-t ext4 -b 1024",
	"-t ext4 -b 1024 -g 512 -O ^flex_bg,^resize_inode",
	"-t ext4 -I 128",
	"-t ext4 -I 1024",
	"-t ext4 -O 64bit",
	"-t ext4 -O ^64bit",
	"-t ext4 -O ^metadata_csum,uninit_bg",
	"-t ext4 -O ^metadata_csum,^uninit_bg",
	"-t ext4 -O metadata_csum_seed",
	"-t ext4 -O meta_bg,^resize_inode -b 1024 -g 1024",
	"-t ext4 -O sparse_super2",
	"-t ext4 -O sparse_super2,^resize_inode -b 1024 -E num_backup_sb=1",
	"-t ext4 -O ^sparse_super -b 1024",
	"-t ext4 -O bigalloc -C 16384",
	"-t ext4 -O bigalloc -b 1024 -C 8192",
	"-t ext4 -O inline_data",
	"-t ext4 -O inline_data -I 1024",
	"-t ext4 -O ^extents,^64bit,^metadata_csum",
	"-t ext4 -O ^has_journal",
	"-t ext4 -O ea_inode,large_dir",
	"-t ext4 -O quota,project -I 256",
	"-t ext4 -O casefold -E encoding=utf8",
	"-t ext4 -O encrypt,verity",
	"-t ext4 -O ^dir_index",
	"-t ext4 -O ^filetype",
	"-t ext4 -O mmp",
	"-t ext4 -O ^huge_file,^dir_nlink,^extra_isize,^large_file",
	"-t ext4 -O fast_commit",
	"-t ext4 -O orphan_file",
	"-t ext4 -b 1024 -G 4 -g 1024",
	"-t ext4 -b 4096 -E packed_meta_blocks=1",
	"-t ext4 -E hash_seed=11111111-2222-3333-4444-555555555555",
};

static void every_file_is_what_it_was_made_from(void **state)
{
	size_t ran = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++) {
		struct image *img = ext4_make(made[i], "24M", NULL);

		if (!img)
			continue;
		image_check(img, &ext4_ops);
		if (img->err || image_worse(img, BLEMISH))
			print_message("mke2fs %s\n", made[i]);
		assert_int_equal(img->err, 0);
		assert_clean(img);
		ext4_compare(img, 0);
		image_free(img);
		ran++;
	}
	if (!ran)
		skip();
}

static void entries_are_found_by_path(void **state)
{
	struct image *img = ext4_make("-t ext4", "24M", NULL);
	static const struct {
		const char *path;
		int err;
		enum fs_kind kind;
	} paths[] = {
		{"/", 0, FS_DIR},
		{"/small", 0, FS_FILE},
		{"/deep/a/b/c/d/e/f/g/file", 0, FS_FILE},
		{"/many/a-file-with-a-long-name-number-299", 0, FS_FILE},
		{"/longlink", 0, FS_SYMLINK},
		{"/fifo", 0, FS_SPECIAL},
		{"/$journal", 0, FS_FILE},
		{"/none", -ENOENT, FS_FILE},
		{"/small/x", -ENOTDIR, FS_FILE},
		{"/deep/none/x", -ENOENT, FS_FILE},
	};

	(void)state;
	if (!img)
		skip();
	image_open(img, &ext4_ops);
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		struct fs_entry *e = NULL;
		int r = img->top->ops->fs->lookup(img->top, paths[i].path, &e);

		if (r != paths[i].err)
			fail_msg("%s: %d", paths[i].path, r);
		if (r)
			continue;
		assert_string_equal(e->path, paths[i].path);
		assert_int_equal(e->kind, paths[i].kind);
		fs_entry_free(e);
	}
	image_free(img);
}

static int count(void *arg, const struct fs_entry *e)
{
	(void)e;
	++*(size_t *)arg;
	return 0;
}

static void a_folder_is_listed_alone_and_with_what_is_below(void **state)
{
	struct image *img = ext4_make("-t ext4 -b 1024", "24M", NULL);
	static const struct {
		struct fs_query q;
		int err;
		size_t n;
	} asked[] = {
		{{.dir = "/many"}, 0, 300},	  {{.dir = "/deep", .recursive = true}, 0, 9},
		{{.dir = "/deep"}, 0, 2},	  {{.dir = "/emptydir", .recursive = true}, 0, 0},
		{{.dir = "/small"}, -ENOTDIR, 0}, {{.dir = "/nothing"}, -ENOENT, 0},
	};

	(void)state;
	if (!img)
		skip();
	image_open(img, &ext4_ops);
	for (size_t i = 0; i < sizeof(asked) / sizeof(*asked); i++) {
		size_t n = 0;
		int r = img->top->ops->fs->walk(img->top, &asked[i].q, count, &n);

		assert_int_equal(r, asked[i].err);
		assert_int_equal(n, asked[i].n);
	}
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_file_is_what_it_was_made_from),
		cmocka_unit_test(entries_are_found_by_path),
		cmocka_unit_test(a_folder_is_listed_alone_and_with_what_is_below),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
