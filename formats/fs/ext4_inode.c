/* SPDX-License-Identifier: Apache-2.0 */
/* Inodes: where they lie, what they say, one after the other. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ext4_fs.h"
#include "vdiskck/core/sum.h"

enum { SECTOR = 512 };

static bool has_field(const struct ext4_inode *i, size_t end)
{
	return EXT4_GOOD_OLD_INODE + i->extra >= end && end <= i->raw_len;
}

#define HAS_FIELD(i, f)                                                                            \
	has_field(i, offsetof(struct ext4_dinode, f) + sizeof(((struct ext4_dinode *)0)->f))

static bool kind_known(const struct ext4_inode *i)
{
	static const uint16_t kinds[] = {EXT4_S_FIFO, EXT4_S_CHR, EXT4_S_DIR, EXT4_S_BLK,
					 EXT4_S_REG,  EXT4_S_LNK, EXT4_S_SOCK};

	for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++)
		if (ext4_is(i, kinds[k]))
			return true;
	return false;
}

/*
 * Is it something else that was written over an inode? The checksum must be wrong, and four fields
 * beyond all bounds: one damaged cipher block, of 16 bytes, does not get there.
 */
static bool is_noise(const struct ext4 *fs, const struct ext4_inode *i)
{
	const struct ext4_dinode *d = (const void *)i->raw;
	uint32_t extra = i->raw_len > EXT4_GOOD_OLD_INODE ? le16(d->extra_isize) : 0;
	int odd = (i->mode && !kind_known(i)) + (i->links && i->dtime) + (le32(d->faddr) != 0) +
		  (extra % 4 || extra + EXT4_GOOD_OLD_INODE > i->raw_len) +
		  (le32(d->size_hi) >> 12 != 0) +
		  (i->sectors >> (fs->block_bits - 9) > fs->blocks) + (i->file_acl >= fs->blocks);

	return odd >= 4 && fs->sums && ext4_inode_stored_sum(i) != ext4_inode_sum(fs, i);
}

void ext4_inode_decode(const struct ext4 *fs, uint32_t ino, const uint8_t *raw, uint64_t at,
		       struct ext4_inode *i)
{
	const struct ext4_dinode *d = (const void *)raw;
	bool hurd = le32(fs->sb.creator_os) == EXT4_OS_HURD;

	*i = (struct ext4_inode){
		.ino = ino,
		.at = at,
		.raw = raw,
		.raw_len = fs->inode_size,
		.mode = le16(d->mode),
		.uid = le16(d->uid) | (uint32_t)le16(d->uid_hi) << 16,
		.gid = le16(d->gid) | (uint32_t)le16(d->gid_hi) << 16,
		.links = le16(d->links),
		.flags = le32(d->flags),
		.generation = le32(d->generation),
		.dtime = le32(d->dtime),
		.size = le32(d->size_lo),
		.file_acl = le32(d->file_acl_lo),
		.sectors = le32(d->blocks_lo),
		.block = d->block,
	};
	/* What older systems kept in size_hi of a folder was something else (dir_acl). */
	if (ext4_is(i, EXT4_S_REG) ||
	    (ext4_is(i, EXT4_S_DIR) && EXT4_HAS(fs, incompat, EXT4_I_LARGEDIR)))
		i->size |= (uint64_t)le32(d->size_hi) << 32;
	if (!hurd && EXT4_HAS(fs, incompat, EXT4_I_64BIT))
		i->file_acl |= (uint64_t)le16(d->file_acl_hi) << 32;
	if (!hurd && EXT4_HAS(fs, ro, EXT4_R_HUGE_FILE)) {
		i->sectors |= (uint64_t)le16(d->blocks_hi) << 32;
		if (i->flags & EXT4_F_HUGE_FILE)
			i->sectors <<= fs->block_bits - 9;
	}
	if (i->raw_len > EXT4_GOOD_OLD_INODE) {
		uint32_t extra = le16(d->extra_isize);

		i->extra = extra <= i->raw_len - EXT4_GOOD_OLD_INODE ? extra : 0;
	}
	i->noise = is_noise(fs, i);
}

