/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the journal (jbd2) lies, and its superblock. Source: "Journal (jbd2)" of the kernel's ext4
 * documentation.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ext4_fs.h"
#include "vdiskck/core/sum.h"

enum { BLOCKS_MAX = 64 << 20 }; /* of a journal: 256 GiB; its list of blocks is kept in memory */

const struct ext4_newer *ext4_newer(const struct ext4 *fs, uint64_t block)
{
	size_t lo = 0, hi = fs->j.n_newer;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (fs->j.newer[mid].block < block)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < fs->j.n_newer && fs->j.newer[lo].block == block ? &fs->j.newer[lo] : NULL;
}

void ext4_journal_free(struct ext4 *fs)
{
	free(fs->j.blocks);
	free(fs->j.newer);
	fs->j = (struct ext4_journal){0};
}

/* Block @k of the journal as it lies there. -EIO: lost. */
int ext4_journal_read(struct ext4 *fs, uint32_t k, uint8_t *buf)
{
	struct ranges bad = {0};
	uint64_t block = k < fs->j.n_blocks ? fs->j.blocks[k] : 0;
	int r = block ? layer_read(fs->l->below, block << fs->block_bits, buf, fs->block_size, &bad)
		      : -EIO;

	if (!r && bad.n)
		r = -EIO;
	ranges_free(&bad);
	return r;
}

static int add_blocks(void *arg, const struct ext4_run *run)
{
	struct ext4 *fs = arg;
	struct ext4_journal *j = &fs->j;

	if (run->kind == EXT4_RUN_NODE)
		return 0;
	for (uint64_t k = 0; k < run->len && run->lblk + k < j->n_blocks; k++)
		if (run->kind != EXT4_RUN_LOST && ext4_block_ok(fs, run->block + k))
			j->blocks[run->lblk + k] = run->block + k;
	return 0;
}

/* The superblock keeps i_block and i_size of the journal's inode, for when that is lost. */
static bool backup_inode(const struct ext4 *fs, uint8_t *raw, struct ext4_inode *i)
{
	struct ext4_dinode *d = (void *)raw;
	const struct ext4_extent_header *h = (const void *)d->block;

	if (fs->sb.jnl_backup_type != 1)
		return false;
	memset(raw, 0, fs->inode_size);
	d->mode = to_le16(EXT4_S_REG | 0600);
	d->links = to_le16(1);
	memcpy(d->block, fs->sb.jnl_blocks, sizeof(d->block));
	d->size_hi = fs->sb.jnl_blocks[15];
	d->size_lo = fs->sb.jnl_blocks[16];
	if (le16(h->magic) == EXT4_EXTENT_MAGIC)
		d->flags = to_le32(EXT4_F_EXTENTS);
	ext4_inode_decode(fs, EXT4_INO_JOURNAL, raw, 0, i);
	return i->size != 0;
}

static bool usable(const struct ext4 *fs, const struct ext4_inode *i)
{
	return ext4_is(i, EXT4_S_REG) && i->links && i->size >> fs->block_bits &&
	       i->size >> fs->block_bits <= BLOCKS_MAX && i->size >> fs->block_bits <= fs->blocks;
}

static int find_blocks(struct ext4 *fs, const struct ext4_inode *i)
{
	uint64_t budget = fs->blocks;

	free(fs->j.blocks);
	fs->j.n_blocks = (uint32_t)(i->size >> fs->block_bits);
	fs->j.blocks = calloc(fs->j.n_blocks, sizeof(*fs->j.blocks));
	return fs->j.blocks ? ext4_map(fs, i, &budget, add_blocks, fs) : -ENOMEM;
}

