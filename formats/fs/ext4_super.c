/* SPDX-License-Identifier: Apache-2.0 */
/* The superblock, and its copies where the first one is lost. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ext4_fs.h"
#include "vdiskck/core/sum.h"

enum {
	SEARCH_MAX = 96 << 20, /* looked through for copies at unusual places */
	GDT_MAX = 256 << 20,   /* bytes of group descriptors: a volume of 256 TiB has half of it */
	TIMES_MAX = 1024,      /* what a volume may state of its own size: it was cut short */
	GROUPS_TRIED = 64,     /* copies in powers of 3, 5 and 7 below this */
};

uint64_t ext4_super_blocks(const struct ext4_super *sb)
{
	uint64_t hi = le32(sb->incompat) & EXT4_I_64BIT ? le32(sb->blocks_count_hi) : 0;

	return hi << 32 | le32(sb->blocks_count_lo);
}

static uint32_t inode_size(const struct ext4_super *sb)
{
	return le32(sb->rev_level) ? le16(sb->inode_size) : EXT4_GOOD_OLD_INODE;
}

static uint32_t desc_size(const struct ext4_super *sb)
{
	return le32(sb->incompat) & EXT4_I_64BIT ? le16(sb->desc_size) : EXT4_DESC_OLD;
}

bool ext4_super_sum_ok(const struct ext4_super *sb)
{
	return !(le32(sb->ro_compat) & EXT4_R_METADATA_CSUM) ||
	       (sb->checksum_type == 1 &&
		sum_crc32c(~0u, sb, offsetof(struct ext4_super, checksum)) == le32(sb->checksum));
}

static bool power_of_two(uint32_t v)
{
	return v && !(v & (v - 1));
}

/* Groups, or 0 if the numbers can't be. */
static uint64_t count_groups(const struct ext4_super *sb)
{
	uint64_t blocks = ext4_super_blocks(sb);
	uint32_t first = le32(sb->first_data_block), per = le32(sb->blocks_per_group);

	if (!per || blocks <= first || blocks > UINT64_MAX >> EXT4_BLOCK_BITS_MAX)
		return 0;
	return (blocks - first + per - 1) / per;
}

static bool clusters_ok(const struct ext4_super *sb)
{
	uint32_t log = le32(sb->log_block_size), clog = le32(sb->log_cluster_size);

	if (!(le32(sb->ro_compat) & EXT4_R_BIGALLOC))
		return true;
	return clog >= log && clog <= 20 &&
	       (uint64_t)le32(sb->clusters_per_group) << (clog - log) == le32(sb->blocks_per_group);
}

bool ext4_super_ok(const struct ext4_super *sb, uint64_t volume)
{
	uint32_t log = le32(sb->log_block_size), size = inode_size(sb), desc = desc_size(sb);
	uint32_t first = le32(sb->first_data_block), per = le32(sb->blocks_per_group);
	uint32_t inodes = le32(sb->inodes_per_group), limit, unit;
	uint64_t groups = count_groups(sb);

	if (le16(sb->magic) != EXT4_MAGIC || !groups ||
	    log > EXT4_BLOCK_BITS_MAX - EXT4_BLOCK_BITS_MIN || le32(sb->rev_level) > 1 ||
	    !clusters_ok(sb))
		return false;
	/* A journal device has no groups worth a look. */
	if (le32(sb->rev_level) && le32(sb->incompat) & EXT4_I_JOURNAL_DEV)
		return true;
	unit = le32(sb->ro_compat) & EXT4_R_BIGALLOC ? le32(sb->log_cluster_size) - log : 0;
	limit = 8u << (log + EXT4_BLOCK_BITS_MIN);
	return power_of_two(size) && size >= EXT4_GOOD_OLD_INODE &&
	       size <= 1u << (log + EXT4_BLOCK_BITS_MIN) && power_of_two(desc) &&
	       desc >= (le32(sb->incompat) & EXT4_I_64BIT ? EXT4_DESC_64 : EXT4_DESC_OLD) &&
	       desc <= 1024 && first <= (log == 0) && per >= 8 && per >> unit <= limit && inodes &&
	       inodes <= limit && groups * inodes <= UINT32_MAX && groups * desc <= GDT_MAX &&
	       groups * desc <= volume && groups * inodes * size / TIMES_MAX <= volume &&
	       (ext4_super_blocks(sb) << log) / TIMES_MAX <= volume;
}

static bool power_of(uint32_t g, uint32_t base)
{
	while (g > 1 && g % base == 0)
		g /= base;
	return g == 1;
}

