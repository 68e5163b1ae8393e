/* SPDX-License-Identifier: Apache-2.0 */
/* Whose the blocks are: one pass over the metadata for any number of questions. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ext4_fs.h"

/* A place of metadata outside of files, in blocks. */
struct area {
	uint64_t block, n;
	const char *what;
	uint32_t group;
};

/* The areas of group @g; how many. */
static unsigned group_areas(const struct ext4 *fs, uint32_t g, struct area a[5])
{
	struct ext4_group gr = ext4_group(fs, g);
	uint64_t first = g ? ext4_group_first(fs, g) : (uint64_t)(fs->block_size == EXT4_SUPER_AT);
	uint32_t base = ext4_base_blocks(fs, g);
	unsigned n = 0;

	if (ext4_has_super(fs, g)) {
		a[n++] = (struct area){first, 1, g ? "copy of the superblock" : "superblock", g};
		first++;
		base--;
	}
	if (base)
		a[n++] = (struct area){first, base, "group descriptors", g};
	a[n++] = (struct area){gr.block_bitmap, 1, "block bitmap", g};
	a[n++] = (struct area){gr.inode_bitmap, 1, "inode bitmap", g};
	a[n++] = (struct area){gr.inode_table, fs->table_blocks, "inode table", g};
	return n;
}

static void name_area(const struct area *a, char *name, size_t cap)
{
	snprintf(name, cap, "%s of group %" PRIu32, a->what, a->group);
}

bool ext4_structure(struct layer *l, uint64_t at, char *name, size_t cap, uint64_t *start,
		    uint64_t *len)
{
	const struct ext4 *fs = l->priv;
	uint64_t block = at >> fs->block_bits;

	if (at >= EXT4_SUPER_AT && at < EXT4_SUPER_AT + EXT4_SUPER_LEN) {
		snprintf(name, cap, "superblock");
		*start = EXT4_SUPER_AT;
		*len = EXT4_SUPER_LEN;
		return true;
	}
	for (uint32_t g = 0; g < fs->groups; g++) {
		struct area a[5];
		unsigned n = group_areas(fs, g, a);

		for (unsigned k = 0; k < n; k++) {
			if (block < a[k].block || block - a[k].block >= a[k].n)
				continue;
			*start = a[k].block << fs->block_bits;
			*len = a[k].n << fs->block_bits;
			if (a[k].n != fs->table_blocks || strcmp(a[k].what, "inode table")) {
				name_area(&a[k], name, cap);
				return true;
			}
			*start += (at - *start) / fs->inode_size * fs->inode_size;
			*len = fs->inode_size;
			snprintf(name, cap, "inode %" PRIu64,
				 (uint64_t)g * fs->inodes_per_group +
					 (*start - (a[k].block << fs->block_bits)) /
						 fs->inode_size +
					 1);
			return true;
		}
	}
	return false;
}
