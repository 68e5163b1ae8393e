/* SPDX-License-Identifier: Apache-2.0 */
/* A file system that is a table: for tests of what stands above file systems. */
#ifndef VDISKCK_TESTS_FAKE_FS_H
#define VDISKCK_TESTS_FAKE_FS_H

#include "formats/fs/fs.h"

/* An entry, and the bytes of the volume that are its data (@len 0: none). */
struct fake_file {
	struct fs_entry e;
	uint64_t at, len;
	const char *structure; /* the bytes are metadata; e.path NULL: of no file */
};

/*
 * fake_fs_new() - a layer of kind LAYER_FILESYSTEM on @below, attached to it
 * @v: ends with an entry that has neither path nor structure; kept. Its walk() gives entries in
 * the order of the table.
 */
struct layer *fake_fs_new(struct layer *below, const char *name, const struct fake_file *v);

#endif
