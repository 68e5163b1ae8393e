/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of file systems: everything a walk gives, as text, and files by their hashes. */
#ifndef VDISKCK_TESTS_FS_LIST_H
#define VDISKCK_TESTS_FS_LIST_H

#include "formats/fs/fs.h"
#include "tests/lib/image.h"

struct fs_item {
	struct fs_entry *e;
	char sha256[65];	 /* of its data: what is lost counts as zeros; empty: a folder */
	uint64_t lost, doubtful; /* bytes */
};

struct fs_list {
	struct fs_item *v;
	size_t n;
};

/* fs_list() - walk all of @fs, and read every file; sorted by path */
void fs_list(struct layer *fs, bool deleted, struct fs_list *list);
void fs_list_free(struct fs_list *list);
/* fs_listed() - the first item with this path that is (or isn't) deleted, or NULL */
const struct fs_item *fs_listed(const struct fs_list *list, const char *path, bool deleted);
/* Files as they were put into an image. */
enum { FS_SUMS = 64 };
struct fs_sum {
	char path[256], sha256[65];
};
struct fs_sums {
	struct fs_sum v[FS_SUMS];
	size_t n;
};

/*
 * fs_made() - the image that a shell script makes: file "disk", of the files in folder "tree"
 * NULL: a tool is missing. With FS_MADE_LOG set, it says which, and fs_intact() what is not.
 */
struct image *fs_made(const char *script, struct fs_sums *sums);
/* fs_intact() - how many of these files are listed, with nothing lost and the right bytes */
unsigned fs_intact(const struct fs_list *list, const struct fs_sums *sums);

/* fs_owner_of() - what owners() says of one byte: "file /a at 12", "structure NAME", "free" */
const char *fs_owner_of(struct layer *fs, uint64_t at);
/*
 * fs_exercise() - walk, look up, open, read, ask for owners and unused bytes: for flip and fuzz
 * loops, on what may be damaged in any way. Aborts on a broken promise.
 */
void fs_exercise(struct layer *fs);
/* assert_owners_agree() - owners() of the whole volume names each file where map() has it */
void assert_owners_agree(struct layer *fs);

#endif
