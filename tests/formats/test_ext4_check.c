/* SPDX-License-Identifier: Apache-2.0 */
/* One thing of an ext4 made wrong: the finding that says so, and e2fsck's agreement. */
#include <stdio.h>

#include "formats/drivers.h"
#include "formats/fs/fs.h"
#include "tests/lib/corpus.h"
#include "tests/lib/ext4_make.h"
#include "tests/lib/fs_list.h"

static const struct {
	const char *args, *edit; /* lines of debugfs -w */
	enum finding_id id;
	bool harmless; /* e2fsck says that nothing is wrong */
} wrong[] = {
	{"-t ext4", "sif small links_count 5", EXT4_LINKS, false},
	{"-t ext4", "sif large size 100", EXT4_INODE_SIZE, false},
	{"-t ext4", "sif large blocks 2", EXT4_INODE_BLOCKS, false},
	{"-t ext4", "sif large faddr 7", EXT4_INODE_FIELD, false},
	{"-t ext4", "sif f1 dtime 12345", EXT4_INODE_FIELD, false},
	{"-t ext4", "sif fifo mode 0140644", EXT4_DIR_TYPE, false},
	{"-t ext4", "setb 5000", EXT4_BLOCK_BITMAP, false},
	{"-t ext4", "freei large", EXT4_INODE_BITMAP, false},
	{"-t ext4", "clri f1", EXT4_DIR_INODE, false},
	{"-t ext4", "unlink f1", EXT4_INODE_UNNAMED, false},
	{"-t ext4", "unlink deep", EXT4_DIR_LOST, false},
	{"-t ext4", "ssv free_blocks_count 1", EXT4_FREE_COUNT, true},
	{"-t ext4", "ssv state 3", EXT4_ERRORS_RECORDED, true},
	{"-t ext4", "ssv last_orphan 12345", EXT4_ORPHAN_LIST, true},
	{"-t ext4", "set_bg 0 free_blocks_count 7\nset_bg 0 checksum calc", EXT4_GROUP_COUNT,
	 false},
	{"-t ext4", "set_bg 0 checksum 7", EXT4_GROUP_SUM, true},
	{"-t ext4", "set_bg 0 itable_unused 60000\nset_bg 0 checksum calc", EXT4_GROUP_UNUSED,
	 false},
	{"-t ext2", "sif f7 block[0] 99999999", EXT4_EXTENT_BAD, false},
	{"-t ext2", "sif f7 block[0] 2", EXT4_BLOCK_META, false},
	{"-t ext2", "sif f7 block[0] 1500\nsif f6 block[0] 1500", EXT4_BLOCK_SHARED, false},
	{"-t ext4", "sif f7 block[1] 0", EXT4_EXTENT_BAD, false},
	{"-t ext2", "sif many block[1] 0", EXT4_DIR_HOLE, false},
	{"-t ext4", "sif / mode 0100755", EXT4_ROOT_LOST, false},
	{"-t ext4", "sif f7 file_acl 99999999", EXT4_XATTR_BAD, false},
};

static void what_is_wrong_is_found(void **state)
{
	size_t ran = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct image *img = ext4_make(wrong[i].args, "12M", wrong[i].edit);
		bool damaged;
		int verdict;

		if (!img)
			continue;
		ran++;
		image_check(img, &ext4_ops);
		assert_int_equal(img->err, 0);
		if (!image_seen(img, wrong[i].id, ANYWHERE))
			print_message("%s: %s\n", wrong[i].args, wrong[i].edit);
		assert_finding(img, wrong[i].id, ANYWHERE);
		damaged = finding_severity(wrong[i].id) == DAMAGE;
		assert_int_equal(damaged, !wrong[i].harmless);
		verdict = ext4_verdict(img);
		if ((verdict != 0) == wrong[i].harmless)
			fail_msg("%s: e2fsck says %d", wrong[i].edit, verdict);
		image_free(img);
	}
	if (!ran)
		skip();
}

