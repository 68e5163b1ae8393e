/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of every inode by itself. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "formats/fs/ext4_check.h"

enum { SECTOR_BITS = 9 };

static void bad_field(struct ck *c, const struct ext4_inode *i, size_t at, size_t len,
		      const char *stored, const char *expected, const char *what)
{
	ck_say(c, EXT4_INODE_FIELD, i->ino, i->at + at, len, stored, expected,
	       "inode %" PRIu32 ": %s", i->ino, what);
}

#define BAD_FIELD(c, i, f, stored, expected, what)                                                 \
	bad_field(c, i, offsetof(struct ext4_dinode, f), sizeof(((struct ext4_dinode *)0)->f),     \
		  stored, expected, what)

static void check_sum(struct ck *c, const struct ext4_inode *i)
{
	if (ext4_inode_sum_ok(c->fs, i))
		return;
	ck_say(c, EXT4_INODE_SUM, i->ino, i->at, i->raw_len,
	       strf("0x%08" PRIx32, ext4_inode_stored_sum(i)),
	       strf("0x%08" PRIx32, ext4_inode_sum(c->fs, i)), "inode %" PRIu32 ": wrong checksum",
	       i->ino);
}

/* A symbolic link's size is the length of its text, which ends in a zero byte or fills it. */
static bool symlink_ok(struct ck *c, const struct ext4_inode *i, const struct ck_map *m)
{
	struct ext4 *fs = c->fs;
	const size_t in_inode = sizeof(((struct ext4_dinode *)0)->block);
	const struct cache_item *it;
	struct fs_runs runs = {0};
	size_t len;
	bool ok;

	if (!i->size || i->flags & EXT4_F_INDEX)
		return false;
	if (i->flags & EXT4_F_INLINE_DATA)
		return true; /* check_inline() */
	if (i->size < in_inode) {
		if (i->flags & EXT4_F_EXTENTS)
			return false;
		len = i->flags & EXT4_F_ENCRYPT ? (size_t)(i->block[0] | i->block[1] << 8) + 2
						: strnlen((const char *)i->block, in_inode);
		return i->flags & EXT4_F_ENCRYPT ? len <= in_inode : len == i->size;
	}
	if (m->last != 1 || i->size >= fs->block_size || ext4_runs(fs, i, &runs) || runs.n != 1 ||
	    runs.v[0].kind != EXTENT_DATA) {
		fs_runs_free(&runs);
		return false;
	}
	it = ext4_get(fs, runs.v[0].at >> fs->block_bits);
	fs_runs_free(&runs);
	if (!it)
		return false;
	len = strnlen((const char *)it->buf, fs->block_size);
	if (i->flags & EXT4_F_ENCRYPT)
		len = (size_t)(it->buf[0] | it->buf[1] << 8) + 2;
	ok = len < fs->block_size && (i->flags & EXT4_F_ENCRYPT || len == i->size);
	ext4_put(fs, it);
	return ok;
}

static bool device_ok(const struct ext4_inode *i)
{
	/* Their number is in the first two; the others are zero: "Inode Table" */
	for (unsigned k = 16; k < sizeof(((struct ext4_dinode *)0)->block); k++)
		if (i->block[k])
			return false;
	return !(i->flags & EXT4_F_INDEX);
}

