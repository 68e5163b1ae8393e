/* SPDX-License-Identifier: Apache-2.0 */
/* NTFS volumes that mkntfs and ntfs-3g make: what is read of them, and of what was deleted. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "formats/drivers.h"
#include "formats/fs/ntfs.h"
#include "tests/lib/ntfs_full.h"

static void every_file_is_there_as_it_was_put_in(void **state)
{
	struct image *img = ntfs_full_fresh();
	struct fs_list list;

	(void)state;
	image_open(img, &ntfs_ops);
	assert_clean(img);
	ntfs_full_assert_files(img, 0);
	assert_clean(img);
	fs_list(img->top, false, &list);
	assert_int_equal(ntfs_full_find(&list, "/tiny")->e->links, 2);
	assert_int_equal(ntfs_full_find(&list, "/tiny")->e->id,
			 ntfs_full_find(&list, "/Windows/second")->e->id);
	assert_int_equal(ntfs_full_find(&list, "/tiny:big")->e->size, 23893);
	assert_string_equal(ntfs_full_find(&list, "/tiny:small")->e->stream, "small");
	assert_int_equal(ntfs_full_find(&list, "/comp/seq")->e->path_sure, FS_SURE);
	assert_string_equal(ntfs_full_find(&list, "/comp/seq")->e->remark, "compressed (LZNT1)");
	assert_true(ntfs_full_find(&list, "/comp/seq")->e->stored <
		    ntfs_full_find(&list, "/comp/seq")->e->size);
	assert_true(ntfs_full_find(&list, "/sparse")->e->stored < 20000);
	assert_int_equal(ntfs_full_find(&list, "/Windows/link")->e->kind, FS_SYMLINK);
	assert_string_equal(ntfs_full_find(&list, "/Windows/link")->e->target, "../tiny");
	assert_true(ntfs_full_find(&list, "/tiny")->e->modified.set);
	fs_list_free(&list);
	image_free(img);
}

static void paths_are_looked_up_without_case(void **state)
{
	struct image *img = ntfs_full_fresh();
	struct fs_entry *e;
	uint64_t id;

	(void)state;
	image_open(img, &ntfs_ops);
	id = ntfs_full_id_of(img->top, "/Users/Anna Müller/file3.txt");
	assert_true(id >= NTFS_SYSTEM_RECORDS);
	assert_int_equal(ntfs_full_id_of(img->top, "/USERS/anna MÜLLER/FILE3.TXT"), id);
	assert_int_equal(ntfs_full_id_of(img->top, "/tiny:BIG"),
			 ntfs_full_id_of(img->top, "/windows/SECOND"));
	assert_true(ntfs_full_id_of(img->top, "/ÜNÏ çode"));
	assert_int_equal(ntfs_full_id_of(img->top, "/"), NTFS_ROOT);
	assert_int_equal(ntfs_full_id_of(img->top, "/$mft"), 0); /* its number */
	assert_int_equal(img->top->ops->fs->lookup(img->top, "/$MFTMIRR", &e), 0);
	assert_true(e->system);
	fs_entry_free(e);
	assert_int_equal(img->top->ops->fs->lookup(img->top, "/nothing", &e), -ENOENT);
	assert_int_equal(img->top->ops->fs->lookup(img->top, "/tiny:nothing", &e), -ENOENT);
	assert_int_equal(img->top->ops->fs->lookup(img->top, "/tiny/x", &e), -ENOTDIR);
	assert_clean(img);
	image_free(img);
}

static void a_folder_is_read_by_its_index_and_without_it(void **state)
{
	struct image *img = ntfs_full_fresh();
	struct ntfs_inode *ino = malloc(sizeof(*ino));
	struct ntfs_stream stream;
	uint64_t at;

	(void)state;
	image_open(img, &ntfs_ops);
	assert_int_equal(ntfs_full_count_many(img, "/MANY"), 90);
	assert_clean(img);
	assert_int_equal(ntfs_inode_load(img->top, ntfs_full_id_of(img->top, "/many"), ino), 0);
	assert_int_equal(ntfs_stream_get(img->top, ino, NTFS_INDEX_ALLOCATION,
					 ntfs_inode_find(ino, NTFS_INDEX_ALLOCATION, "$I30")->name,
					 &stream),
			 0);
	at = stream.runs.v[0].at;
	fs_runs_free(&stream.runs);
	ntfs_inode_free(ino);
	free(ino);

	ntfs_full_wipe(img, at, 512);
	image_open(img, &ntfs_ops);
	assert_int_equal(ntfs_full_count_many(img, "/many"), 90);
	assert_finding(img, NTFS_INDEX_LOST, ANYWHERE);
	assert_true(ntfs_full_id_of(img->top, "/many/entry number 77"));
	image_free(img);
}

