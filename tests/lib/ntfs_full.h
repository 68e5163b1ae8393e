/* SPDX-License-Identifier: Apache-2.0 */
/* One volume with all that ntfs-3g can write, for tests that damage copies of it. */
#ifndef VDISKCK_TESTS_NTFS_FULL_H
#define VDISKCK_TESTS_NTFS_FULL_H

#include "formats/fs/ntfs.h"
#include "tests/lib/fs_list.h"

struct ntfs_full {
	struct image *good;  /* NULL: it can't be made here */
	struct fs_sums sums; /* of the files that were put in */
	struct ntfs_geometry g;
};
extern struct ntfs_full ntfs_full;

/* Setup and teardown of a group of tests. */
int ntfs_full_make(void **state);
int ntfs_full_unmake(void **state);

/* ntfs_full_fresh() - a copy; skips the test if there is no volume */
struct image *ntfs_full_fresh(void);
uint64_t ntfs_full_record_at(uint64_t number);
void ntfs_full_wipe(struct image *img, uint64_t off, size_t len);
/* ntfs_full_assert_files() - all that was put in, but for @lost files, is listed and right */
void ntfs_full_assert_files(struct image *img, size_t lost);
/* ntfs_full_id_of() - 0: the file is not there */
uint64_t ntfs_full_id_of(struct layer *fs, const char *path);
const struct fs_item *ntfs_full_find(const struct fs_list *list, const char *path);
/*
 * ntfs_full_attr_at() - where an attribute of a file lies in the volume: in the last record that
 * has a part of it, which goes to @record
 */
uint64_t ntfs_full_attr_at(struct image *img, const char *path, uint32_t type, uint64_t *record);
/* ntfs_full_count_many() - files in /many, which are all sure; @dir: in any case. 90 are right. */
int ntfs_full_count_many(struct image *img, const char *dir);

#endif
