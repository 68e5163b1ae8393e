/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of the superblock, its copies, the descriptors, and what the superblock points to. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "formats/fs/ext4_check.h"
#include "vdiskck/core/sum.h"

/* Blocks of metadata: each may lie in no other's place. */
static void claim_meta(struct ck *c, uint64_t block, uint64_t n, const char *what, uint32_t g)
{
	struct ext4 *fs = c->fs;

	for (uint64_t k = 0; k < n && ext4_block_ok(fs, block + k); k++) {
		uint64_t cl = ck_cluster(fs, block + k);

		/* Several blocks of metadata may share a cluster. */
		if (ck_bit(c->meta, cl) && !fs->cluster_bits) {
			ck_say(c, EXT4_GROUP_OVERLAP, 0, (block + k) << fs->block_bits,
			       fs->block_size, NULL, NULL,
			       "the %s of group %" PRIu32 " in block %" PRIu64
			       " lies on other metadata",
			       what, g, block + k);
			return;
		}
		ck_set(c->meta, cl);
		ck_set(c->used, cl);
	}
}

static void pointer_outside(struct ck *c, uint32_t g, const char *what, uint64_t block, uint64_t at)
{
	ck_say(c, EXT4_GROUP_POINTER, 0, at, 4, strf("block %" PRIu64, block), NULL,
	       "the %s of group %" PRIu32 " is in block %" PRIu64 ", where it can't be", what, g,
	       block);
}

/* Without flex_bg, everything of a group lies in it. */
static bool in_group(const struct ext4 *fs, uint32_t g, uint64_t block, uint64_t n)
{
	uint64_t first = ext4_group_first(fs, g), end = first + fs->blocks_per_group;

	if (EXT4_HAS(fs, incompat, EXT4_I_FLEX_BG)) {
		first = fs->first_block;
		end = fs->blocks;
	}
	if (end > fs->blocks)
		end = fs->blocks;
	return block >= first && block < end && n <= end - block;
}

static uint64_t desc_at(const struct ext4 *fs, uint32_t g)
{
	return (ext4_gdt_block(fs, g / fs->descs_per_block, 0) << fs->block_bits) +
	       (uint64_t)(g % fs->descs_per_block) * fs->desc_size;
}

static void check_desc_sum(struct ck *c, uint32_t g, const struct ext4_group *gr, uint64_t at)
{
	uint16_t sum;

	if (!c->fs->gd_sums)
		return;
	sum = ext4_group_sum(c->fs, g, c->fs->gdt + (size_t)g * c->fs->desc_size);
	if (sum != gr->checksum)
		ck_say(c, EXT4_GROUP_SUM, 0, at, c->fs->desc_size, strf("0x%04x", gr->checksum),
		       strf("0x%04x", sum), "descriptor of group %" PRIu32 ": wrong checksum", g);
}

static void check_desc_flags(struct ck *c, uint32_t g, const struct ext4_group *gr, uint64_t at)
{
	struct ext4 *fs = c->fs;

	if (!fs->gd_sums &&
	    (gr->flags & (EXT4_BG_INODE_UNINIT | EXT4_BG_BLOCK_UNINIT) || gr->unused))
		ck_say(c, EXT4_GROUP_FLAGS, 0, at + offsetof(struct ext4_desc, flags), 2,
		       strf("0x%x", gr->flags), NULL,
		       "descriptor of group %" PRIu32
		       " is marked as not initialised, which this file system does not know",
		       g);
	if (fs->gd_sums && gr->fresh &&
	    (gr->unused > gr->free_inodes || gr->unused > fs->inodes_per_group))
		ck_say(c, EXT4_GROUP_UNUSED, 0, at + offsetof(struct ext4_desc, unused_lo), 2,
		       strf("%" PRIu32, gr->unused), strf("%" PRIu32 " at most", gr->free_inodes),
		       "descriptor of group %" PRIu32 ": more inodes never used than free", g);
	if (fs->gd_sums && g == fs->groups - 1 && gr->flags & EXT4_BG_BLOCK_UNINIT)
		ck_say(c, EXT4_GROUP_UNUSED, 0, at + offsetof(struct ext4_desc, flags), 2,
		       strf("0x%x", gr->flags), NULL,
		       "the last group's block bitmap is marked as not initialised");
}

