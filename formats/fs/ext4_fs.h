/* SPDX-License-Identifier: Apache-2.0 */
/* An open ext2/3/4 file system, for the files formats/fs/ext4*.c only. */
#ifndef VDISKCK_FORMATS_FS_EXT4_FS_H
#define VDISKCK_FORMATS_FS_EXT4_FS_H

#include <stdbool.h>

#include <pthread.h>

#include "formats/fs/ext4.h"
#include "formats/fs/fs.h"
#include "formats/fs/runs.h"
#include "vdiskck/core/cache.h"
#include "vdiskck/core/layer.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/span.h"

enum {
	EXT4_PIECE = 1 << 20, /* tables are read in pieces of this size */
	EXT4_CACHED = 512,    /* blocks */
	EXT4_PATH = 65536,    /* longest path that is built */
};

/* One block that the journal has a newer copy of. */
struct ext4_newer {
	uint64_t block; /* in the file system */
	uint64_t at;	/* of the copy, a block number, too */
	uint32_t order; /* in which they were logged */
	bool escaped;	/* the copy's first four bytes are zero instead of the journal's magic */
};

struct ext4_journal {
	uint64_t *blocks; /* where the journal's blocks lie; 0: lost */
	uint32_t n_blocks;
	struct jbd2_super super;
	bool valid; /* a journal superblock was read, and makes sense */
	bool v2, sum_ok;
	uint32_t incompat, block_first, block_end; /* the log: [first, end) */
	struct ext4_newer *newer;		   /* the first n_newer: sorted by block */
	size_t n_newer, n_all;
	uint32_t transactions, revoked, bad_copies;
	uint32_t sequence; /* of the last transaction that was applied */
	bool torn;	   /* the log ends in a transaction whose check failed */
	uint32_t torn_block;
	bool applied;		       /* the log was looked at: fast commits may follow it */
	uint32_t fast_first, fast_end; /* blocks [first, end) are for fast commits; 0: none */
};

/* Blocks as fast commits make them; some lie nowhere on disk. */
struct ext4_patches {
	struct ext4_patch {
		uint64_t block;
		uint8_t *buf; /* NULL: the slot is free */
	} * slot;	      /* a hash table, its size a power of two */
	size_t cap, n;
	bool off;     /* look at the volume without them */
	bool partial; /* some of what fast commits say could not be done */
	struct ext4_patch_ino {
		uint32_t ino;
		uint64_t at; /* where the fast commit has what is in i_block, as from the inode */
	} * ino;	     /* sorted */
	size_t n_ino;
};

/* What is wrong with an open file system, found by open(); reported there. */
enum { EXT4_TOLD_MAX = 64 };

struct ext4 {
	struct layer *l;
	struct ext4_super sb;
	uint64_t sb_at;	 /* where the copy that is used lies, in bytes */
	bool sb_copy;	 /* it is not the first one */
	bool sb_sum_bad; /* and its checksum is wrong: no copy was any better */
	uint32_t compat, incompat, ro;
	unsigned block_bits, cluster_bits; /* log2 of bytes; of blocks in a cluster */
	uint32_t block_size;
	uint64_t blocks, first_block;
	uint32_t blocks_per_group, inodes_per_group, inodes, groups;
	uint32_t inode_size, table_blocks; /* blocks of a group's inode table */
	uint32_t desc_size, descs_per_block, gdt_blocks;
	uint32_t first_ino;
	bool sums;    /* metadata_csum */
	bool gd_sums; /* group descriptors have a checksum of either kind */
	uint32_t seed;
	uint8_t *gdt;	    /* groups * desc_size */
	uint8_t *gdt_state; /* per block of it: enum ext4_gdt */
	struct ext4_journal j;
	struct ext4_patches patch;
	struct cache *cache;	/* of blocks */
	struct ext4_area *area; /* sorted by block */
	size_t n_areas;
	/* Directories of which it was said that names are lost; check() says it better. */
	pthread_mutex_t told_lock;
	uint32_t told[EXT4_TOLD_MAX];
	unsigned n_told;
	bool checked;
};

/* Metadata that is in no file. */
enum ext4_area_kind {
	EXT4_AREA_BOOT,
	EXT4_AREA_SUPER,
	EXT4_AREA_DESCS,
	EXT4_AREA_BLOCK_BITMAP,
	EXT4_AREA_INODE_BITMAP,
	EXT4_AREA_TABLE,
};
struct ext4_area {
	uint64_t block;
	uint32_t n, group;
	enum ext4_area_kind kind;
};

