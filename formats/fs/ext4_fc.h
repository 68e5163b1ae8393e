/* SPDX-License-Identifier: Apache-2.0 */
/* Fast commits, for the files formats/fs/ext4_fc*.c only. */
#ifndef VDISKCK_FORMATS_FS_EXT4_FC_H
#define VDISKCK_FORMATS_FS_EXT4_FC_H

#include "formats/fs/ext4_fs.h"

/* One tag of a commit that holds. */
struct fc_tag {
	uint16_t kind; /* enum ext4_fc_tag */
	uint16_t len;
	const uint8_t *p; /* its value */
	uint64_t at;	  /* where that lies in the volume */
};

struct fc_run { /* blocks of a file */
	uint32_t lblk;
	uint32_t len;
	uint64_t block;
	bool unwritten;
};

/* An inode that fast commits change, or a directory that they name. */
struct fc_inode {
	uint32_t ino;
	uint32_t parent; /* of a directory that was made; 0: none */
	bool sum_ok;	 /* its checksum is to be kept right */
	bool changed;	 /* its map was */
	bool has_map;	 /* @runs and @nodes are loaded */
	uint64_t at;	 /* where i_block can be read in the fast commits, as from the inode; 0 */
	struct fc_run *runs; /* sorted */
	size_t n_runs, runs_cap;
	uint64_t *nodes; /* blocks of its extent tree */
	size_t n_nodes, nodes_cap;
};

/* What becomes of a name. */
struct fc_name {
	uint32_t dir, ino;
	const char *name;
	uint32_t order;
	uint8_t len;
	bool gone; /* it goes, where it leads to @ino */
	bool done;
};

struct fc_group { /* whose bitmaps were changed */
	bool loaded;
	bool block_ok, inode_ok, desc_ok; /* checksums that are to be kept right */
	uint8_t *desc;			  /* in the block of descriptors; NULL: they are lost */
	uint8_t *blocks, *inodes;	  /* the bitmaps; NULL likewise */
};

struct fc {
	struct ext4 *fs;
	uint8_t *area; /* the blocks for fast commits */
	struct fc_tag *tags;
	size_t n_tags, tags_cap;
	uint32_t commits;
	struct fc_inode *inodes; /* sorted by ino */
	size_t n_inodes;
	struct fc_group *groups;
	uint64_t goal;	 /* where to look for a free block */
	uint64_t budget; /* steps that all of it may take */
	uint32_t failed; /* tags that could not be applied */
};

/* What a tag is about, whatever its kind; 0: nothing. */
uint32_t fc_tag_ino(const struct fc_tag *t);

/* ext4_fc_apply.c */
int fc_apply(struct fc *f);
struct fc_inode *fc_inode(const struct fc *f, uint32_t ino);
/* fc_raw() - the inode's bytes, to be changed; -ENOENT, -EIO: they can't be had */
int fc_raw(struct fc *f, uint32_t ino, uint8_t **raw);
/* fc_spend() - -EFBIG: it takes more than can be right */
int fc_spend(struct fc *f, uint64_t steps);
/* fc_failed() - 0 for what one tag can't do: @n are counted; else @r, that ends it all */
int fc_failed(struct fc *f, int r, uint32_t n);
/* fc_inode_seed() - of the checksums in all blocks that are an inode's own */
uint32_t fc_inode_seed(const struct ext4 *fs, uint32_t ino, const uint8_t *raw);

/* ext4_fc_map.c */
/* fc_map_load() - runs and nodes of an inode with an extent tree; -EOPNOTSUPP: it has none */
int fc_map_load(struct fc *f, struct fc_inode *i);
int fc_add_range(struct fc *f, struct fc_inode *i, const struct ext4_extent *e);
int fc_del_range(struct fc *f, struct fc_inode *i, uint32_t lblk, uint32_t len);
/* fc_append() - one more block behind the last one, which nothing uses */
int fc_append(struct fc *f, struct fc_inode *i, uint64_t *block);
/* fc_map_store() - make the extent tree of what was changed */
int fc_map_store(struct fc *f, struct fc_inode *i);
/* fc_map_release() - mark all of it as free, and forget it: the file was deleted */
int fc_map_release(struct fc *f, struct fc_inode *i);

/* ext4_fc_names.c */
int fc_names(struct fc *f);

/* ext4_fc_block.c */
enum { FC_ENTRY_MIN = 12 };
/* A directory whose names change. */
struct fc_folder {
	struct fc *f;
	struct fc_inode *dir;
	struct fc_name *v; /* what becomes of its names: sorted */
	size_t n;
	size_t next;   /* the first that may have to be added yet */
	uint32_t len;  /* of what holds entries: a block without its tail, or a part of the inode */
	uint32_t seed; /* of the checksums in its blocks */
	bool has_tails; /* its blocks end in them */
	bool indexed;
	bool counts; /* folders came or went */
};

int fc_by_name(const struct fc_name *a, const struct fc_name *b);
/* fc_rec_len() - as it is stored */
le16_t fc_rec_len(const struct ext4 *fs, uint32_t len);
void fc_put_entry(struct fc_folder *o, struct ext4_dirent *d, uint32_t rec, uint32_t ino,
		  const char *name, uint8_t len);
/* fc_edit_names() - names of the block that go, or lead to another inode by now; was it changed? */
bool fc_edit_names(struct fc_folder *o, uint8_t *buf);
/* fc_add_names() - as many of those that are missing as there is room for; was it changed? */
bool fc_add_names(struct fc_folder *o, uint8_t *buf);
/* fc_is_index() - is block @lblk of an indexed directory one of the index? */
bool fc_is_index(const struct fc_folder *o, uint32_t lblk, const uint8_t *buf);
/* fc_drop_index() - such a block becomes one of entries: the first keeps "." and ".." */
void fc_drop_index(struct fc_folder *o, uint32_t lblk, uint8_t *buf);
/* fc_block_ok() - does the block end in a checksum that holds? */
bool fc_block_ok(const struct fc_folder *o, const uint8_t *buf);
void fc_put_tail(const struct fc_folder *o, uint8_t *buf);

/* ext4_fc_group.c */
/* fc_mark_blocks() - in use or free, in bitmap and descriptor */
int fc_mark_blocks(struct fc *f, uint64_t block, uint64_t n, bool used);
int fc_mark_inode(struct fc *f, uint32_t ino, bool used, bool dir);
/* fc_alloc() - a block that was free; -ENOSPC */
int fc_alloc(struct fc *f, uint64_t *block);
/* fc_groups_done() - checksums of what was changed */
void fc_groups_done(struct fc *f);

#endif