/* Can the inode be what its mode says? Names that lead to it are wrong, if not. */
static void check_kind(struct ck *c, const struct ext4_inode *i, const struct ck_map *m)
{
	const char *wrong = NULL;

	switch (i->mode & EXT4_S_TYPE) {
	case EXT4_S_DIR:
	case EXT4_S_REG: break;
	case EXT4_S_LNK:
		if (i->flags & (EXT4_F_IMMUTABLE | EXT4_F_APPEND))
			wrong = "a symbolic link that can't be changed";
		else if (!symlink_ok(c, i, m))
			wrong = "no symbolic link is like that";
		break;
	case EXT4_S_CHR:
	case EXT4_S_BLK:
	case EXT4_S_FIFO:
	case EXT4_S_SOCK:
		if (i->flags & (EXT4_F_EXTENTS | EXT4_F_INLINE_DATA))
			wrong = "a device, FIFO or socket that has data";
		else if (i->flags & (EXT4_F_IMMUTABLE | EXT4_F_APPEND))
			wrong = "a device, FIFO or socket that can't be changed";
		else if (i->size)
			wrong = "a device, FIFO or socket that has a size";
		else if (!device_ok(i))
			wrong = "no device, FIFO or socket is like that";
		break;
	default: wrong = "there is no such kind of file";
	}
	if (!wrong)
		return;
	c->inode[i->ino] |= CK_BAD;
	BAD_FIELD(c, i, mode, strf("mode 0%o", i->mode), NULL, wrong);
}

static void check_flags(struct ck *c, const struct ext4_inode *i)
{
	struct ext4 *fs = c->fs;
	const struct ext4_dinode *d = (const void *)i->raw;
	uint32_t extra = le16(d->extra_isize);

	if (i->flags & EXT4_F_EXTENTS && !EXT4_HAS(fs, incompat, EXT4_I_EXTENTS))
		BAD_FIELD(c, i, flags, strf("0x%" PRIx32, i->flags), NULL,
			  "has extents, which this file system does not know");
	if (i->flags & EXT4_F_INLINE_DATA && !EXT4_HAS(fs, incompat, EXT4_I_INLINE_DATA))
		BAD_FIELD(c, i, flags, strf("0x%" PRIx32, i->flags), NULL,
			  "has inline data, which this file system does not know");
	if (i->flags & EXT4_F_INLINE_DATA && i->flags & EXT4_F_EXTENTS)
		BAD_FIELD(c, i, flags, strf("0x%" PRIx32, i->flags), NULL,
			  "has extents and inline data");
	if (le32(d->faddr))
		BAD_FIELD(c, i, faddr, strf("%" PRIu32, le32(d->faddr)), "0",
			  "has a fragment address");
	if (le32(fs->sb.creator_os) != EXT4_OS_HURD && !EXT4_HAS(fs, incompat, EXT4_I_64BIT) &&
	    le16(d->file_acl_hi))
		BAD_FIELD(c, i, file_acl_hi, strf("%u", le16(d->file_acl_hi)), "0",
			  "has a long address of attributes");
	if (i->file_acl && !EXT4_HAS(fs, compat, EXT4_C_EXT_ATTR))
		BAD_FIELD(c, i, file_acl_lo, strf("block %" PRIu64, i->file_acl), "0",
			  "has attributes, which this file system does not know");
	if (i->raw_len > EXT4_GOOD_OLD_INODE && extra &&
	    (extra < 4 || extra > i->raw_len - EXT4_GOOD_OLD_INODE || extra % 4))
		BAD_FIELD(c, i, extra_isize, strf("%" PRIu32, extra), NULL,
			  "the size of its additional fields can't be");
}

static void check_inline(struct ck *c, const struct ext4_inode *i)
{
	const uint32_t in_block = sizeof(((struct ext4_dinode *)0)->block);
	const uint8_t *more;
	uint32_t len;
	uint64_t at;

	if (!(i->flags & EXT4_F_INLINE_DATA) || i->flags & EXT4_F_EXTENTS)
		return;
	if (!ext4_inline(i, &more, &len, &at)) {
		BAD_FIELD(c, i, flags, strf("0x%" PRIx32, i->flags), NULL,
			  "has inline data, but not the attribute that it ends in");
		c->inode[i->ino] |= CK_BAD;
		return;
	}
	/* Of files e2fsck takes any size: what is beyond reads as zeros. */
	if (!ext4_is(i, EXT4_S_DIR) || i->size == in_block + len)
		return;
	ck_say(c, EXT4_INODE_SIZE, i->ino, i->at + offsetof(struct ext4_dinode, size_lo), 4,
	       strf("%" PRIu64, i->size), strf("%" PRIu32, in_block + len),
	       "inode %" PRIu32 ": its size is not that of its inline data", i->ino);
}