uint32_t ext4_inode_sum(const struct ext4 *fs, const struct ext4_inode *i)
{
	static const uint8_t zero[2];
	const size_t lo = offsetof(struct ext4_dinode, checksum_lo),
		     hi = offsetof(struct ext4_dinode, checksum_hi);
	le32_t ino = to_le32(i->ino), gen = to_le32(i->generation);
	uint32_t c = sum_crc32c(fs->seed, &ino, sizeof(ino));

	c = sum_crc32c(c, &gen, sizeof(gen));
	c = sum_crc32c(c, i->raw, lo);
	c = sum_crc32c(c, zero, sizeof(zero));
	c = sum_crc32c(c, i->raw + lo + 2, EXT4_GOOD_OLD_INODE - lo - 2);
	if (i->raw_len == EXT4_GOOD_OLD_INODE)
		return c & 0xffff;
	if (!HAS_FIELD(i, checksum_hi))
		return sum_crc32c(c, i->raw + EXT4_GOOD_OLD_INODE,
				  i->raw_len - EXT4_GOOD_OLD_INODE) &
		       0xffff;
	c = sum_crc32c(c, i->raw + EXT4_GOOD_OLD_INODE, hi - EXT4_GOOD_OLD_INODE);
	c = sum_crc32c(c, zero, sizeof(zero));
	return sum_crc32c(c, i->raw + hi + 2, i->raw_len - hi - 2);
}

uint32_t ext4_inode_stored_sum(const struct ext4_inode *i)
{
	const struct ext4_dinode *d = (const void *)i->raw;

	return le16(d->checksum_lo) |
	       (HAS_FIELD(i, checksum_hi) ? (uint32_t)le16(d->checksum_hi) << 16 : 0);
}

bool ext4_inode_sum_ok(const struct ext4 *fs, const struct ext4_inode *i)
{
	if (i->sum != EXT4_SUM_UNKNOWN)
		return i->sum == EXT4_SUM_OK;
	return !fs->sums || ext4_inode_stored_sum(i) == ext4_inode_sum(fs, i) ||
	       all_zero(i->raw, i->raw_len);
}

bool ext4_inode_in_use(const struct ext4_inode *i)
{
	/* dtime of an inode in the orphan list is the next one's number, and it has no links. */
	return !i->lost && !i->noise && i->mode && i->links;
}

bool ext4_inode_addr(const struct ext4 *fs, uint32_t ino, uint64_t *block, uint32_t *off)
{
	uint64_t byte;
	struct ext4_group gr;

	if (!ino || ino > fs->inodes)
		return false;
	gr = ext4_group(fs, (ino - 1) / fs->inodes_per_group);
	byte = (uint64_t)((ino - 1) % fs->inodes_per_group) * fs->inode_size;
	*block = gr.inode_table + (byte >> fs->block_bits);
	*off = (uint32_t)(byte & (fs->block_size - 1));
	return ext4_table_ok(fs, &gr) && ext4_block_ok(fs, *block);
}

static int read_inode(struct ext4 *fs, uint32_t ino, uint64_t block, uint32_t off, uint8_t *buf,
		      struct ext4_inode *i)
{
	const struct cache_item *it = ext4_get(fs, block);
	uint64_t addr = (block << fs->block_bits) + off;
	bool lost;

	if (!it)
		return -EIO;
	memcpy(buf, it->buf + off, fs->inode_size);
	lost = ranges_overlap(&it->bad, addr, fs->inode_size);
	ext4_put(fs, it);
	ext4_inode_decode(fs, ino, buf, ext4_patch_at(fs, ino, ext4_at(fs, block) + off), i);
	i->lost = lost;
	return lost || i->noise ? -EIO : 0;
}

int ext4_inode_read(struct ext4 *fs, uint32_t ino, uint8_t *buf, struct ext4_inode *i)
{
	uint64_t block;
	uint32_t off;

	if (!ext4_inode_addr(fs, ino, &block, &off))
		return -ENOENT;
	return read_inode(fs, ino, block, off, buf, i);
}

int ext4_inode_read_at(struct ext4 *fs, uint32_t ino, uint64_t ref, uint8_t *buf,
		       struct ext4_inode *i)
{
	struct ranges bad = {0};
	uint64_t block;
	uint32_t off;
	int r;

	if (ext4_inode_addr(fs, ino, &block, &off) &&
	    ext4_patch_at(fs, ino, ext4_at(fs, block) + off) == ref)
		return read_inode(fs, ino, block, off, buf, i);
	if (!ref || !range_inside(ref, fs->inode_size, fs->l->below->size))
		return -ENOENT;
	r = layer_read(fs->l->below, ref, buf, fs->inode_size, &bad);
	if (!r)
		ext4_inode_decode(fs, ino, buf, ref, i);
	if (!r && bad.n)
		r = -EIO;
	ranges_free(&bad);
	return r;
}