static void check_group(struct ck *c, uint32_t g)
{
	struct ext4 *fs = c->fs;
	struct ext4_group gr = ext4_group(fs, g);
	uint64_t at = desc_at(fs, g),
		 first = g ? ext4_group_first(fs, g) : (uint64_t)(fs->block_size == EXT4_SUPER_AT);
	const struct {
		uint64_t block, n;
		const char *what;
	} part[] = {{gr.block_bitmap, 1, "block bitmap"},
		    {gr.inode_bitmap, 1, "inode bitmap"},
		    {gr.inode_table, fs->table_blocks, "inode table"}};

	check_desc_sum(c, g, &gr, at);
	check_desc_flags(c, g, &gr, at);
	claim_meta(c, first, ext4_base_blocks(fs, g), "superblock and descriptors", g);
	for (size_t k = 0; k < 3; k++) {
		if (!in_group(fs, g, part[k].block, part[k].n))
			pointer_outside(c, g, part[k].what, part[k].block, at + 4 * k);
		claim_meta(c, part[k].block, part[k].n, part[k].what, g);
	}
}

/* Copies state what can't change: which file system it is, and its geometry. */
static int check_copy(struct ck *c, uint32_t g)
{
	struct ext4 *fs = c->fs;
	uint64_t at = ext4_group_first(fs, g) << fs->block_bits;
	struct ext4_super sb;
	struct ranges bad = {0};
	const char *wrong = NULL;
	int r;

	if (!range_inside(at, sizeof(sb), c->l->below->size))
		return 0; /* EXT4_PAST_END said it */
	r = layer_read(c->l->below, at, &sb, sizeof(sb), &bad);
	if (r || bad.n || le16(sb.magic) != EXT4_MAGIC)
		wrong = "is lost";
	else if (!ext4_super_sum_ok(&sb))
		wrong = "has a wrong checksum";
	else if (memcmp(sb.uuid, fs->sb.uuid, sizeof(sb.uuid)) ||
		 le32(sb.log_block_size) != le32(fs->sb.log_block_size) ||
		 le32(sb.blocks_per_group) != le32(fs->sb.blocks_per_group) ||
		 le32(sb.inodes_per_group) != le32(fs->sb.inodes_per_group))
		wrong = "is not of this file system";
	if (wrong)
		ck_say(c, EXT4_SUPER_COPY_BAD, 0, at, sizeof(sb), NULL, NULL,
		       "the superblock's copy of group %" PRIu32 " %s", g, wrong);
	ranges_free(&bad);
	return r;
}

static int check_copies(struct ck *c)
{
	int r = 0;

	for (uint32_t g = 1; g < c->fs->groups && !r; g++)
		if (ext4_has_super(c->fs, g))
			r = check_copy(c, g);
	return r;
}

static void check_state(struct ck *c)
{
	const struct ext4_super *sb = &c->fs->sb;
	uint64_t at = c->fs->sb_at;

	if (le16(sb->state) & EXT4_STATE_ERROR)
		ck_say(c, EXT4_ERRORS_RECORDED, 0, at + offsetof(struct ext4_super, state), 2, NULL,
		       NULL,
		       "the kernel found errors in this file system: %" PRIu32
		       " times, last in %.32s()",
		       le32(sb->error_count), sb->last_error_func);
	if (le32(sb->inodes_count) != c->fs->inodes)
		ck_say(c, EXT4_SUPER_FIELD, 0, at, 4, strf("%" PRIu32, le32(sb->inodes_count)),
		       strf("%" PRIu32, c->fs->inodes), "wrong number of inodes");
	if (EXT4_HAS(c->fs, incompat, EXT4_I_META_BG) &&
	    EXT4_HAS(c->fs, compat, EXT4_C_RESIZE_INODE))
		ck_say(c, EXT4_SUPER_FIELD, 0, at + offsetof(struct ext4_super, compat), 4, NULL,
		       NULL, "the features resize_inode and meta_bg exclude each other");
	if (EXT4_HAS(c->fs, incompat, EXT4_I_META_BG) &&
	    le32(sb->first_meta_bg) > c->fs->gdt_blocks)
		ck_say(c, EXT4_META_BG, 0, at + offsetof(struct ext4_super, first_meta_bg), 4,
		       strf("%" PRIu32, le32(sb->first_meta_bg)),
		       strf("%" PRIu32 " at most", c->fs->gdt_blocks),
		       "the first meta block group is behind the last one");
	if (!EXT4_HAS(c->fs, compat, EXT4_C_JOURNAL) && EXT4_HAS(c->fs, incompat, EXT4_I_RECOVER))
		ck_say(c, EXT4_SUPER_FIELD, 0, at + offsetof(struct ext4_super, incompat), 4, NULL,
		       NULL, "a journal is to be replayed, and there is none");
}