/* The largest size that a map of 12 direct blocks and three trees can have. */
static uint64_t max_mapped(const struct ext4 *fs)
{
	uint64_t per = fs->block_size / 4;

	return (12 + per + per * per + per * per * per) << fs->block_bits;
}

static void check_size(struct ck *c, const struct ext4_inode *i, const struct ck_map *m)
{
	struct ext4 *fs = c->fs;
	const struct ext4_dinode *d = (const void *)i->raw;
	uint64_t blocks = i->size >> fs->block_bits, right = i->size;
	bool wrong = false;

	if (ext4_is(i, EXT4_S_DIR)) {
		wrong = i->size & (fs->block_size - 1) || blocks > m->last ||
			m->last - blocks > fs->sb.prealloc[1];
		wrong |= !EXT4_HAS(fs, incompat, EXT4_I_LARGEDIR) && le32(d->size_hi);
		right = m->last << fs->block_bits;
	} else if (ext4_is(i, EXT4_S_REG)) {
		if (m->last_init && i->size < (m->last_init - 1) << fs->block_bits &&
		    !(i->flags & EXT4_F_VERITY)) {
			wrong = true;
			right = m->last_init << fs->block_bits;
		} else if (!(i->flags & EXT4_F_EXTENTS) && i->size > max_mapped(fs)) {
			wrong = true;
			right = max_mapped(fs);
		} else if (i->flags & EXT4_F_EXTENTS &&
			   i->size > ((uint64_t)1 << (32 + fs->block_bits)) - 1) {
			wrong = true;
			right = ((uint64_t)1 << (32 + fs->block_bits)) - 1;
		}
	}
	if (wrong)
		ck_say(c, EXT4_INODE_SIZE, i->ino, i->at + offsetof(struct ext4_dinode, size_lo), 4,
		       strf("%" PRIu64, i->size), strf("%" PRIu64, right),
		       "inode %" PRIu32 ": its size does not go with its blocks", i->ino);
}

static void check_sectors(struct ck *c, const struct ext4_inode *i, const struct ck_map *m)
{
	if (m->bad || i->sectors == m->sectors || le32(c->fs->sb.creator_os) == EXT4_OS_HURD)
		return;
	ck_say(c, EXT4_INODE_BLOCKS, i->ino, i->at + offsetof(struct ext4_dinode, blocks_lo), 4,
	       strf("%" PRIu64, i->sectors), strf("%" PRIu64, m->sectors),
	       "inode %" PRIu32 ": another number of blocks than it has", i->ino);
}

static int note_dir(struct ck *c, const struct ext4_inode *i)
{
	int r = ck_grow((void **)&c->dirs, &c->dirs_cap, c->n_dirs, sizeof(*c->dirs));

	c->inode[i->ino] |= CK_DIR;
	if (!r)
		c->dirs[c->n_dirs++] = (struct ck_dir){
			.ino = i->ino,
			.flags = i->flags,
			.generation = i->generation,
			.blocks = (uint32_t)(i->size >> c->fs->block_bits),
		};
	return r;
}

static uint8_t type_of(const struct ext4_inode *i)
{
	static const uint8_t type[16] = {
		[EXT4_S_FIFO >> 12] = EXT4_FT_FIFO, [EXT4_S_CHR >> 12] = EXT4_FT_CHR,
		[EXT4_S_DIR >> 12] = EXT4_FT_DIR,   [EXT4_S_BLK >> 12] = EXT4_FT_BLK,
		[EXT4_S_REG >> 12] = EXT4_FT_REG,   [EXT4_S_LNK >> 12] = EXT4_FT_LNK,
		[EXT4_S_SOCK >> 12] = EXT4_FT_SOCK,
	};

	return type[i->mode >> 12];
}

