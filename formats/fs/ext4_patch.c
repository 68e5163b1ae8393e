/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks that are changed in memory: what fast commits make of the volume. */
#include <errno.h>
#include <stdlib.h>

#include "formats/fs/ext4_fs.h"

enum { PATCHES_MAX = 256 << 20 }; /* bytes */

static size_t slot_of(const struct ext4_patches *p, uint64_t block)
{
	size_t k = (size_t)(block * 0x9e3779b97f4a7c15u >> 32) & (p->cap - 1);

	while (p->slot[k].buf && p->slot[k].block != block)
		k = (k + 1) & (p->cap - 1);
	return k;
}

const uint8_t *ext4_patched(const struct ext4 *fs, uint64_t block)
{
	const struct ext4_patches *p = &fs->patch;

	return p->n && !p->off ? p->slot[slot_of(p, block)].buf : NULL;
}

static int grow(struct ext4_patches *p)
{
	struct ext4_patches more = {.cap = p->cap ? p->cap * 2 : 64};

	if (p->n * 2 < p->cap)
		return 0;
	more.slot = calloc(more.cap, sizeof(*more.slot));
	if (!more.slot)
		return -ENOMEM;
	for (size_t k = 0; k < p->cap; k++)
		if (p->slot[k].buf)
			more.slot[slot_of(&more, p->slot[k].block)] = p->slot[k];
	free(p->slot);
	p->slot = more.slot;
	p->cap = more.cap;
	return 0;
}

int ext4_patch(struct ext4 *fs, uint64_t block, uint8_t **buf)
{
	struct ext4_patches *p = &fs->patch;
	struct ranges bad = {0};
	int r = grow(p);
	size_t k;

	if (r)
		return r;
	k = slot_of(p, block);
	*buf = p->slot[k].buf;
	if (*buf)
		return 0;
	if (p->n >= (size_t)PATCHES_MAX >> fs->block_bits)
		return -EFBIG;
	*buf = malloc(fs->block_size);
	if (!*buf)
		return -ENOMEM;
	r = ext4_read(fs, block, 1, *buf, &bad);
	if (!r && bad.n)
		r = -EIO;
	ranges_free(&bad);
	if (r) {
		free(*buf);
		return r;
	}
	p->slot[k] = (struct ext4_patch){block, *buf};
	p->n++;
	return 0;
}

uint64_t ext4_patch_at(const struct ext4 *fs, uint32_t ino, uint64_t at)
{
	const struct ext4_patches *p = &fs->patch;
	size_t lo = 0, hi = p->off ? 0 : p->n_ino;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (p->ino[mid].ino < ino)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < p->n_ino && !p->off && p->ino[lo].ino == ino ? p->ino[lo].at : at;
}

void ext4_patches_free(struct ext4 *fs)
{
	for (size_t k = 0; k < fs->patch.cap; k++)
		free(fs->patch.slot[k].buf);
	free(fs->patch.slot);
	free(fs->patch.ino);
	fs->patch = (struct ext4_patches){0};
}
