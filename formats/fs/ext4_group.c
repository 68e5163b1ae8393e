/* SPDX-License-Identifier: Apache-2.0 */
/* Group descriptors: where they lie, which copy is used, what they say. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ext4_fs.h"
#include "vdiskck/core/sum.h"

/* CRC-16 (reflected 0xa001), as the uninit_bg feature uses it. */
static uint16_t crc16(uint16_t crc, const void *p, size_t len)
{
	for (const uint8_t *b = p; len--; b++) {
		crc ^= *b;
		for (int i = 0; i < 8; i++)
			crc = (uint16_t)(crc >> 1 ^ (crc & 1 ? 0xa001 : 0));
	}
	return crc;
}

uint16_t ext4_group_sum(const struct ext4 *fs, uint32_t g, const uint8_t *desc)
{
	static const uint8_t zero[2];
	const size_t at = offsetof(struct ext4_desc, checksum);
	le32_t group = to_le32(g);

	if (fs->sums) {
		uint32_t c = sum_crc32c(fs->seed, &group, sizeof(group));

		c = sum_crc32c(c, desc, at);
		c = sum_crc32c(c, zero, sizeof(zero));
		if (fs->desc_size > at + 2)
			c = sum_crc32c(c, desc + at + 2, fs->desc_size - at - 2);
		return (uint16_t)c;
	}
	if (EXT4_HAS(fs, ro, EXT4_R_GDT_CSUM)) {
		uint16_t c = crc16(0xffff, fs->sb.uuid, sizeof(fs->sb.uuid));

		c = crc16(c, &group, sizeof(group));
		c = crc16(c, desc, at);
		if (EXT4_HAS(fs, incompat, EXT4_I_64BIT) && fs->desc_size > at + 2)
			c = crc16(c, desc + at + 2, fs->desc_size - at - 2);
		return c;
	}
	return 0;
}

/* Blocks of descriptors that lie together, in front of those of meta groups. */
static uint32_t first_meta(const struct ext4 *fs)
{
	uint32_t first = le32(fs->sb.first_meta_bg);

	return first < fs->gdt_blocks ? first : fs->gdt_blocks;
}

static bool in_meta_group(const struct ext4 *fs, uint32_t i)
{
	return EXT4_HAS(fs, incompat, EXT4_I_META_BG) && i >= first_meta(fs);
}

/* The block of the superblock of group @g. In group 0 it is 1 KiB into the volume. */
static uint64_t super_block(const struct ext4 *fs, uint32_t g)
{
	return g ? ext4_group_first(fs, g) : (uint64_t)(fs->block_size == EXT4_SUPER_AT);
}

uint64_t ext4_gdt_block(const struct ext4 *fs, uint32_t i, uint32_t copy)
{
	if (in_meta_group(fs, i)) {
		uint64_t g = (uint64_t)i * fs->descs_per_block;

		/* "Meta Block Groups": in the first, second and last group of those it describes */
		g += copy == 1 ? 1 : copy == 2 ? fs->descs_per_block - 1 : 0;
		if (copy > 2 || g >= fs->groups || (copy == 2 && fs->descs_per_block == 2))
			return 0;
		return super_block(fs, (uint32_t)g) + ext4_has_super(fs, (uint32_t)g);
	}
	for (uint32_t g = 0; g < fs->groups; g++) {
		if (!ext4_has_super(fs, g))
			continue;
		if (!copy--)
			return super_block(fs, g) + 1 + i;
	}
	return 0;
}

uint32_t ext4_base_blocks(const struct ext4 *fs, uint32_t g)
{
	bool super = ext4_has_super(fs, g), meta = EXT4_HAS(fs, incompat, EXT4_I_META_BG);
	uint32_t i = g / fs->descs_per_block, in = g % fs->descs_per_block;

	if (!meta || i < first_meta(fs)) {
		uint32_t old = meta ? le32(fs->sb.first_meta_bg)
				    : fs->gdt_blocks + le16(fs->sb.reserved_gdt_blocks);

		return super ? 1 + old : 0;
	}
	return super + (in == 0 || in == 1 || in == fs->descs_per_block - 1);
}

static struct ext4_group decode(const struct ext4 *fs, const uint8_t *raw)
{
	const struct ext4_desc *d = (const void *)raw;
	bool wide = fs->desc_size >= EXT4_DESC_64;
	struct ext4_group gr = {
		.block_bitmap = le32(d->block_bitmap_lo),
		.inode_bitmap = le32(d->inode_bitmap_lo),
		.inode_table = le32(d->inode_table_lo),
		.free_blocks = le16(d->free_blocks_lo),
		.free_inodes = le16(d->free_inodes_lo),
		.used_dirs = le16(d->used_dirs_lo),
		.unused = le16(d->unused_lo),
		.block_csum = le16(d->block_csum_lo),
		.inode_csum = le16(d->inode_csum_lo),
		.flags = le16(d->flags),
		.checksum = le16(d->checksum),
	};

	if (wide) {
		gr.block_bitmap |= (uint64_t)le32(d->block_bitmap_hi) << 32;
		gr.inode_bitmap |= (uint64_t)le32(d->inode_bitmap_hi) << 32;
		gr.inode_table |= (uint64_t)le32(d->inode_table_hi) << 32;
		gr.free_blocks |= (uint32_t)le16(d->free_blocks_hi) << 16;
		gr.free_inodes |= (uint32_t)le16(d->free_inodes_hi) << 16;
		gr.used_dirs |= (uint32_t)le16(d->used_dirs_hi) << 16;
		gr.unused |= (uint32_t)le16(d->unused_hi) << 16;
		gr.block_csum |= (uint32_t)le16(d->block_csum_hi) << 16;
		gr.inode_csum |= (uint32_t)le16(d->inode_csum_hi) << 16;
	}
	return gr;
}

