/* SPDX-License-Identifier: Apache-2.0 */
/* Files of NTFS whose bytes are not all in them as they are: fetched on demand, or encrypted. */
#include <stdio.h>

#include "formats/drivers.h"
#include "formats/fs/ntfs.h"
#include "tests/lib/fs_list.h"

/* Reparse points: a tag, the length of the data, the data. 0x9000601a is one of OneDrive's. */
static const char script[] =
	"seq 1 20000 >tree/whole; echo small >tree/small; seq 1 9000 >tree/secret\n"
	"truncate -s 8M disk; mkntfs -F -q -c 4096 disk; mkdir mnt\n"
	"ntfs-3g disk mnt; trap 'fusermount -uz mnt' EXIT\n"
	"cp tree/* mnt/; mkdir mnt/folder mnt/folder/in; truncate -s 40960 mnt/part mnt/none\n"
	"head -c 8192 tree/whole | dd of=mnt/part bs=4096 seek=3 conv=notrunc status=none\n"
	"for f in whole small part none folder/in; do\n"
	"setfattr -n system.ntfs_reparse_data -v 0x1a6000900400000001020304 mnt/$f; done\n"
	"sync -f mnt; fusermount -u mnt; trap - EXIT; sleep 0.3\n"
	"while pgrep -f \"ntfs-3g.* disk mnt\" >/dev/null; do sleep 0.1; done\n";

static struct image *good;
static struct fs_sums sums;

static int make(void **state)
{
	(void)state;
	good = fs_made(script, &sums);
	return 0;
}

static int unmake(void **state)
{
	(void)state;
	if (good)
		image_free(good);
	return 0;
}

static const struct fs_item *find(const struct fs_list *list, const char *path)
{
	const struct fs_item *item = fs_listed(list, path, false);

	assert_non_null(item);
	return item;
}

static void what_a_cloud_gave_back_is_there(void **state)
{
	struct fs_list list;

	(void)state;
	if (!good)
		skip();
	image_check(good, &ntfs_ops);
	assert_clean(good);
	fs_list(good->top, false, &list);
	assert_int_equal(fs_intact(&list, &sums), sums.n);
	assert_string_equal(find(&list, "/whole")->e->remark, "a cloud file");
	assert_int_equal(find(&list, "/whole")->e->data_sure, FS_SURE);
	assert_int_equal(find(&list, "/small")->e->data_sure, FS_SURE);
	assert_int_equal(find(&list, "/folder/in")->e->data_sure, FS_SURE);
	assert_int_equal(find(&list, "/folder/in")->e->kind, FS_DIR);
	/* Two clusters of ten were fetched; the others are no zeros. */
	assert_int_equal(find(&list, "/part")->lost, 8 * 4096);
	assert_int_equal(find(&list, "/part")->e->data_sure, FS_GUESSED);
	assert_int_equal(find(&list, "/none")->lost, 40960);
	assert_int_equal(find(&list, "/none")->e->data_sure, FS_GONE);
	fs_list_free(&list);
}

static void what_lies_elsewhere_says_so(void **state)
{
	struct ranges bad = {0};
	struct layer *f;
	struct fs_entry *e;
	uint8_t buf[40960];

	(void)state;
	if (!good)
		skip();
	image_open(good, &ntfs_ops);
	assert_int_equal(good->top->ops->fs->lookup(good->top, "/part", &e), 0);
	assert_int_equal(good->top->ops->fs->open_file(good->top, e, &f), 0);
	assert_int_equal(layer_read(f, 0, buf, sizeof(buf), &bad), 0);
	assert_memory_equal(buf + 3 * 4096, "1\n2\n3\n4\n", 8);
	assert_int_equal(bad.n, 2);
	assert_int_equal(bad.v[0].len, 3 * 4096);
	assert_int_equal(bad.v[1].off, 5 * 4096);
	assert_int_equal(bad.v[1].grade, GRADE_LOST);
	assert_int_equal(bad.v[1].why, NTFS_DATA_ELSEWHERE);
	ranges_free(&bad);
	layer_free(f);
	fs_entry_free(e);
}

/* A copy of the volume, and where $DATA of a file lies in it. */
static struct image *copy(const char *path, uint64_t *at)
{
	struct ntfs_inode *ino;
	struct image *img;
	struct fs_entry *e;

	if (!good)
		skip();
	ino = malloc(sizeof(*ino));
	img = image_new(good->len);
	memcpy(img->buf, good->buf, img->len);
	image_open(img, &ntfs_ops);
	assert_int_equal(img->top->ops->fs->lookup(img->top, path, &e), 0);
	assert_int_equal(ntfs_inode_load(img->top, e->id, ino), 0);
	*at = ntfs_record_at(img->top->priv, e->id,
			     (uint32_t)ntfs_inode_find(ino, NTFS_DATA, "")->at);
	ntfs_inode_free(ino);
	free(ino);
	fs_entry_free(e);
	return img;
}

static void clusters_that_nobody_wrote_to_are_zeros_in_a_cloud_too(void **state)
{
	uint8_t buf[8192], zeros[4096] = {0};
	struct ranges bad = {0};
	struct fs_entry *e;
	struct layer *f;
	uint64_t at;
	struct image *img = copy("/whole", &at);

	(void)state;
	image_poke(img, at + 0x38, "\0\x10\0\0\0\0\0\0", 8); /* initialised: 4096 bytes */
	image_open(img, &ntfs_ops);
	assert_int_equal(img->top->ops->fs->lookup(img->top, "/whole", &e), 0);
	assert_int_equal(img->top->ops->fs->open_file(img->top, e, &f), 0);
	assert_int_equal(layer_read(f, 0, buf, sizeof(buf), &bad), 0);
	assert_int_equal(bad.n, 0);
	assert_memory_equal(buf, "1\n2\n3\n4\n", 8);
	assert_memory_equal(buf + 4096, zeros, 4096);
	layer_free(f);
	fs_entry_free(e);
	image_free(img);
}

/* Only Windows writes them: the flag of $DATA is set here. */
static void encrypted_bytes_are_not_taken_for_the_file(void **state)
{
	struct fs_list list;
	struct ranges bad = {0};
	struct layer *f;
	struct fs_entry *e;
	uint64_t at;
	struct image *img = copy("/secret", &at);
	char byte;

	(void)state;
	img->buf[at + 0x0d] |= NTFS_ENCRYPTED >> 8;
	image_open(img, &ntfs_ops);
	assert_int_equal(img->top->ops->fs->lookup(img->top, "/secret", &e), 0);
	fs_list(img->top, false, &list);
	assert_string_equal(find(&list, "/secret")->e->remark, "encrypted (EFS)");
	assert_int_equal(find(&list, "/secret")->doubtful, e->size);
	fs_list_free(&list);
	assert_int_equal(img->top->ops->fs->open_file(img->top, e, &f), 0);
	assert_int_equal(layer_read(f, 77, &byte, 1, &bad), 0);
	assert_int_equal(bad.n, 1);
	assert_int_equal(bad.v[0].why, NTFS_EFS);
	ranges_free(&bad);
	layer_free(f);
	fs_entry_free(e);
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_cloud_gave_back_is_there),
		cmocka_unit_test(what_lies_elsewhere_says_so),
		cmocka_unit_test(clusters_that_nobody_wrote_to_are_zeros_in_a_cloud_too),
		cmocka_unit_test(encrypted_bytes_are_not_taken_for_the_file),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