/* Where a block of group descriptors comes from. */
enum ext4_gdt {
	EXT4_GDT_FIRST, /* the first copy */
	EXT4_GDT_COPY,	/* another one: addresses hold, counts and flags may be old */
	EXT4_GDT_BAD,	/* the first copy, though something is wrong with it */
};

/* A group descriptor, decoded. */
struct ext4_group {
	uint64_t block_bitmap, inode_bitmap, inode_table;
	uint32_t free_blocks, free_inodes, used_dirs, unused;
	uint32_t block_csum, inode_csum;
	uint16_t flags, checksum;
	bool fresh; /* counts and flags can be believed */
};

/* Was the checksum compared already? */
enum ext4_sum { EXT4_SUM_UNKNOWN, EXT4_SUM_OK, EXT4_SUM_BAD };

/* An inode, decoded. */
struct ext4_inode {
	uint32_t ino;
	uint64_t at; /* of the structure, in bytes of the volume */
	const uint8_t *raw;
	uint32_t raw_len; /* inode_size */
	uint16_t mode;
	uint32_t uid, gid, links, flags, generation, dtime;
	uint64_t size, file_acl;
	uint64_t sectors;     /* of 512 bytes, as i_blocks states */
	uint32_t extra;	      /* i_extra_isize, bounded to the inode */
	const uint8_t *block; /* i_block, 60 bytes */
	bool lost;	      /* it could not be read */
	bool noise;	      /* what is there can't be an inode; nothing of it is to be used */
	uint8_t sum;	      /* enum ext4_sum */
};

#define EXT4_HAS(fs, set, bit) (((fs)->set & (bit)) != 0)

static inline bool ext4_is(const struct ext4_inode *i, unsigned type)
{
	return (i->mode & EXT4_S_TYPE) == type;
}
static inline bool ext4_block_ok(const struct ext4 *fs, uint64_t block)
{
	return block >= fs->first_block && block < fs->blocks;
}
static inline uint64_t ext4_group_first(const struct ext4 *fs, uint32_t g)
{
	return fs->first_block + (uint64_t)g * fs->blocks_per_group;
}

/* ext4.c */
/*
 * ext4_read() - blocks with what the journal has newer; lost ranges in the volume's addresses
 * ext4_get() - one block through the cache; ext4_put() it. NULL: no memory or not in the volume
 * ext4_at() - the byte address in the volume where block @block is to be read
 */
int ext4_read(struct ext4 *fs, uint64_t block, uint64_t n, void *buf, struct ranges *bad);
const struct cache_item *ext4_get(struct ext4 *fs, uint64_t block);
void ext4_put(struct ext4 *fs, const struct cache_item *it);
uint64_t ext4_at(const struct ext4 *fs, uint64_t block);
/* ext4_cache_reset() - forget blocks: what they are read from has changed */
int ext4_cache_reset(struct ext4 *fs);

/* ext4_super.c */
/* ext4_super_load() - the superblock that is used, and all that follows from it */
int ext4_super_load(struct ext4 *fs);
/* ext4_super_ok() - can it be one? @volume: bytes there are. Silent. */
bool ext4_super_ok(const struct ext4_super *sb, uint64_t volume);
bool ext4_super_sum_ok(const struct ext4_super *sb);
uint64_t ext4_super_blocks(const struct ext4_super *sb);
/* ext4_super_search() - a copy near the start; true: *at is where */
bool ext4_super_search(struct layer *below, struct ext4_super *sb, uint64_t *at);
/* ext4_has_super() - does group @g hold a copy of the superblock (and descriptors)? */
bool ext4_has_super(const struct ext4 *fs, uint32_t g);

/* ext4_group.c */
/* ext4_gdt_load() - once to find the journal, once more through it; @say: what had to be decided */
int ext4_gdt_load(struct ext4 *fs, bool say);
struct ext4_group ext4_group(const struct ext4 *fs, uint32_t g);
uint16_t ext4_group_sum(const struct ext4 *fs, uint32_t g, const uint8_t *desc);
/* ext4_gdt_block() - where block @i of the descriptors lies in copy @copy of it; 0: no such */
uint64_t ext4_gdt_block(const struct ext4 *fs, uint32_t i, uint32_t copy);
/* ext4_base_blocks() - blocks at the start of group @g for superblock and descriptors */
uint32_t ext4_base_blocks(const struct ext4 *fs, uint32_t g);
/* ext4_table_ok() - can the inode table of the group lie where it says? */
bool ext4_table_ok(const struct ext4 *fs, const struct ext4_group *gr);
/* ext4_inodes_used() - how many inodes of the table of @g may be in use: the rest never was */
uint32_t ext4_inodes_used(const struct ext4 *fs, const struct ext4_group *gr);