/* Volumes of e2fsprogs' tests, each with one thing wrong. */
static const struct {
	const char *file;
	enum finding_id id;
} theirs[] = {
	{"f_bad_bbitmap.img.gz", EXT4_BITMAP_SUM},
	{"f_dup.img.gz", EXT4_BLOCK_SHARED},
	{"f_dup3.img.gz", EXT4_DIR_BLOCK},
	{"f_baddir.img.gz", EXT4_DIR_DOT},
	{"f_baddir.img.gz", EXT4_DIR_NAME},
	{"f_holedir3.img.gz", EXT4_DIR_INDEX},
	{"f_h_reindex.img.gz", EXT4_DIR_INDEX},
	{"f_lpf2.img.gz", EXT4_DIR_LOST},
	{"f_htree_leaf_csum.img.gz", EXT4_DIR_SUM},
	{"f_dup_de2.img.gz", EXT4_DIR_TWICE},
	{"f_extent_int_bad_extent.img.gz", EXT4_EXTENT_SUM},
	{"f_uninit_disable.img.gz", EXT4_GROUP_FLAGS},
	{"f_overfsblks.img.gz", EXT4_GROUP_OVERLAP},
	{"f_illitable.img.gz", EXT4_GROUP_POINTER},
	{"f_no_cache_corrupt_inode.img.gz", EXT4_INODE_SUM},
	{"f_zero_super.img.gz", EXT4_SUPER_LOST},
	{"f_zero_inode_size.img.gz", EXT4_SUPER_COPY},
	{"f_resize_inode_meta_bg.img.gz", EXT4_SUPER_FIELD},
	{"f_first_meta_bg_too_big.img.gz", EXT4_META_BG},
	{"f_orphan.img.gz", EXT4_ORPHANS},
	{"f_ea_checks.img.gz", EXT4_XATTR_BAD},
	{"m_mmp_bad_csum.img.gz", EXT4_MMP_BAD},
	{"f_bad_local_jnl.img.gz", EXT4_JOURNAL_BAD},
	{"f_ext_journal.img.gz", EXT4_JOURNAL_MISSING},
	{"j_ext_dumpe2fs.img.gz", EXT4_JOURNAL_DEVICE},
	{"j_corrupt_descr_csum.img.gz", EXT4_JOURNAL_TORN},
	{"j_recover_csum2_32bit.img.bz2", EXT4_JOURNAL_DISAGREES},
	{"f_journal.img.gz", EXT4_JOURNAL_REPLAYED},
};

static void what_is_wrong_in_their_volumes_is_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(theirs) / sizeof(*theirs); i++) {
		char name[128];
		const char *path;
		struct image *img;

		snprintf(name, sizeof(name), "ext/e2fsprogs-%s", theirs[i].file);
		path = corpus_file(name);
		if (!path)
			skip();
		img = image_stack(path, NULL);
		if (!image_seen(img, theirs[i].id, ANYWHERE))
			print_message("%s\n", theirs[i].file);
		assert_finding(img, theirs[i].id, ANYWHERE);
		image_free(img);
	}
	corpus_file(NULL);
}

/* A copy of the superblock is compared; an external journal is only said. */
static void copies_and_external_journals(void **state)
{
	struct image *img = ext4_make("-t ext4 -b 1024 -g 2048", "12M", NULL);
	static const uint8_t none[4];

	(void)state;
	if (!img)
		skip();
	memset(img->buf + 2049 * 1024, 0, 1024);
	image_check(img, &ext4_ops);
	assert_finding(img, EXT4_SUPER_COPY_BAD, 2049 * 1024);
	assert_int_equal(image_worse(img, DAMAGE), 0);
	image_free(img);

	img = ext4_make("-t ext3", "12M", NULL);
	if (!img)
		skip();
	image_poke(img, 1024 + 0xe0, none, 4); /* the journal's inode */
	image_open(img, &ext4_ops);
	assert_finding(img, EXT4_JOURNAL_ELSEWHERE, 1024 + 0xd0);
	image_free(img);
}

static void every_byte_has_its_owner(void **state)
{
	static const char *const made[] = {"-t ext4", "-t ext2 -b 1024",
					   "-t ext4 -O bigalloc -C 16384",
					   "-t ext4 -O inline_data -b 1024"};

	(void)state;
	for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++) {
		struct image *img = ext4_make(made[i], "12M", NULL);

		if (!img)
			skip();
		image_open(img, &ext4_ops);
		assert_owners_agree(img->top);
		assert_string_equal(fs_owner_of(img->top, 1024), "structure superblock");
		fs_exercise(img->top);
		image_free(img);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_wrong_is_found),
		cmocka_unit_test(what_is_wrong_in_their_volumes_is_found),
		cmocka_unit_test(copies_and_external_journals),
		cmocka_unit_test(every_byte_has_its_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