static int check_mmp(struct ck *c)
{
	struct ext4 *fs = c->fs;
	uint64_t block = le64(fs->sb.mmp_block);
	struct ext4_mmp mmp;
	struct ranges bad = {0};
	const char *wrong = NULL;
	int r = 0;

	if (!EXT4_HAS(fs, incompat, EXT4_I_MMP))
		return 0;
	if (!ext4_block_ok(fs, block)) {
		ck_say(c, EXT4_MMP_BAD, 0, fs->sb_at + offsetof(struct ext4_super, mmp_block), 8,
		       strf("block %" PRIu64, block), NULL,
		       "the MMP block lies outside the file system");
		return 0;
	}
	r = ext4_read(fs, block, 1, c->buf, &bad);
	memcpy(&mmp, c->buf, sizeof(mmp));
	if (bad.n || le32(mmp.magic) != EXT4_MMP_MAGIC)
		wrong = "is lost";
	else if (fs->sums && sum_crc32c(fs->seed, &mmp, offsetof(struct ext4_mmp, checksum)) !=
				     le32(mmp.checksum))
		wrong = "has a wrong checksum";
	if (!r && wrong)
		ck_say(c, EXT4_MMP_BAD, 0, block << fs->block_bits, sizeof(mmp), NULL, NULL,
		       "the MMP block %s", wrong);
	if (!r)
		ck_claim(c, block, 1);
	ranges_free(&bad);
	return r;
}

/*
 * Inodes that were deleted while open, or are to be cut: a list through their dtime, or the file
 * of the orphan_file feature. The next mount deals with them.
 */
static int check_orphans(struct ck *c)
{
	struct ext4 *fs = c->fs;
	uint32_t ino = le32(fs->sb.last_orphan), n = 0;
	uint64_t at = fs->sb_at + offsetof(struct ext4_super, last_orphan);
	uint8_t raw[65536];
	struct ext4_inode i;
	int r = 0;

	while (ino && !r) {
		if (ino > fs->inodes || (ino < fs->first_ino && ino != EXT4_INO_ROOT) ||
		    c->inode[ino] & CK_ORPHAN || ext4_inode_read(fs, ino, raw, &i) || !i.mode) {
			ck_say(c, EXT4_ORPHAN_LIST, 0, at, 4, strf("inode %" PRIu32, ino), NULL,
			       "the orphan list leads to inode %" PRIu32 ", which can't be in it",
			       ino);
			return 0;
		}
		c->inode[ino] |= CK_ORPHAN;
		n++;
		at = i.at + offsetof(struct ext4_dinode, dtime);
		ino = i.dtime;
	}
	if (n)
		ck_say(c, EXT4_ORPHANS, 0, fs->sb_at + offsetof(struct ext4_super, last_orphan), 4,
		       NULL, NULL,
		       "%" PRIu32 " inodes are in the orphan list: deleted or cut while they were "
		       "open",
		       n);
	return 0;
}

int ck_super(struct ck *c)
{
	struct ext4 *fs = c->fs;
	int r;

	check_state(c);
	/* Block 0 holds the boot sector where blocks are 1 KiB and clusters larger. */
	if (fs->block_size == EXT4_SUPER_AT && !fs->first_block)
		claim_meta(c, 0, 1, "boot block", 0);
	for (uint32_t g = 0; g < fs->groups; g++)
		check_group(c, g);
	r = check_copies(c);
	if (!r)
		r = check_mmp(c);
	return r ? r : check_orphans(c);
}