/* ext4_inode.c */
/* ext4_inode_decode() - @raw: inode_size bytes */
void ext4_inode_decode(const struct ext4 *fs, uint32_t ino, const uint8_t *raw, uint64_t at,
		       struct ext4_inode *i);
uint32_t ext4_inode_sum(const struct ext4 *fs, const struct ext4_inode *i);
uint32_t ext4_inode_stored_sum(const struct ext4_inode *i);
bool ext4_inode_sum_ok(const struct ext4 *fs, const struct ext4_inode *i);
/* ext4_inode_in_use() - by what it says itself */
bool ext4_inode_in_use(const struct ext4_inode *i);
/* ext4_inode_addr() - block, and byte in it; false: no such inode, or its table is lost */
bool ext4_inode_addr(const struct ext4 *fs, uint32_t ino, uint64_t *block, uint32_t *off);
/* ext4_inode_read() - @buf: inode_size bytes, kept in @i. -ENOENT, -EIO (lost) */
int ext4_inode_read(struct ext4 *fs, uint32_t ino, uint8_t *buf, struct ext4_inode *i);
/* ext4_inode_read_at() - the same, from where @ref says: deleted ones in the journal */
int ext4_inode_read_at(struct ext4 *fs, uint32_t ino, uint64_t ref, uint8_t *buf,
		       struct ext4_inode *i);
bool ext4_symlink_fast(const struct ext4 *fs, const struct ext4_inode *i);
/* ext4_inode_has_map() - does i_block hold a block map or extent tree? */
bool ext4_inode_has_map(const struct ext4 *fs, const struct ext4_inode *i);
/* ext4_entry_fill() - everything of @e that the inode says. @target: EXT4_PATH bytes */
void ext4_entry_fill(struct ext4 *fs, const struct ext4_inode *i, struct fs_entry *e, char *target);

/* ext4_scan.c */
enum ext4_scan {
	EXT4_SCAN_USED, /* all that may be in use */
	EXT4_SCAN_DIRS, /* the same, and nobody asks for checksums */
	EXT4_SCAN_ALL,	/* what was never used, too */
};
/* ext4_table_scan() - every inode of the tables, in order, until @fn returns non-zero */
int ext4_table_scan(struct ext4 *fs, enum ext4_scan what,
		    int (*fn)(void *arg, const struct ext4_inode *i), void *arg);

/* ext4_xattr.c */
struct ext4_xattr {
	const struct ext4_xattr_entry *e;
	const char *name;
	uint64_t at;	      /* of the entry */
	const uint8_t *value; /* NULL: in an inode of its own, or out of bounds */
	uint32_t value_off;   /* in the region that values are counted from */
	uint64_t value_at;
};
/*
 * ext4_xattr_inode() - attributes in the inode; ext4_xattr_block(): in @raw, a whole block at @at
 * Calls @fn for each; returns -EBADMSG where an entry does not fit, or what @fn returned.
 */
int ext4_xattr_inode(const struct ext4_inode *i, int (*fn)(void *arg, const struct ext4_xattr *x),
		     void *arg);
int ext4_xattr_block(const struct ext4 *fs, const uint8_t *raw, uint64_t at,
		     int (*fn)(void *arg, const struct ext4_xattr *x), void *arg);
/*
 * ext4_inline() - where inline data goes on behind i_block: @more, NULL if there is no more
 * False: the attribute that all inline data has, if only an empty one, is missing.
 */
bool ext4_inline(const struct ext4_inode *i, const uint8_t **more, uint32_t *len, uint64_t *at);

/* ext4_extent.c */
enum ext4_run_kind {
	EXT4_RUN_DATA,
	EXT4_RUN_UNWRITTEN, /* allocated, reads as zeros */
	EXT4_RUN_NODE,	    /* a block of the tree: @block; @lblk: the first it maps; @depth */
	EXT4_RUN_LOST,	    /* nothing says where [lblk, lblk + len) lies; @what is wrong */
};