struct ext4_group ext4_group(const struct ext4 *fs, uint32_t g)
{
	struct ext4_group gr = decode(fs, fs->gdt + (size_t)g * fs->desc_size);

	/* A checksum speaks for the descriptor, whatever became of the superblock before it. */
	gr.fresh = fs->gdt_state[g / fs->descs_per_block] == EXT4_GDT_FIRST &&
		   (!fs->sb_copy || fs->gd_sums);
	/* A descriptor with a wrong checksum may say anything. */
	if (gr.fresh && fs->gd_sums)
		gr.fresh =
			ext4_group_sum(fs, g, fs->gdt + (size_t)g * fs->desc_size) == gr.checksum;
	return gr;
}

uint32_t ext4_inodes_used(const struct ext4 *fs, const struct ext4_group *gr)
{
	if (!gr->fresh || !fs->gd_sums)
		return fs->inodes_per_group;
	if (gr->flags & EXT4_BG_INODE_UNINIT)
		return 0;
	return gr->unused < fs->inodes_per_group ? fs->inodes_per_group - gr->unused : 0;
}

/* Behind the first superblock: nothing but boot code lies before it. */
static bool possible(const struct ext4 *fs, uint64_t block, uint64_t n)
{
	return block > super_block(fs, 0) && block < fs->blocks && n <= fs->blocks - block;
}

bool ext4_table_ok(const struct ext4 *fs, const struct ext4_group *gr)
{
	return possible(fs, gr->inode_table, fs->table_blocks);
}

static bool can_be(const struct ext4 *fs, const struct ext4_group *gr)
{
	return possible(fs, gr->block_bitmap, 1) && possible(fs, gr->inode_bitmap, 1) &&
	       ext4_table_ok(fs, gr);
}

/* How many descriptors of block @i of them, in @raw, can be true. */
static uint32_t judge(const struct ext4 *fs, uint32_t i, const uint8_t *raw)
{
	uint32_t good = 0;

	for (uint32_t k = 0; k < fs->descs_per_block; k++) {
		uint64_t g = (uint64_t)i * fs->descs_per_block + k;
		struct ext4_group gr = decode(fs, raw + (size_t)k * fs->desc_size);

		if (g >= fs->groups)
			break;
		good += can_be(fs, &gr);
	}
	return good;
}

static int read_desc_block(struct ext4 *fs, uint64_t block, uint8_t *buf)
{
	struct ranges bad = {0};
	int r = ext4_block_ok(fs, block) ? ext4_read(fs, block, 1, buf, &bad) : -EIO;

	if (!r && bad.n)
		r = -EIO;
	ranges_free(&bad);
	return r;
}

static void report(struct ext4 *fs, uint32_t i, uint64_t from, bool lost)
{
	uint32_t first = i * fs->descs_per_block, last = first + fs->descs_per_block - 1;
	struct fact f = {.at = ext4_gdt_block(fs, i, 0) << fs->block_bits,
			 .at_len = fs->block_size};

	if (last >= fs->groups)
		last = fs->groups - 1;
	if (from)
		finding_fact(fs->l, EXT4_GROUPS_COPY, &f,
			     "the descriptors of groups %" PRIu32 " to %" PRIu32
			     " %s; their copy in block %" PRIu64 " is used",
			     first, last, lost ? "are lost" : "can't be true", from);
	else
		finding_fact(fs->l, EXT4_GROUPS_LOST, &f,
			     "the descriptors of groups %" PRIu32 " to %" PRIu32
			     " %s, and no copy is any better",
			     first, last, lost ? "are lost" : "can't all be true");
}

static int load_block(struct ext4 *fs, uint32_t i, uint8_t *buf, bool say)
{
	uint32_t n = fs->groups - i * fs->descs_per_block, good, best = 0;
	uint8_t *to = fs->gdt + (size_t)i * fs->block_size;
	uint64_t block, from = 0;
	bool first_bad, unread;
	int r = read_desc_block(fs, ext4_gdt_block(fs, i, 0), to);

	if (r && r != -EIO)
		return r;
	unread = r != 0;
	if (n > fs->descs_per_block)
		n = fs->descs_per_block;
	if (!unread)
		best = judge(fs, i, to);
	first_bad = best < n;
	/* Wrong checksums alone: the addresses hold, and those of a copy are not better. */
	for (uint32_t c = 1; best < n && (block = ext4_gdt_block(fs, i, c)); c++) {
		r = read_desc_block(fs, block, buf);
		if (r == -ENOMEM || r == -EINTR)
			return r;
		if (r)
			continue;
		good = judge(fs, i, buf);
		if (good <= best)
			continue;
		memcpy(to, buf, fs->block_size);
		best = good;
		from = block;
	}
	fs->gdt_state[i] = from ? EXT4_GDT_COPY : first_bad ? EXT4_GDT_BAD : EXT4_GDT_FIRST;
	if (first_bad && say)
		report(fs, i, from, unread);
	return 0;
}

int ext4_gdt_load(struct ext4 *fs, bool say)
{
	uint8_t *buf = malloc(fs->block_size);
	int r = 0;

	free(fs->gdt);
	free(fs->gdt_state);
	/* Whole blocks; ext4_super_ok() has bounded it. */
	fs->gdt = calloc(fs->gdt_blocks, fs->block_size);
	fs->gdt_state = calloc(fs->gdt_blocks, 1);
	if (!fs->gdt || !fs->gdt_state || !buf)
		r = -ENOMEM;
	for (uint32_t i = 0; !r && i < fs->gdt_blocks; i++)
		r = load_block(fs, i, buf, say);
	free(buf);
	return r;
}
