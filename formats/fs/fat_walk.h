/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VDISKCK_FORMATS_FS_FAT_WALK_H
#define VDISKCK_FORMATS_FS_FAT_WALK_H

#include "formats/fs/fat.h"

/* What a walk's entries are the first member of. */
struct fat_item {
	struct fs_entry e;
	struct fat_dirent d;
	uint32_t first;
	struct chain chain; /* as far as e.size goes; not of deleted ones */
};

struct fat_folder {
	uint64_t id;
	bool gone;
};

int fat_walk(struct layer *l, const struct fs_query *q,
	     int (*fn)(void *arg, const struct fs_entry *e), void *arg);
int fat_lookup(struct layer *l, const char *path, struct fs_entry **e);
int fat_open_file(struct layer *l, const struct fs_entry *e, struct layer **file);
int fat_owners(struct layer *l, const struct ranges *r,
	       int (*fn)(void *arg, const struct fs_owner *o), void *arg);
int fat_unused(struct layer *l, int (*fn)(void *arg, uint64_t off, uint64_t len, bool slack),
	       void *arg);
/* fat_item_read() - the entry at @at, or one made up for the root. -EIO: it is lost */
int fat_item_read(struct layer *l, uint64_t at, struct fat_dirent *d);

#endif
