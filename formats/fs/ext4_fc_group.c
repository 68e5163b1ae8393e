/* SPDX-License-Identifier: Apache-2.0 */
/* Bitmaps and group descriptors, for what fast commits put in use and free. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ext4_fc.h"
#include "vdiskck/core/sum.h"

static bool bit(const uint8_t *map, uint32_t k)
{
	return map[k / 8] >> (k % 8) & 1;
}

static void set_bit(uint8_t *map, uint32_t k, bool on)
{
	map[k / 8] = (uint8_t)((map[k / 8] & ~(1u << (k % 8))) | (unsigned)on << (k % 8));
}

static uint32_t per_group(const struct ext4 *fs)
{
	return fs->blocks_per_group >> fs->cluster_bits;
}

static void fill(const struct ext4 *fs, uint8_t *map, uint32_t from)
{
	for (uint32_t k = from; k < fs->block_size * 8; k++)
		set_bit(map, k, true);
}

/* A bitmap that was never written has nothing but metadata in it. */
static void make_blocks(struct fc *f, uint32_t g, uint8_t *map)
{
	struct ext4 *fs = f->fs;
	uint64_t first = ext4_group_first(fs, g), end = first + fs->blocks_per_group;

	memset(map, 0, fs->block_size);
	for (size_t k = 0; k < fs->n_areas; k++) {
		const struct ext4_area *a = &fs->area[k];
		uint64_t from = a->block > first ? a->block : first;
		uint64_t to = a->block + a->n < end ? a->block + a->n : end;

		for (; from < to; from++)
			set_bit(map, (uint32_t)(from - first) >> fs->cluster_bits, true);
	}
	if (end > fs->blocks)
		fill(fs, map, (uint32_t)((fs->blocks - first - 1) >> fs->cluster_bits) + 1);
	fill(fs, map, per_group(fs));
}

static uint32_t map_sum(const struct ext4 *fs, const uint8_t *map, uint32_t bits)
{
	uint32_t sum = sum_crc32c(fs->seed, map, bits / 8);

	return fs->desc_size < EXT4_DESC_64 ? sum & 0xffff : sum;
}

/* -EIO: lost, which is no failure here. */
static int patch(struct fc *f, uint64_t block, uint8_t **buf)
{
	int r = ext4_block_ok(f->fs, block) ? ext4_patch(f->fs, block, buf) : -EIO;

	if (r)
		*buf = NULL;
	return r == -EIO ? 0 : r;
}

static void ready(struct fc *f, uint32_t g, struct fc_group *s)
{
	struct ext4 *fs = f->fs;
	struct ext4_group gr = ext4_group(fs, g);
	struct ext4_desc *d = (void *)s->desc;
	uint16_t flags = fs->gd_sums && gr.fresh ? gr.flags : 0;

	s->desc_ok = d && ext4_group_sum(fs, g, s->desc) == le16(d->checksum);
	s->block_ok = s->blocks && map_sum(fs, s->blocks, per_group(fs)) == gr.block_csum;
	s->inode_ok = s->inodes && map_sum(fs, s->inodes, fs->inodes_per_group) == gr.inode_csum;
	if (s->blocks && flags & EXT4_BG_BLOCK_UNINIT) {
		make_blocks(f, g, s->blocks);
		s->block_ok = true;
	}
	if (s->inodes && flags & EXT4_BG_INODE_UNINIT) {
		memset(s->inodes, 0, fs->block_size);
		fill(fs, s->inodes, fs->inodes_per_group);
		s->inode_ok = true;
	}
	if (d && flags)
		d->flags = to_le16(flags & ~(EXT4_BG_BLOCK_UNINIT | EXT4_BG_INODE_UNINIT));
	if (d && flags & EXT4_BG_INODE_UNINIT) {
		d->unused_lo = to_le16((uint16_t)fs->inodes_per_group);
		if (fs->desc_size >= EXT4_DESC_64)
			d->unused_hi = to_le16((uint16_t)(fs->inodes_per_group >> 16));
	}
}

static int group(struct fc *f, uint32_t g, struct fc_group **to)
{
	struct ext4 *fs = f->fs;
	struct fc_group *s = &f->groups[g];
	struct ext4_group gr = ext4_group(fs, g);
	uint32_t i = g / fs->descs_per_block;
	uint8_t *descs = NULL;
	int r = 0;

	*to = s;
	if (s->loaded)
		return 0;
	s->loaded = true;
	/* Copies are from mkfs, and their counts with them. */
	if (fs->gdt_state[i] == EXT4_GDT_FIRST)
		r = patch(f, ext4_gdt_block(fs, i, 0), &descs);
	if (descs)
		s->desc = descs + (size_t)(g % fs->descs_per_block) * fs->desc_size;
	if (!r)
		r = patch(f, gr.block_bitmap, &s->blocks);
	if (!r)
		r = patch(f, gr.inode_bitmap, &s->inodes);
	if (!r)
		ready(f, g, s);
	return r;
}