/* Read the journal's superblock through the blocks that are known. NULL: it holds; else why not. */
static const char *read_super(struct ext4 *fs, uint8_t *buf)
{
	struct ext4_journal *j = &fs->j;
	struct jbd2_super *s = &j->super;
	uint32_t type, fast;

	if (ext4_journal_read(fs, 0, buf))
		return "can't be read";
	memcpy(s, buf, sizeof(*s));
	type = be32(s->h.type);
	if (be32(s->h.magic) != JBD2_MAGIC || (type != JBD2_SUPER_V1 && type != JBD2_SUPER_V2))
		return "has no magic number";
	j->v2 = type == JBD2_SUPER_V2;
	j->incompat = j->v2 ? be32(s->incompat) : 0;
	if (be32(s->block_size) != fs->block_size || be32(s->max_len) > j->n_blocks)
		return "states another size than the journal has";
	if (ext4_journal_sums(j)) {
		be32_t sum = s->checksum, zero = {{0}};

		s->checksum = zero;
		j->sum_ok = sum_crc32c(~0u, s, sizeof(*s)) == be32(sum);
		s->checksum = sum;
		if (!j->sum_ok)
			return "has a wrong checksum";
	}
	if (j->incompat & ~JBD2_I_KNOWN)
		return "has features that are not known";
	if (j->v2 && be32(s->nr_users) > 1)
		return "belongs to several file systems";
	fast = j->incompat & JBD2_I_FAST_COMMIT ? be32(s->fast_commit_blks) : 0;
	if (j->incompat & JBD2_I_FAST_COMMIT && !fast)
		fast = JBD2_FAST_COMMIT_BLOCKS;
	j->block_first = be32(s->first);
	j->block_end = be32(s->max_len);
	if (fast >= j->block_end || !j->block_first || j->block_first >= j->block_end - fast ||
	    be32(s->start) >= j->block_end)
		return "states bounds of the log that can't be";
	j->block_end -= fast;
	/* Neither the log nor fast commits use the block between them. */
	if (fast) {
		j->fast_first = j->block_end + 1;
		j->fast_end = j->block_end + fast;
	}
	j->valid = true;
	return NULL;
}

static int load(struct ext4 *fs, uint8_t *raw, uint8_t *buf)
{
	uint32_t ino = le32(fs->sb.journal_ino);
	struct ext4_journal *j = &fs->j;
	struct ext4_inode i = {0};
	const char *why = "has no inode that can be one";
	int r = ext4_inode_read(fs, ino, raw, &i);
	uint64_t at = i.at;

	if (r && r != -EIO && r != -ENOENT)
		return r;
	if (!r && usable(fs, &i)) {
		r = find_blocks(fs, &i);
		if (r)
			return r;
		why = read_super(fs, buf);
	}
	if (why && backup_inode(fs, raw, &i) && usable(fs, &i)) {
		r = find_blocks(fs, &i);
		if (r)
			return r;
		if (!read_super(fs, buf))
			finding(fs->l, EXT4_JOURNAL_INODE_COPY, at, at ? fs->inode_size : 0,
				"the journal %s; its blocks are taken from the superblock's copy of "
				"its inode",
				why);
	}
	if (!j->valid) {
		finding(fs->l, EXT4_JOURNAL_BAD,
			j->blocks && j->blocks[0] ? j->blocks[0] << fs->block_bits : at,
			j->blocks && j->blocks[0] ? (uint64_t)sizeof(j->super) : fs->inode_size,
			"the journal %s", why);
		return 0;
	}
	/* The kernel goes by the flag; copies of the superblock don't have it. */
	if (be32(j->super.start) && (EXT4_HAS(fs, incompat, EXT4_I_RECOVER) || fs->sb_copy))
		return ext4_journal_apply(fs, buf);
	return 0;
}

int ext4_journal_load(struct ext4 *fs)
{
	uint8_t *raw, *buf;
	int r = -ENOMEM;

	if (!EXT4_HAS(fs, compat, EXT4_C_JOURNAL))
		return 0;
	if (!le32(fs->sb.journal_ino)) {
		bool full = EXT4_HAS(fs, incompat, EXT4_I_RECOVER);

		finding(fs->l, full ? EXT4_JOURNAL_MISSING : EXT4_JOURNAL_ELSEWHERE,
			fs->sb_at + offsetof(struct ext4_super, journal_uuid), 16,
			"the journal is on another device%s", full ? ", and was not replayed" : "");
		return 0;
	}
	raw = malloc(fs->inode_size);
	buf = malloc(fs->block_size);
	if (raw && buf)
		r = load(fs, raw, buf);
	free(raw);
	free(buf);
	/* What the cache holds was read without the journal. */
	if (!r && fs->j.n_newer)
		r = ext4_cache_reset(fs);
	return r;
}