/* What both kinds have: blocks and attributes, and the count of them. */
static int check_content(struct ck *c, const struct ext4_inode *i, struct ck_map *m)
{
	int r = ck_blocks(c, i, m);

	if (!r)
		r = ck_xattrs(c, i, &m->sectors);
	return r;
}

static int check_used(struct ck *c, const struct ext4_inode *i)
{
	struct ck_map m = {0};
	int r;

	c->inode[i->ino] |= CK_USED;
	c->type[i->ino] = type_of(i);
	c->links[i->ino] = (uint16_t)i->links;
	if (i->flags & EXT4_F_ENCRYPT)
		c->inode[i->ino] |= CK_CRYPT;
	if (i->flags & EXT4_F_EA_INODE && ext4_is(i, EXT4_S_REG))
		c->inode[i->ino] |= CK_EA;
	if (i->links && i->dtime && !(c->inode[i->ino] & CK_ORPHAN))
		BAD_FIELD(c, i, dtime, strf("%" PRIu32, i->dtime), "0",
			  "is in use, and has a time of deletion");
	check_flags(c, i);
	r = check_content(c, i, &m);
	if (r)
		return r;
	check_kind(c, i, &m);
	check_inline(c, i);
	if (!(i->flags & EXT4_F_INLINE_DATA))
		check_size(c, i, &m);
	check_sectors(c, i, &m);
	/* A mapped directory has a block behind the other, from the first to i_size. */
	if (ext4_is(i, EXT4_S_DIR) && !(i->flags & EXT4_F_INLINE_DATA) && (m.holes || !i->size))
		ck_say(c, EXT4_DIR_HOLE, i->ino, i->at, i->raw_len, NULL, NULL,
		       "directory inode %" PRIu32 " has a block missing", i->ino);
	return ext4_is(i, EXT4_S_DIR) && i->links ? note_dir(c, i) : 0;
}

/* Deleted ones have a time of deletion; orphans have their number of the next one there. */
static void check_deleted(struct ck *c, const struct ext4_inode *i)
{
	const struct ext4_super *sb = &c->fs->sb;
	uint32_t n = c->fs->inodes;
	bool clock_ok = !((le32(sb->wtime) && le32(sb->wtime) < n) ||
			  (le32(sb->mkfs_time) && le32(sb->mkfs_time) < n) ||
			  (le32(sb->mtime) && le32(sb->mtime) < n) ||
			  (le32(sb->lastcheck) && le32(sb->lastcheck) < n));

	if (!i->dtime && i->mode)
		BAD_FIELD(c, i, dtime, "0", NULL, "is deleted, and has no time of deletion");
	else if (i->mode && i->dtime && i->dtime < n && clock_ok)
		BAD_FIELD(c, i, dtime, strf("%" PRIu32, i->dtime), NULL,
			  "was in the orphan list, which does not lead to it");
}

/* Inodes below the first one for files. */
static int check_reserved(struct ck *c, const struct ext4_inode *i)
{
	struct ext4 *fs = c->fs;
	struct ck_map m = {0};
	int r;

	c->inode[i->ino] |= CK_USED;
	if (i->ino == EXT4_INO_BAD && i->sectors | i->links | i->mode &&
	    (i->mode || i->uid || i->gid || i->links || i->file_acl))
		BAD_FIELD(c, i, mode, strf("mode 0%o", i->mode), NULL,
			  "the inode of bad blocks is like a file");
	if (i->ino == EXT4_INO_RESIZE && EXT4_HAS(fs, compat, EXT4_C_RESIZE_INODE) &&
	    le16(fs->sb.reserved_gdt_blocks) && (!ext4_is(i, EXT4_S_REG) || i->links != 1))
		BAD_FIELD(c, i, mode, strf("mode 0%o", i->mode), NULL,
			  "the inode that reserves descriptors is not in use");
	if (i->ino != EXT4_INO_BAD && i->mode && !ext4_is(i, EXT4_S_REG))
		BAD_FIELD(c, i, mode, strf("mode 0%o", i->mode), NULL,
			  "a reserved inode that is no file");
	check_flags(c, i);
	r = check_content(c, i, &m);
	if (!r && i->ino != EXT4_INO_BAD && !(i->ino == EXT4_INO_RESIZE && fs->cluster_bits)) {
		check_size(c, i, &m);
		check_sectors(c, i, &m);
	}
	return r;
}