struct ext4_run {
	enum ext4_run_kind kind;
	uint64_t lblk, len, block;
	unsigned depth;
	uint64_t at; /* of the entry that says so, in bytes */
	uint32_t at_len;
	const char *what;   /* LOST: what is wrong with the entry */
	const uint8_t *raw; /* NODE: its bytes; i_block for the root, whose @block is 0 */
	uint32_t raw_len;
};
/*
 * ext4_map() - go through the block map of an inode in logical order
 * @fn is called for every run and every block of the tree; a non-zero result ends it. Addresses
 * outside the file system are passed on as they are. @budget counts blocks of trees down, so
 * that a tree made of loops ends.
 */
int ext4_map(struct ext4 *fs, const struct ext4_inode *i, uint64_t *budget,
	     int (*fn)(void *arg, const struct ext4_run *r), void *arg);
/* ext4_runs() - the map as runs in bytes of the volume, cut at i_size */
int ext4_runs(struct ext4 *fs, const struct ext4_inode *i, struct fs_runs *runs);

/* ext4_dir.c */
/* ext4_rec_len() - in blocks of 64 KiB its highest bits are stored in the lowest */
uint32_t ext4_rec_len(uint32_t stored, uint32_t block_len);
struct ext4_name {
	uint32_t dir, ino;
	const char *name;
	unsigned len, type;
	bool deleted; /* found in what an entry leaves behind its own */
	uint64_t at;  /* of the entry, in bytes */
};
/*
 * ext4_dir_block() - the entries of one block of directory @dir, hidden ones too if @deleted
 * A block of an index is none: its one entry of inode 0 spans it.
 */
int ext4_dir_block(const struct ext4 *fs, uint32_t dir, const uint8_t *raw, uint32_t len,
		   uint64_t at, bool deleted, int (*fn)(void *arg, const struct ext4_name *n),
		   void *arg);
/* ext4_dir() - all entries of a directory, "." and ".." too, inline ones as well */
int ext4_dir(struct ext4 *fs, const struct ext4_inode *i, bool deleted,
	     int (*fn)(void *arg, const struct ext4_name *n), void *arg);
/* ext4_dir_inline() - likewise, of an inode with inline data */
int ext4_dir_inline(const struct ext4 *fs, const struct ext4_inode *i, bool deleted,
		    int (*fn)(void *arg, const struct ext4_name *n), void *arg);
struct ext4_dir_run { /* blocks of a directory */
	uint64_t block;
	uint32_t lblk, len, dir;
};
/* ext4_dir_lost() - say once that names of inode @dir are lost, with what can't be read, in bytes */
void ext4_dir_lost(struct ext4 *fs, uint32_t dir, uint64_t at, uint64_t len);
/*
 * ext4_dir_blocks() - the blocks of many directories, in the order they lie in
 * @runs: sorted, and changed
 */
int ext4_dir_blocks(struct ext4 *fs, struct ext4_dir_run *runs, size_t n,
		    int (*fn)(void *arg, uint32_t dir, uint32_t lblk, uint64_t block,
			      const uint8_t *raw, bool lost),
		    void *arg);

/* ext4_journal.c */
int ext4_journal_load(struct ext4 *fs);
void ext4_journal_free(struct ext4 *fs);
const struct ext4_newer *ext4_newer(const struct ext4 *fs, uint64_t block);
static inline bool ext4_journal_sums(const struct ext4_journal *j)
{
	return (j->incompat & (JBD2_I_CSUM_V2 | JBD2_I_CSUM_V3)) != 0;
}
/* ext4_journal_read() - block @k of the journal as it lies there; -EIO: it is lost */
int ext4_journal_read(struct ext4 *fs, uint32_t k, uint8_t *buf);
/* ext4_replay.c */
/* ext4_journal_apply() - find what the log has newer, report it; @buf: a block */
int ext4_journal_apply(struct ext4 *fs, uint8_t *buf);
/* A copy of a block that some descriptor block names, in the log or left from an older one. */
struct ext4_copy {
	uint64_t block, at; /* block numbers, of the file system and of where the copy lies */
	uint32_t sequence;
	bool escaped;
};
/* ext4_journal_each() - every such copy; the next round of the log may have written over it */
int ext4_journal_each(struct ext4 *fs, int (*fn)(void *arg, const struct ext4_copy *c), void *arg);

