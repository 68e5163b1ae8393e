/* SPDX-License-Identifier: Apache-2.0 */
/* Where metadata lies that is in no file: a sorted list, for questions by address. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/fs/ext4_fs.h"

enum {
	GROUPS_MAX = 1 << 20
}; /* 128 TiB of blocks of 4 KiB; the list takes 24 bytes for each area */

static void add(struct ext4 *fs, uint64_t block, uint64_t n, enum ext4_area_kind kind, uint32_t g)
{
	if (!n || !ext4_block_ok(fs, block) || n > fs->blocks - block)
		return;
	fs->area[fs->n_areas++] = (struct ext4_area){block, (uint32_t)n, g, kind};
}

static void add_group(struct ext4 *fs, uint32_t g)
{
	struct ext4_group gr = ext4_group(fs, g);
	uint64_t first = g ? ext4_group_first(fs, g) : (uint64_t)(fs->block_size == EXT4_SUPER_AT);
	uint32_t base = ext4_base_blocks(fs, g), super = ext4_has_super(fs, g);

	if (super)
		add(fs, first, 1, EXT4_AREA_SUPER, g);
	if (base > super)
		add(fs, first + super, base - super, EXT4_AREA_DESCS, g);
	add(fs, gr.block_bitmap, 1, EXT4_AREA_BLOCK_BITMAP, g);
	add(fs, gr.inode_bitmap, 1, EXT4_AREA_INODE_BITMAP, g);
	add(fs, gr.inode_table, fs->table_blocks, EXT4_AREA_TABLE, g);
}

static int by_block(const void *a, const void *b)
{
	const struct ext4_area *x = a, *y = b;

	return x->block < y->block ? -1 : x->block > y->block;
}

int ext4_areas_load(struct ext4 *fs)
{
	if (fs->groups > GROUPS_MAX)
		return 0;
	fs->area = calloc((size_t)fs->groups * 5 + 1, sizeof(*fs->area));
	if (!fs->area)
		return -ENOMEM;
	/* Block 0 belongs to nobody else where the first superblock's block is another. */
	if (fs->block_size == EXT4_SUPER_AT)
		fs->area[fs->n_areas++] = (struct ext4_area){0, 1, 0, EXT4_AREA_BOOT};
	for (uint32_t g = 0; g < fs->groups; g++)
		add_group(fs, g);
	qsort(fs->area, fs->n_areas, sizeof(*fs->area), by_block);
	return 0;
}

const struct ext4_area *ext4_area_at(const struct ext4 *fs, uint64_t block)
{
	size_t lo = 0, hi = fs->n_areas;

	/* The last one that begins at @block or before. */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (fs->area[mid].block <= block)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && block - fs->area[lo - 1].block < fs->area[lo - 1].n ? &fs->area[lo - 1] : NULL;
}

void ext4_area_name(const struct ext4_area *a, char *name, size_t cap)
{
	static const char *const what[] = {
		[EXT4_AREA_BOOT] = "boot block",
		[EXT4_AREA_SUPER] = "superblock",
		[EXT4_AREA_DESCS] = "group descriptors",
		[EXT4_AREA_BLOCK_BITMAP] = "block bitmap",
		[EXT4_AREA_INODE_BITMAP] = "inode bitmap",
		[EXT4_AREA_TABLE] = "inode table",
	};

	if (a->kind == EXT4_AREA_BOOT || (a->kind == EXT4_AREA_SUPER && !a->group))
		snprintf(name, cap, "%s", what[a->kind]);
	else if (a->kind == EXT4_AREA_SUPER || a->kind == EXT4_AREA_DESCS)
		snprintf(name, cap, "%s%s in group %" PRIu32, a->group ? "copy of the " : "",
			 what[a->kind], a->group);
	else
		snprintf(name, cap, "%s of group %" PRIu32, what[a->kind], a->group);
}

bool ext4_structure(struct layer *l, uint64_t at, char *name, size_t cap, uint64_t *start,
		    uint64_t *len)
{
	const struct ext4 *fs = l->priv;
	const struct ext4_area *a = ext4_area_at(fs, at >> fs->block_bits);
	uint64_t k;

	if (!a)
		return false;
	*start = a->block << fs->block_bits;
	*len = (uint64_t)a->n << fs->block_bits;
	k = (at - *start) / fs->inode_size;
	if (a->kind != EXT4_AREA_TABLE || k >= fs->inodes_per_group) {
		ext4_area_name(a, name, cap);
		return true;
	}
	*start += k * fs->inode_size;
	*len = fs->inode_size;
	snprintf(name, cap, "inode %" PRIu64, (uint64_t)a->group * fs->inodes_per_group + k + 1);
	return true;
}
