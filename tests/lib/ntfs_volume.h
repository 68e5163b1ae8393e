/* SPDX-License-Identifier: Apache-2.0 */
/* The volume of fixtures/ntfs/make.sh, and what ntfs-3g says is in it. */
#ifndef VDISKCK_TESTS_NTFS_VOLUME_H
#define VDISKCK_TESTS_NTFS_VOLUME_H

#include "tests/lib/image.h"

struct ntfs_file {
	char *path;
	char sha256[65];
};

struct ntfs_volume {
	uint8_t *bytes;
	size_t len;
	struct ntfs_file *files; /* in order of their paths */
	size_t n_files;
};

/* ntfs_volume_make() - NULL: nothing can be mounted here. @options: of mkntfs; @size: "32M" */
struct ntfs_volume *ntfs_volume_make(const char *options, const char *size);
void ntfs_volume_free(struct ntfs_volume *v);
/* ntfs_volume_find() - the file at a path, or NULL */
const struct ntfs_file *ntfs_volume_find(const struct ntfs_volume *v, const char *path);
/* file_sha256() - of all of a file that is open; false: some of it is lost or doubtful */
bool file_sha256(struct layer *file, char hex[65]);

#endif
