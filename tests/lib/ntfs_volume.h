/* SPDX-License-Identifier: Apache-2.0 */
/* The volume of fixtures/ntfs/make.sh, and what ntfs-3g says is in it. */
#ifndef VDISKCK_TESTS_NTFS_VOLUME_H
#define VDISKCK_TESTS_NTFS_VOLUME_H

#include "formats/fs/ntfs.h"
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

/* ntfs_volume_fresh() - a copy, open; skips the test if there is no volume */
struct image *ntfs_volume_fresh(const struct ntfs_volume *v);
/* Of an image of NTFS that is open: the record number of a file, and where things lie in it. */
uint64_t ntfs_id_of(struct image *img, const char *path);
uint64_t ntfs_at_record(struct image *img, uint64_t number);
/* ntfs_at_attr() - an attribute of a file with one record, and what it says; its spans are dead */
uint64_t ntfs_at_attr(struct image *img, uint64_t number, uint32_t type, const char *name,
		      struct ntfs_attr *a);
/* ntfs_at_stream() - byte @off of a stream */
uint64_t ntfs_at_stream(struct image *img, uint64_t number, uint32_t type, const char *name,
			uint64_t off);
/* ntfs_flip() - other bits in the byte at @at; ntfs_expect() - check it, and find @id there */
void ntfs_flip(struct image *img, uint64_t at, uint8_t bits);
void ntfs_expect(struct image *img, enum finding_id id, uint64_t at);

#endif