static void what_is_not_in_the_file_is_never_zeros(void **state)
{
	struct image *img = ntfs_full_fresh();
	struct fs_entry *e;
	struct fs_list list;
	struct layer *f;
	uint64_t record, at;

	(void)state;
	image_open(img, &ntfs_ops);
	at = ntfs_full_attr_at(img, "/comp/seq", NTFS_DATA, &record);
	assert_int_equal(img->buf[at + 0x0c], 1);
	img->buf[at + 0x0c] = 2;
	image_open(img, &ntfs_ops);
	assert_int_equal(img->top->ops->fs->lookup(img->top, "/comp/seq", &e), 0);
	assert_int_equal(img->top->ops->fs->open_file(img->top, e, &f), 0);
	{
		struct ranges bad = {0};
		uint8_t byte;

		assert_int_equal(layer_read(f, 5, &byte, 1, &bad), 0);
		assert_int_equal(bad.n, 1);
		assert_int_equal(bad.v[0].why, NTFS_COMPRESSION);
		ranges_free(&bad);
	}
	layer_free(f);
	fs_entry_free(e);

	fs_list(img->top, false, &list);
	assert_int_equal(ntfs_full_find(&list, "/dedup")->lost, 9000); /* NTFS_DATA_ELSEWHERE */
	assert_int_equal(ntfs_full_find(&list, "/dedup")->e->data_sure, FS_GONE);
	assert_non_null(strstr(ntfs_full_find(&list, "/dedup")->e->remark, "deduplicated"));
	assert_string_equal(ntfs_full_find(&list, "/sym")->e->target, "A:/BB");
	fs_list_free(&list);
	image_free(img);
}

static void deleted_files_keep_their_path_and_say_what_is_overwritten(void **state)
{
	struct image *img = ntfs_full_fresh();
	struct ntfs_inode *ino = malloc(sizeof(*ino));
	struct ntfs_stream s;
	struct fs_list list;
	const struct fs_item *item;

	(void)state;
	image_open(img, &ntfs_ops);
	fs_list(img->top, true, &list);
	item = fs_listed(&list, "/gone/large", true);
	assert_non_null(item);
	assert_int_equal(item->e->path_sure, FS_SURE);
	assert_int_equal(item->e->data_sure, FS_GUESSED);
	assert_int_equal(item->e->overwritten, 0);
	assert_int_equal(item->doubtful, 0);
	item = fs_listed(&list, "/gone/small", true);
	assert_int_equal(item->e->data_sure, FS_SURE); /* in the record itself */
	fs_list_free(&list);

	/* By a $Bitmap in which all is in use. */
	assert_int_equal(ntfs_inode_load(img->top, NTFS_BITMAP_FILE, ino), 0);
	assert_int_equal(ntfs_stream_get(img->top, ino, NTFS_DATA, (struct span){0}, &s), 0);
	memset(img->buf + s.runs.v[0].at, 0xff, s.size);
	fs_runs_free(&s.runs);
	ntfs_inode_free(ino);
	free(ino);
	image_open(img, &ntfs_ops);
	fs_list(img->top, true, &list);
	item = fs_listed(&list, "/gone/large", true);
	assert_int_equal(item->e->data_sure, FS_GUESSED); /* no file is there that took them */
	assert_int_equal(item->e->overwritten, item->e->stored);
	assert_int_equal(item->e->reused, 0);
	assert_int_equal(item->doubtful, item->e->size); /* NTFS_OVERWRITTEN */
	fs_list_free(&list);
	image_free(img);
}

static uint64_t unnamed_at(struct image *img, const char *path)
{
	struct ntfs_inode *ino = malloc(sizeof(*ino));
	uint64_t id = ntfs_full_id_of(img->top, path), at;

	assert_int_equal(ntfs_inode_load(img->top, id, ino), 0);
	at = ntfs_record_at(img->top->priv, id, 0) + ntfs_inode_find(ino, NTFS_DATA, "")->at;
	ntfs_inode_free(ino);
	free(ino);
	return at;
}

/* By the runs of a file that is there, whatever $Bitmap says. */
static void clusters_of_a_deleted_file_that_another_owns(void **state)
{
	struct image *img = ntfs_full_fresh();
	struct fs_list list;
	const struct fs_item *item;
	uint64_t from, to;

	(void)state;
	image_open(img, &ntfs_ops);
	from = unnamed_at(img, "/gone/large");
	to = unnamed_at(img, "/Users/Anna Müller/file20.txt");
	/* Its runs, with their sizes: what the other one had is nobody's now. */
	assert_int_equal(img->buf[from + 0x20], img->buf[to + 0x20]);
	memcpy(img->buf + to + 0x10, img->buf + from + 0x10, 0x38);
	image_open(img, &ntfs_ops);
	fs_list(img->top, true, &list);
	item = fs_listed(&list, "/gone/large", true);
	assert_int_equal(item->e->overwritten, 0);
	assert_int_equal(item->e->reused, item->e->stored);
	assert_int_equal(item->e->data_sure, FS_GONE);
	assert_int_equal(item->doubtful, item->e->size);
	fs_list_free(&list);
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_file_is_there_as_it_was_put_in),
		cmocka_unit_test(paths_are_looked_up_without_case),
		cmocka_unit_test(a_folder_is_read_by_its_index_and_without_it),
		cmocka_unit_test(what_is_not_in_the_file_is_never_zeros),
		cmocka_unit_test(deleted_files_keep_their_path_and_say_what_is_overwritten),
		cmocka_unit_test(clusters_of_a_deleted_file_that_another_owns),
	};

	return cmocka_run_group_tests(tests, ntfs_full_make, ntfs_full_unmake);
}