/* A number of a descriptor, in two halves; the high one only where there is room for it. */
static void count(const struct fc *f, le16_t *lo, le16_t *hi, int64_t by)
{
	bool wide = f->fs->desc_size >= EXT4_DESC_64;
	uint32_t v = le16(*lo) | (wide ? (uint32_t)le16(*hi) << 16 : 0);

	v = (uint32_t)(v + by);
	*lo = to_le16((uint16_t)v);
	if (wide)
		*hi = to_le16((uint16_t)(v >> 16));
}

int fc_mark_blocks(struct fc *f, uint64_t block, uint64_t n, bool used)
{
	struct ext4 *fs = f->fs;
	int r = fc_spend(f, n >> fs->cluster_bits);

	for (uint64_t k = 0; !r && k < n; k++) {
		uint64_t at = block + k - fs->first_block;
		uint32_t in = (uint32_t)(at % fs->blocks_per_group) >> fs->cluster_bits;
		struct fc_group *s;

		if (!ext4_block_ok(fs, block + k))
			break;
		r = group(f, (uint32_t)(at / fs->blocks_per_group), &s);
		if (r || !s->blocks || bit(s->blocks, in) == used)
			continue;
		set_bit(s->blocks, in, used);
		if (s->desc) {
			struct ext4_desc *d = (void *)s->desc;

			count(f, &d->free_blocks_lo, &d->free_blocks_hi, used ? -1 : 1);
		}
	}
	return r;
}

int fc_mark_inode(struct fc *f, uint32_t ino, bool used, bool dir)
{
	struct ext4 *fs = f->fs;
	uint32_t in = (ino - 1) % fs->inodes_per_group;
	struct fc_group *s;
	struct ext4_desc *d;
	uint32_t left;
	int r = group(f, (ino - 1) / fs->inodes_per_group, &s);

	if (r || !s->inodes || bit(s->inodes, in) == used)
		return r;
	set_bit(s->inodes, in, used);
	d = (void *)s->desc;
	if (!d)
		return 0;
	count(f, &d->free_inodes_lo, &d->free_inodes_hi, used ? -1 : 1);
	if (dir)
		count(f, &d->used_dirs_lo, &d->used_dirs_hi, used ? 1 : -1);
	/* Inodes behind the last one that was ever used are not even read. */
	left = le16(d->unused_lo) |
	       (fs->desc_size >= EXT4_DESC_64 ? (uint32_t)le16(d->unused_hi) << 16 : 0);
	if (fs->gd_sums && used && left > fs->inodes_per_group - in - 1)
		count(f, &d->unused_lo, &d->unused_hi,
		      (int64_t)(fs->inodes_per_group - in - 1) - left);
	return 0;
}

int fc_alloc(struct fc *f, uint64_t *block)
{
	struct ext4 *fs = f->fs;
	uint64_t step = (uint64_t)1 << fs->cluster_bits;
	int r = 0;

	for (; !r && f->goal < fs->blocks; f->goal += step) {
		uint64_t at = f->goal - fs->first_block;
		struct fc_group *s;

		r = group(f, (uint32_t)(at / fs->blocks_per_group), &s);
		if (!r)
			r = fc_spend(f, 1);
		if (r || !s->blocks ||
		    bit(s->blocks, (uint32_t)(at % fs->blocks_per_group) >> fs->cluster_bits))
			continue;
		*block = f->goal;
		return fc_mark_blocks(f, *block, 1, true);
	}
	return r ? r : -ENOSPC;
}

void fc_groups_done(struct fc *f)
{
	struct ext4 *fs = f->fs;

	for (uint32_t g = 0; g < fs->groups; g++) {
		struct fc_group *s = &f->groups[g];
		struct ext4_desc *d = (void *)s->desc;
		uint32_t sum;

		if (!d)
			continue;
		if (fs->sums && s->block_ok) {
			sum = map_sum(fs, s->blocks, per_group(fs));
			d->block_csum_lo = to_le16((uint16_t)sum);
			if (fs->desc_size >= EXT4_DESC_64)
				d->block_csum_hi = to_le16((uint16_t)(sum >> 16));
		}
		if (fs->sums && s->inode_ok) {
			sum = map_sum(fs, s->inodes, fs->inodes_per_group);
			d->inode_csum_lo = to_le16((uint16_t)sum);
			if (fs->desc_size >= EXT4_DESC_64)
				d->inode_csum_hi = to_le16((uint16_t)(sum >> 16));
		}
		if (fs->gd_sums && s->desc_ok)
			d->checksum = to_le16(ext4_group_sum(fs, g, s->desc));
	}
}
