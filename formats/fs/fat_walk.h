/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VDISKCK_FORMATS_FS_FAT_WALK_H
#define VDISKCK_FORMATS_FS_FAT_WALK_H

#include "formats/fs/fat.h"

/* What a walk's entries are the first member of. */
struct fat_item {
	struct fs_entry e;
	struct fat_dirent d;
	uint32_t first, parent_cluster;
	struct chain chain; /* as far as e.size goes; not of deleted ones */
};

struct fat_folder {
	uint64_t id;
	uint32_t cluster;
	bool gone;
};

#define FAT_ORPHAN  (1ull << 63) /* in fs_entry.ref and .id: a chain by its first cluster */
#define FAT_ORPHANS "/$orphans"

/* A folder that is still to be read. */
struct fat_job {
	char *path; /* empty: the root */
	uint64_t id;
	uint32_t cluster;
	bool gone;
};

/* A walk that is going on. */
struct fat_walking {
	struct layer *l;
	const struct fs_query *q;
	int (*fn)(void *arg, const struct fs_entry *e);
	void *arg;
	struct fat_job *job;
	size_t n, cap;
	uint8_t *seen;	/* folders by first cluster, a bit each */
	uint8_t *owned; /* clusters that a file or folder has; NULL: nobody asks */
	uint64_t steps; /* entries of the table that may still be read for sizes */
};

/* fat_walk_push() - a folder to be read later, unless it was already */
int fat_walk_push(struct fat_walking *w, const char *path, uint64_t id, uint32_t cluster,
		  bool gone);
/* fat_walk_run() - all that was pushed, and what is below */
int fat_walk_run(struct fat_walking *w);
/* fat_walk_orphans() - what is in use, and was not met on the walk */
int fat_walk_orphans(struct fat_walking *w);
/* fat_walk_own() - the chain from @first on belongs to something */
int fat_walk_own(struct fat_walking *w, uint32_t first);
/* fat_orphan_item() - an entry for the chain that begins at @first */
int fat_orphan_item(struct layer *l, uint32_t first, struct fat_dirent *d);
/* fat_tree() - fat_walk() of what has a path */
int fat_tree(struct layer *l, const struct fs_query *q,
	     int (*fn)(void *arg, const struct fs_entry *e), void *arg);
int fat_walk(struct layer *l, const struct fs_query *q,
	     int (*fn)(void *arg, const struct fs_entry *e), void *arg);
int fat_lookup(struct layer *l, const char *path, struct fs_entry **e);
int fat_open_file(struct layer *l, const struct fs_entry *e, struct layer **file);
int fat_owners(struct layer *l, const struct ranges *r,
	       int (*fn)(void *arg, const struct fs_owner *o), void *arg);
int fat_unused(struct layer *l, int (*fn)(void *arg, uint64_t off, uint64_t len, bool slack),
	       void *arg);
/* fat_check_boot() - the last part of fat_check() */
int fat_check_boot(struct layer *l, uint64_t free_clusters);
/* fat_item_read() - the entry at @at, or one made up for the root. -EIO: it is lost */
int fat_item_read(struct layer *l, uint64_t at, struct fat_dirent *d);

#endif