bool ext4_has_super(const struct ext4 *fs, uint32_t g)
{
	if (!g)
		return true;
	if (fs->compat & EXT4_C_SPARSE_SUPER2)
		return g == le32(fs->sb.backup_bgs[0]) || g == le32(fs->sb.backup_bgs[1]);
	if (g == 1 || !(fs->ro & EXT4_R_SPARSE_SUPER))
		return true;
	return power_of(g, 3) || power_of(g, 5) || power_of(g, 7);
}

static int read_super(struct layer *below, uint64_t at, struct ext4_super *sb)
{
	struct ranges bad = {0};
	int r = 0;

	if (!range_inside(at, sizeof(*sb), below->size))
		return -EIO;
	r = layer_read(below, at, sb, sizeof(*sb), &bad);
	if (!r && bad.n)
		r = -EIO;
	ranges_free(&bad);
	return r;
}

/* A copy states which group it is of, and so where it has to lie. */
static bool is_copy(struct layer *below, uint64_t at, struct ext4_super *sb)
{
	uint64_t block;

	if (read_super(below, at, sb) || !ext4_super_ok(sb, below->size) ||
	    !ext4_super_sum_ok(sb) || le32(sb->incompat) & EXT4_I_JOURNAL_DEV)
		return false;
	block = at >> (le32(sb->log_block_size) + EXT4_BLOCK_BITS_MIN);
	if (block << (le32(sb->log_block_size) + EXT4_BLOCK_BITS_MIN) != at ||
	    block <= le32(sb->first_data_block))
		return false;
	block -= le32(sb->first_data_block);
	/* Old ones state no group. */
	return block % le32(sb->blocks_per_group) == 0 &&
	       (!le16(sb->block_group_nr) ||
		block / le32(sb->blocks_per_group) == le16(sb->block_group_nr));
}

/* Where mkfs puts them: groups as large as a block's bitmap. */
static bool usual_places(struct layer *below, struct ext4_super *sb, uint64_t *at)
{
	for (unsigned bits = EXT4_BLOCK_BITS_MIN; bits <= EXT4_BLOCK_BITS_MAX; bits++)
		for (uint32_t g = 1; g < GROUPS_TRIED; g++) {
			if (!power_of(g, 3) && !power_of(g, 5) && !power_of(g, 7))
				continue;
			*at = (((uint64_t)g << (bits + 3)) + (bits == EXT4_BLOCK_BITS_MIN)) << bits;
			if (*at >= below->size)
				break;
			if (is_copy(below, *at, sb))
				return true;
		}
	return false;
}

bool ext4_super_search(struct layer *below, struct ext4_super *sb, uint64_t *at)
{
	static const size_t step = 256 << 10;
	uint64_t end = below->size < SEARCH_MAX ? below->size : SEARCH_MAX;
	uint8_t *buf;
	bool found = usual_places(below, sb, at);

	buf = found ? NULL : malloc(step);
	for (uint64_t off = 0; buf && !found && off < end; off += step) {
		size_t len = end - off < step ? (size_t)(end - off) : step;

		if (layer_read(below, off, buf, len, NULL))
			break;
		for (size_t i = 0; i + EXT4_SUPER_LEN <= len && !found; i += 1024) {
			le16_t magic;

			memcpy(&magic, buf + i + offsetof(struct ext4_super, magic), 2);
			*at = off + i;
			found = le16(magic) == EXT4_MAGIC && is_copy(below, *at, sb);
		}
	}
	free(buf);
	return found;
}

static unsigned log2_of(uint32_t v)
{
	return 31 - (unsigned)__builtin_clz(v);
}