bool ext4_symlink_fast(const struct ext4 *fs, const struct ext4_inode *i)
{
	(void)fs;
	return ext4_is(i, EXT4_S_LNK) && i->size < sizeof(((struct ext4_dinode *)0)->block) &&
	       !(i->flags & (EXT4_F_EXTENTS | EXT4_F_INLINE_DATA));
}

bool ext4_inode_has_map(const struct ext4 *fs, const struct ext4_inode *i)
{
	if (i->flags & EXT4_F_INLINE_DATA)
		return false;
	if (i->ino == EXT4_INO_BAD || (i->ino < fs->first_ino && !i->mode))
		return true;
	return ext4_is(i, EXT4_S_REG) || ext4_is(i, EXT4_S_DIR) ||
	       (ext4_is(i, EXT4_S_LNK) && !ext4_symlink_fast(fs, i));
}

static struct fs_time get_time(const struct ext4_inode *i, size_t at, size_t extra_at)
{
	struct fs_time t = {0};
	le32_t v;

	memcpy(&v, i->raw + at, sizeof(v));
	t.sec = (int32_t)le32(v);
	t.set = le32(v) != 0;
	if (has_field(i, extra_at + sizeof(v))) {
		memcpy(&v, i->raw + extra_at, sizeof(v));
		/* "Inode Timestamps": two more bits of seconds, 30 of nanoseconds */
		t.sec += (int64_t)(le32(v) & 3) << 32;
		t.nsec = le32(v) >> 2;
		t.set = t.set || le32(v);
		if (t.nsec > 999999999)
			t.nsec = 0;
	}
	return t;
}

#define TIME(i, f)                                                                                 \
	get_time(i, offsetof(struct ext4_dinode, f), offsetof(struct ext4_dinode, f##_extra))

static enum fs_kind kind_of(const struct ext4_inode *i)
{
	switch (i->mode & EXT4_S_TYPE) {
	case EXT4_S_DIR: return FS_DIR;
	case EXT4_S_LNK: return FS_SYMLINK;
	case EXT4_S_REG: return FS_FILE;
	default: return i->mode & EXT4_S_TYPE ? FS_SPECIAL : FS_FILE;
	}
}

/* A link's target; false: it can't be had. */
static bool read_target(struct ext4 *fs, const struct ext4_inode *i, char *target)
{
	struct fs_runs runs = {0};
	struct layer *file = NULL;
	struct ranges bad = {0};
	size_t len = i->size < EXT4_PATH - 1 ? (size_t)i->size : 0;
	bool ok = false;

	if (!len || i->size > fs->block_size || i->flags & EXT4_F_ENCRYPT)
		return false;
	if (ext4_symlink_fast(fs, i)) {
		memcpy(target, i->block, len);
		target[len] = '\0';
		return true;
	}
	if (!ext4_runs(fs, i, &runs) && !fs_file_new(fs->l, "/", len, &runs, &file) &&
	    !layer_read(file, 0, target, len, &bad)) {
		target[len] = '\0';
		ok = !bad.n;
	}
	ranges_free(&bad);
	fs_runs_free(&runs);
	layer_free(file);
	return ok;
}

static const char *remark(const struct ext4_inode *i)
{
	if (i->flags & EXT4_F_ENCRYPT)
		return "encrypted (fscrypt)";
	if (i->flags & EXT4_F_COMPRESSED)
		return "compressed (e2compr)";
	if (i->flags & EXT4_F_EA_INODE)
		return "value of an extended attribute";
	return i->flags & EXT4_F_VERITY ? "fs-verity" : NULL;
}

void ext4_entry_fill(struct ext4 *fs, const struct ext4_inode *i, struct fs_entry *e, char *target)
{
	e->id = i->ino;
	e->generation = i->generation;
	e->kind = kind_of(i);
	e->size = i->size;
	e->stored = i->sectors <= UINT64_MAX / SECTOR ? i->sectors * SECTOR : 0;
	e->modified = TIME(i, mtime);
	e->accessed = TIME(i, atime);
	e->changed = TIME(i, ctime);
	e->born = (struct fs_time){0};
	if (HAS_FIELD(i, crtime))
		e->born = TIME(i, crtime);
	e->mode = i->mode;
	e->uid = i->uid;
	e->gid = i->gid;
	e->links = i->links;
	e->remark = remark(i);
	e->data_sure = ext4_inode_sum_ok(fs, i) ? FS_SURE : FS_GUESSED;
	e->ref = i->at;
	e->target = NULL;
	if (e->kind == FS_SYMLINK && read_target(fs, i, target))
		e->target = target;
	if (e->kind == FS_SPECIAL)
		e->size = e->stored = 0;
}