/* ext4_patch.c */
/* ext4_patched() - the block as it is in memory, or NULL */
const uint8_t *ext4_patched(const struct ext4 *fs, uint64_t block);
/*
 * ext4_patch() - the same to be changed, at first a copy of what ext4_read() gives
 * -EIO: that is lost; -EFBIG: more memory than this may take. Before threads read only.
 */
int ext4_patch(struct ext4 *fs, uint64_t block, uint8_t **buf);
/* ext4_patch_at() - the address of inode @ino in the volume, which lies at @at by its table */
uint64_t ext4_patch_at(const struct ext4 *fs, uint32_t ino, uint64_t at);
void ext4_patches_free(struct ext4 *fs);
/* ext4_fc.c */
/* ext4_fast_commits() - apply those that follow the log, in memory, and report it */
int ext4_fast_commits(struct ext4 *fs);

/* ext4_tree.c */
struct ext4_link {
	uint32_t ino, dir;
	uint32_t name; /* offset in names: length, then the bytes */
	uint8_t type;
	bool deleted;
};
/* An inode as the journal remembers it. */
struct ext4_old {
	uint32_t ino, generation, sequence;
	uint64_t ref;
};
/* Every name in the file system, and which folder it stands in. */
struct ext4_tree {
	struct ext4 *fs;
	struct ext4_link *v; /* sorted by ino */
	size_t n, cap;
	char *names;
	size_t names_len, names_cap;
	struct ext4_old *old; /* sorted by ino, one of each; with deleted ones only */
	size_t n_old;
	uint32_t *dirs; /* inodes that are directories, sorted */
	size_t n_dirs, dirs_cap;
	char *path, *last; /* EXT4_PATH each */
	uint32_t last_dir; /* whose path @last is; 0: none */
	size_t last_len;
	enum fs_sure last_sure;
};
int ext4_tree_build(struct ext4 *fs, bool deleted, struct ext4_tree *t);
void ext4_tree_free(struct ext4_tree *t);
/* ext4_path.c */
/* ext4_tree_links() - the names of @ino: the first, and how many */
const struct ext4_link *ext4_tree_links(const struct ext4_tree *t, uint32_t ino, size_t *n);
/* ext4_tree_path() - of @link, or with NULL of inode @ino that has none; how sure it is */
const char *ext4_tree_path(struct ext4_tree *t, const struct ext4_link *link, uint32_t ino,
			   enum fs_sure *sure);
/* ext4_system_name() - of an inode that no directory names, but the superblock; or NULL */
const char *ext4_system_name(const struct ext4 *fs, uint32_t ino);

/* ext4_walk.c */
int ext4_walk(struct layer *l, const struct fs_query *q,
	      int (*fn)(void *arg, const struct fs_entry *e), void *arg);
int ext4_lookup(struct layer *l, const char *path, struct fs_entry **e);

/* ext4_area.c */
int ext4_areas_load(struct ext4 *fs);
/* ext4_area_at() - the area that holds @block, or NULL */
const struct ext4_area *ext4_area_at(const struct ext4 *fs, uint64_t block);
void ext4_area_name(const struct ext4_area *a, char *name, size_t cap);
bool ext4_structure(struct layer *l, uint64_t at, char *name, size_t cap, uint64_t *start,
		    uint64_t *len);

/* ext4_owner.c */
int ext4_owners(struct layer *l, const struct ranges *r,
		int (*fn)(void *arg, const struct fs_owner *o), void *arg);
int ext4_unused(struct layer *l, int (*fn)(void *arg, uint64_t off, uint64_t len, bool slack),
		void *arg);

/* ext4_deleted.c */
/* ext4_deleted_find() - fill t->old from the journal; names found there are added with @add */
int ext4_deleted_find(struct ext4_tree *t, const struct ext4_dir_run *runs, size_t n_runs,
		      int (*add)(void *arg, const struct ext4_name *n), void *arg);
/* ext4_old() - the copy of @ino as it was before it was deleted, or NULL */
const struct ext4_old *ext4_old(const struct ext4_tree *t, uint32_t ino);
/* ext4_deleted_state() - e->stored, overwritten, and how sure its data is */
int ext4_deleted_state(struct ext4 *fs, const struct ext4_inode *i, struct fs_entry *e);

/* ext4_check.c */
int ext4_check(struct layer *l);

#endif
