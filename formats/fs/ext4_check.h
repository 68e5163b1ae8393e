/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check of an ext2/3/4 file system, for the files formats/fs/ext4_check*.c only.
 *
 * Inodes first, with what maps their blocks; then the blocks of all directories by address; then
 * what must agree between them: names and link counts, owners and bitmaps. What counts as damage
 * agrees with e2fsck -fn: its verdict is the oracle of the tests.
 */
#ifndef VDISKCK_FORMATS_FS_EXT4_CHECK_H
#define VDISKCK_FORMATS_FS_EXT4_CHECK_H

#include "formats/fs/ext4_fs.h"
#include "vdiskck/core/text.h"

/* What is known of each inode, by number; [0] is not used. */
enum ck_inode {
	CK_USED = 1, /* by what the inode says */
	CK_DIR = 2,
	CK_BAD = 4,    /* its mode or content can't be: names that lead to it are wrong */
	CK_ORPHAN = 8, /* in the orphan list: in use, with no name */
	CK_EA = 16,    /* holds the value of an extended attribute */
	CK_CRYPT = 32, /* encrypted */
	CK_SEEN = 64,  /* it was read; without this, CK_BAD: it is lost */
	CK_REACHED = 128,
};

struct ck_dir {
	uint32_t ino, flags; /* i_flags */
	uint32_t parent;     /* whose entry names it; 0: none */
	uint32_t dotdot;     /* what its ".." says */
	uint32_t blocks;     /* logical ones, by i_size */
	uint32_t generation;
};

struct ck_dx { /* a block of an indexed directory */
	uint32_t dir, lblk;
	uint32_t min, max;	       /* leaf: hashes of its names */
	struct ext4_dx_entry *entries; /* of the index; NULL: a leaf */
	uint32_t n, limit;
	uint8_t levels, version; /* root */
	uint64_t at;
	bool used;
};

struct ck_ea { /* a block of extended attributes */
	uint64_t block;
	uint32_t ino;
};

struct ck {
	struct ext4 *fs;
	struct layer *l;
	bool quiet; /* count only */
	uint64_t damage;
	uint32_t said[FINDING_COUNT];
	uint8_t *used, *meta, *dup; /* bitmaps, a bit for each cluster of the volume */
	uint64_t clusters;
	bool dups;
	uint8_t *inode;	 /* enum ck_inode */
	uint8_t *type;	 /* as directory entries state it */
	uint16_t *links; /* i_links_count */
	uint32_t *names; /* how many lead to it */
	struct ck_dir *dirs;
	size_t n_dirs, dirs_cap;
	struct ext4_dir_run *runs; /* of all directories */
	size_t n_runs, runs_cap;
	struct ck_dx *dx;
	size_t n_dx, dx_cap;
	struct ck_ea *ea;
	size_t n_ea, ea_cap;
	uint64_t budget;       /* blocks of trees that may still be read */
	uint8_t *buf;	       /* a block */
	struct ext4_tree tree; /* for the paths in findings; built when one is wanted */
	bool has_tree;
};

/* ext4_check.c */
/*
 * ck_say() - a finding about inode @ino (0: none): its path is added
 * @at, @len: the bytes that show it, in the volume
 */
void ck_say(struct ck *c, enum finding_id id, uint32_t ino, uint64_t at, uint64_t len,
	    const char *stored, const char *expected, const char *fmt, ...)
	__attribute__((format(printf, 8, 9)));
int ck_grow(void **v, size_t *cap, size_t n, size_t size);
/* ck_claim() - blocks are in use by @ino; those that were before are noted */
void ck_claim(struct ck *c, uint64_t block, uint64_t n);
static inline bool ck_bit(const uint8_t *map, uint64_t k)
{
	return map[k / 8] >> (k % 8) & 1;
}
static inline void ck_set(uint8_t *map, uint64_t k)
{
	map[k / 8] = (uint8_t)(map[k / 8] | 1u << (k % 8));
}
static inline uint64_t ck_cluster(const struct ext4 *fs, uint64_t block)
{
	return (block - fs->first_block) >> fs->cluster_bits;
}

/* ext4_check_super.c: the superblock and its copies, descriptors, orphan list, MMP */
int ck_super(struct ck *c);
/* ext4_check_inode.c */
int ck_inodes(struct ck *c);
int ck_shared(struct ck *c);
/* ext4_check_map.c */
struct ck_map {
	uint64_t sectors;   /* that it uses */
	uint64_t last;	    /* logical block behind the last one, 0: none */
	uint64_t last_init; /* the same for those that were written */
	bool holes, bad;
};
int ck_blocks(struct ck *c, const struct ext4_inode *i, struct ck_map *m);
/* ext4_check_xattr.c */
int ck_xattrs(struct ck *c, const struct ext4_inode *i, uint64_t *sectors);
int ck_xattr_refs(struct ck *c);
/* ext4_check_dir.c */
int ck_dirs(struct ck *c);
struct ck_dir *ck_dir(const struct ck *c, uint32_t ino);
/* ext4_check_htree.c */
/* ck_dx_is_node() - in an indexed directory: is this block part of the index? */
bool ck_dx_is_node(const struct ext4 *fs, uint32_t lblk, const uint8_t *raw);
/* ck_dx_node() - one that is; what it says is kept for ck_htree() */
int ck_dx_node(struct ck *c, const struct ck_dir *d, uint32_t lblk, uint64_t at,
	       const uint8_t *raw);
int ck_htree(struct ck *c);
/* ext4_check_links.c */
int ck_links(struct ck *c);
/* ext4_check_bitmap.c */
int ck_bitmaps(struct ck *c);

/* ext4_hash.c */
/* ext4_hash() - of a name, as directories are indexed by it; false: a kind that is not known */
bool ext4_hash(const struct ext4 *fs, unsigned version, const char *name, unsigned len,
	       uint32_t *hash);

#endif
