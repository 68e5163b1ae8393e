/* SPDX-License-Identifier: Apache-2.0 */
/* ext2/3/4 volumes by mke2fs, and their files compared with those that they were made from. */
#ifndef VDISKCK_TESTS_EXT4_MAKE_H
#define VDISKCK_TESTS_EXT4_MAKE_H

#include "tests/lib/image.h"

/* ext4_tree() - the folder of files that volumes are made from: all kinds, sizes, names */
const char *ext4_tree(void);
/*
 * ext4_make() - mke2fs @args (type, features, block size) of @size ("8M"), with the files of
 * ext4_tree(); then debugfs -w with the lines of @edit, if any. NULL: no mke2fs, or it refuses.
 */
struct image *ext4_make(const char *args, const char *size, const char *edit);
/*
 * ext4_compare() - walk img->top; every file that is not lost must have its content in the tree
 * @missing: how many files of the tree may be gone or under /$orphans. Returns how many were.
 */
size_t ext4_compare(struct image *img, size_t missing);
/* ext4_verdict() - exit status of e2fsck -fn on the image */
int ext4_verdict(const struct image *img);

#endif