/* All that follows from the superblock; it was found possible. */
static void derive(struct ext4 *fs)
{
	const struct ext4_super *sb = &fs->sb;
	bool dynamic = le32(sb->rev_level) != 0;

	fs->compat = dynamic ? le32(sb->compat) : 0;
	fs->incompat = dynamic ? le32(sb->incompat) : 0;
	fs->ro = dynamic ? le32(sb->ro_compat) : 0;
	if (EXT4_HAS(fs, incompat, EXT4_I_JOURNAL_DEV))
		return; /* what groups it states nobody has looked at */
	fs->block_bits = le32(sb->log_block_size) + EXT4_BLOCK_BITS_MIN;
	fs->block_size = 1u << fs->block_bits;
	if (EXT4_HAS(fs, ro, EXT4_R_BIGALLOC))
		fs->cluster_bits = le32(sb->log_cluster_size) - le32(sb->log_block_size);
	fs->blocks = ext4_super_blocks(sb);
	fs->first_block = le32(sb->first_data_block);
	fs->blocks_per_group = le32(sb->blocks_per_group);
	fs->inodes_per_group = le32(sb->inodes_per_group);
	fs->groups = (uint32_t)count_groups(sb);
	fs->inodes = fs->groups * fs->inodes_per_group;
	fs->inode_size = inode_size(sb);
	fs->table_blocks =
		(uint32_t)(((uint64_t)fs->inodes_per_group * fs->inode_size + fs->block_size - 1) >>
			   fs->block_bits);
	fs->desc_size = desc_size(sb);
	fs->descs_per_block = fs->block_size >> log2_of(fs->desc_size);
	fs->gdt_blocks = (fs->groups + fs->descs_per_block - 1) / fs->descs_per_block;
	fs->first_ino = dynamic ? le32(sb->first_ino) : EXT4_FIRST_INO_OLD;
	if (fs->first_ino < EXT4_FIRST_INO_OLD)
		fs->first_ino = EXT4_FIRST_INO_OLD;
	fs->sums = EXT4_HAS(fs, ro, EXT4_R_METADATA_CSUM);
	fs->gd_sums = fs->sums || EXT4_HAS(fs, ro, EXT4_R_GDT_CSUM);
	fs->seed = EXT4_HAS(fs, incompat, EXT4_I_CSUM_SEED)
			   ? le32(sb->checksum_seed)
			   : sum_crc32c(~0u, sb->uuid, sizeof(sb->uuid));
}

static void report_copy(struct ext4 *fs, enum finding_id id, const char *what, const char *stored,
			const char *expected)
{
	finding_fact(fs->l, id,
		     &(struct fact){.at = EXT4_SUPER_AT,
				    .at_len = EXT4_SUPER_LEN,
				    .stored = stored,
				    .expected = expected},
		     "the first superblock %s; the copy at 0x%" PRIx64 " is used", what, fs->sb_at);
}

static const char *sum_text(const struct ext4_super *sb, bool stored)
{
	return strf("0x%08" PRIx32,
		    stored ? le32(sb->checksum)
			   : sum_crc32c(~0u, sb, offsetof(struct ext4_super, checksum)));
}

static void report_sum(struct ext4 *fs)
{
	finding_fact(fs->l, EXT4_SUPER_SUM,
		     &(struct fact){.at = fs->sb_at + offsetof(struct ext4_super, checksum),
				    .at_len = 4,
				    .stored = sum_text(&fs->sb, true),
				    .expected = sum_text(&fs->sb, false)},
		     "the superblock's checksum is wrong, and no copy is any better");
}

static void report_size(struct ext4 *fs)
{
	uint64_t size = fs->blocks << fs->block_bits;

	if (size <= fs->l->below->size)
		return;
	finding_fact(
		fs->l, EXT4_PAST_END,
		&(struct fact){.at = fs->sb_at + offsetof(struct ext4_super, blocks_count_lo),
			       .at_len = 4,
			       .stored = strf("%" PRIu64 " bytes", size),
			       .expected = strf("%" PRIu64 " bytes at most", fs->l->below->size)},
		"the file system reaches 0x%" PRIx64 " bytes behind the end of what holds it",
		size - fs->l->below->size);
}

int ext4_super_load(struct ext4 *fs)
{
	struct layer *below = fs->l->below;
	struct ext4_super first, copy;
	uint64_t at = 0;
	int r = read_super(below, EXT4_SUPER_AT, &first);
	bool read = !r, can_be = read && ext4_super_ok(&first, below->size);

	if (r && r != -EIO)
		return r;
	fs->sb = first;
	fs->sb_at = EXT4_SUPER_AT;
	if (!can_be || !ext4_super_sum_ok(&first)) {
		bool found = ext4_super_search(below, &copy, &at);

		if (!found && !can_be)
			return -EBADMSG;
		if (found) {
			fs->sb = copy;
			fs->sb_at = at;
			fs->sb_copy = true;
		}
		fs->sb_sum_bad = !found;
	}
	derive(fs);
	if (fs->sb_copy && can_be)
		report_copy(fs, EXT4_SUPER_COPY, "has a wrong checksum", sum_text(&first, true),
			    sum_text(&first, false));
	else if (fs->sb_copy && read && le16(first.magic) == EXT4_MAGIC)
		report_copy(fs, EXT4_SUPER_COPY, "can't be true", NULL, NULL);
	else if (fs->sb_copy)
		report_copy(fs, EXT4_SUPER_LOST, read ? "is not there" : "can't be read", NULL,
			    NULL);
	if (fs->sb_sum_bad)
		report_sum(fs);
	if (!EXT4_HAS(fs, incompat, EXT4_I_JOURNAL_DEV))
		report_size(fs);
	return 0;
}