static int check_inode(void *arg, const struct ext4_inode *i)
{
	struct ck *c = arg;

	session_checked(c->l->s, i->raw_len);
	if (i->lost) {
		c->inode[i->ino] |= CK_BAD;
		ck_say(c, EXT4_INODE_LOST, i->ino, i->at, i->raw_len, NULL, NULL,
		       "inode %" PRIu32 " can't be read", i->ino);
		return 0;
	}
	if (i->noise) {
		c->inode[i->ino] |= CK_BAD;
		ck_say(c, EXT4_INODE_LOST, i->ino, i->at, i->raw_len, NULL, NULL,
		       "inode %" PRIu32 " is overwritten: what is there can't be an inode", i->ino);
		return 0;
	}
	c->inode[i->ino] |= CK_SEEN;
	check_sum(c, i);
	if (i->ino < c->fs->first_ino && i->ino != EXT4_INO_ROOT) {
		return check_reserved(c, i);
	}
	if (i->links || (c->inode[i->ino] & CK_ORPHAN && i->mode))
		return check_used(c, i);
	if (ext4_system_name(c->fs, i->ino) && i->mode)
		return check_used(c, i);
	check_deleted(c, i);
	return 0;
}

int ck_inodes(struct ck *c)
{
	int r = ext4_table_scan(c->fs, EXT4_SCAN_USED, check_inode, c);

	/* Reserved ones are in use, also in a table that says it was never used. */
	for (uint32_t ino = 1; !r && ino < c->fs->first_ino && ino <= c->fs->inodes; ino++)
		c->inode[ino] |= CK_USED;
	return r;
}

struct shared {
	struct ck *c;
	const struct ext4_inode *i;
};

static int find_shared(void *arg, const struct ext4_run *r)
{
	struct shared *s = arg;
	struct ck *c = s->c;
	struct ext4 *fs = c->fs;
	uint64_t n = r->kind == EXT4_RUN_NODE ? r->block != 0 : r->len, k = 0, from;

	if (r->kind == EXT4_RUN_LOST || !n || !ext4_block_ok(fs, r->block) ||
	    n > fs->blocks - r->block)
		return 0;
	while (k < n) {
		if (!ck_bit(c->dup, ck_cluster(fs, r->block + k))) {
			k++;
			continue;
		}
		from = k;
		while (k < n && ck_bit(c->dup, ck_cluster(fs, r->block + k)))
			k++;
		ck_say(c, EXT4_BLOCK_SHARED, s->i->ino, r->at, r->at_len,
		       strf("blocks %" PRIu64 " to %" PRIu64, r->block + from, r->block + k - 1),
		       NULL, "inode %" PRIu32 " has blocks that another one has, too", s->i->ino);
	}
	return 0;
}

static int shared_of(void *arg, const struct ext4_inode *i)
{
	struct shared s = {arg, i};

	if (i->lost || i->noise || !(s.c->inode[i->ino] & CK_USED))
		return 0;
	return ext4_map(s.c->fs, i, &s.c->budget, find_shared, &s);
}

/* Who has the blocks that were claimed twice: a pass of its own, when there are any. */
int ck_shared(struct ck *c)
{
	if (!c->dups || EXT4_HAS(c->fs, ro, EXT4_R_SHARED_BLOCKS))
		return 0;
	c->budget = c->fs->blocks * 2;
	return ext4_table_scan(c->fs, EXT4_SCAN_DIRS, shared_of, c);
}
