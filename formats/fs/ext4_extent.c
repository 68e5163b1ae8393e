/* SPDX-License-Identifier: Apache-2.0 */
/* Where the blocks of a file lie: extent trees, block maps, inline data. */
#include <errno.h>
#include <string.h>

#include "formats/fs/ext4_fs.h"

enum { DIRECT = 12, LEVELS_MAX = 16 };

struct walk {
	struct ext4 *fs;
	const struct ext4_inode *i;
	uint64_t *budget; /* blocks of trees that may still be read */
	uint64_t last;	  /* logical block behind the highest one there can be */
	int (*fn)(void *arg, const struct ext4_run *r);
	void *arg;
};

/* [lblk, end) is lost, for what the entry at @at says. */
static int lost(struct walk *w, uint64_t lblk, uint64_t end, uint64_t block, uint64_t at,
		uint32_t at_len, const char *what)
{
	struct ext4_run r = {.kind = EXT4_RUN_LOST,
			     .lblk = lblk,
			     .len = end > lblk ? end - lblk : 0,
			     .block = block,
			     .at = at,
			     .at_len = at_len,
			     .what = what};

	return w->fn(w->arg, &r);
}

static int extent_node(struct walk *w, const uint8_t *raw, uint32_t len, uint64_t at,
		       unsigned levels, uint64_t lblk, uint64_t end, bool root);

/* The subtree that index entry @x, at address @at, points to: logical blocks [lblk, end). */
static int extent_child(struct walk *w, const struct ext4_extent_idx *x, uint64_t at,
			unsigned levels, uint64_t lblk, uint64_t end)
{
	uint64_t block = le32(x->leaf_lo) | (uint64_t)le16(x->leaf_hi) << 32;
	struct ext4 *fs = w->fs;
	const struct cache_item *it;
	struct ext4_run node = {.kind = EXT4_RUN_NODE,
				.lblk = lblk,
				.block = block,
				.depth = levels,
				.at = at,
				.at_len = sizeof(*x)};
	int r;

	if (!ext4_block_ok(fs, block))
		return lost(w, lblk, end, block, at, sizeof(*x),
			    "an extent index points outside the file system");
	if (!*w->budget)
		return lost(w, lblk, end, block, at, sizeof(*x),
			    "the extent tree is larger than the file system");
	--*w->budget;
	it = ext4_get(fs, block);
	if (!it)
		return -ENOMEM;
	if (it->bad.n) {
		r = lost(w, lblk, end, block, at, sizeof(*x), "a block of the extent tree is lost");
	} else {
		node.raw = it->buf;
		node.raw_len = fs->block_size;
		r = w->fn(w->arg, &node);
		if (!r)
			r = extent_node(w, it->buf, fs->block_size, ext4_at(fs, block), levels,
					lblk, end, false);
	}
	ext4_put(fs, it);
	return r;
}

static int extent_leaf(struct walk *w, const struct ext4_extent *e, uint64_t at)
{
	uint32_t len = le16(e->len);
	struct ext4_run r = {
		.kind = len > EXT4_EXTENT_MAX_LEN ? EXT4_RUN_UNWRITTEN : EXT4_RUN_DATA,
		.lblk = le32(e->block),
		.len = len > EXT4_EXTENT_MAX_LEN ? len - EXT4_EXTENT_MAX_LEN : len,
		.block = le32(e->start_lo) | (uint64_t)le16(e->start_hi) << 32,
		.at = at,
		.at_len = sizeof(*e),
	};

	return w->fn(w->arg, &r);
}

static int extent_node(struct walk *w, const uint8_t *raw, uint32_t len, uint64_t at,
		       unsigned levels, uint64_t lblk, uint64_t end, bool root)
{
	const struct ext4_extent_header *h = (const void *)raw;
	uint32_t n = le16(h->entries), fit = (len - sizeof(*h)) / sizeof(struct ext4_extent);
	unsigned depth = le16(h->depth);
	int r = 0;

	if (le16(h->magic) != EXT4_EXTENT_MAGIC || (!root && depth + 1 != levels) ||
	    depth >= LEVELS_MAX)
		return lost(
			w, lblk, end, 0, at, sizeof(*h),
			le16(h->magic) != EXT4_EXTENT_MAGIC
				? "a block of the extent tree has no magic number"
				: "a block of the extent tree states another depth than its place");
	if (n > fit)
		n = fit;
	for (uint32_t k = 0; k < n && !r; k++) {
		uint32_t off = (uint32_t)(sizeof(*h) + k * sizeof(struct ext4_extent));
		const struct ext4_extent_idx *x = (const void *)(raw + off);
		uint64_t next = end;

		if (!depth) {
			r = extent_leaf(w, (const void *)(raw + off), at + off);
			continue;
		}
		if (k + 1 < n)
			next = le32(x[1].block);
		r = extent_child(w, x, at + off, depth, le32(x->block), next);
	}
	return r;
}

/* Logical blocks that one entry of a block map stands for, @level levels above the data. */
static uint64_t span_of(const struct ext4 *fs, unsigned level)
{
	return (uint64_t)1 << (level * (fs->block_bits - 2));
}

/* Entries of a map, at address @at, joined to runs where they follow each other. */
static int map_level(struct walk *w, const uint8_t *raw, uint32_t n, uint64_t at, unsigned level,
		     uint64_t lblk);

static int map_child(struct walk *w, uint64_t block, uint64_t at, unsigned level, uint64_t lblk)
{
	struct ext4 *fs = w->fs;
	const struct cache_item *it;
	struct ext4_run node = {.kind = EXT4_RUN_NODE,
				.lblk = lblk,
				.block = block,
				.depth = level,
				.at = at,
				.at_len = 4};
	uint64_t end = lblk + span_of(fs, level);
	int r;

	if (end > w->last)
		end = w->last;
	if (!ext4_block_ok(fs, block))
		return lost(w, lblk, end, block, at, 4,
			    "an indirect block lies outside the file system");
	if (!*w->budget)
		return lost(w, lblk, end, block, at, 4,
			    "the block map is larger than the file system");
	--*w->budget;
	it = ext4_get(fs, block);
	if (!it)
		return -ENOMEM;
	if (it->bad.n) {
		r = lost(w, lblk, end, block, at, 4, "an indirect block is lost");
	} else {
		node.raw = it->buf;
		node.raw_len = fs->block_size;
		r = w->fn(w->arg, &node);
		if (!r)
			r = map_level(w, it->buf, fs->block_size / 4, ext4_at(fs, block), level - 1,
				      lblk);
	}
	ext4_put(fs, it);
	return r;
}

static int map_level(struct walk *w, const uint8_t *raw, uint32_t n, uint64_t at, unsigned level,
		     uint64_t lblk)
{
	const le32_t *v = (const void *)raw;
	struct ext4_run run = {.kind = EXT4_RUN_DATA};
	int r = 0;

	for (uint32_t k = 0; k < n && !r; k++, lblk += span_of(w->fs, level)) {
		uint32_t block = le32(v[k]);

		if (level) {
			if (block)
				r = map_child(w, block, at + k * 4, level, lblk);
			continue;
		}
		if (run.len && block && block == run.block + run.len &&
		    lblk == run.lblk + run.len) {
			run.len++;
			run.at_len += 4;
			continue;
		}
		if (run.len)
			r = w->fn(w->arg, &run);
		run.lblk = lblk;
		run.block = block;
		run.len = block != 0;
		run.at = at + k * 4;
		run.at_len = 4;
	}
	if (!r && run.len)
		r = w->fn(w->arg, &run);
	return r;
}

static int block_map(struct walk *w)
{
	uint64_t at = w->i->at + offsetof(struct ext4_dinode, block), lblk = DIRECT;
	int r = map_level(w, w->i->block, DIRECT, at, 0, 0);

	for (unsigned level = 1; level <= 3 && !r; level++) {
		uint32_t off = (DIRECT + level - 1) * 4;

		r = map_level(w, w->i->block + off, 1, at + off, level, lblk);
		lblk += span_of(w->fs, level);
	}
	return r;
}

int ext4_map(struct ext4 *fs, const struct ext4_inode *i, uint64_t *budget,
	     int (*fn)(void *arg, const struct ext4_run *r), void *arg)
{
	struct walk w = {fs, i, budget, UINT32_MAX, fn, arg};
	struct ext4_run root = {.kind = EXT4_RUN_NODE,
				.at = i->at + offsetof(struct ext4_dinode, block),
				.at_len = sizeof(((struct ext4_dinode *)0)->block),
				.raw = i->block,
				.raw_len = sizeof(((struct ext4_dinode *)0)->block)};
	int r;

	if (!ext4_inode_has_map(fs, i))
		return 0;
	if (!(i->flags & EXT4_F_EXTENTS))
		return block_map(&w);
	r = fn(arg, &root);
	return r ? r : extent_node(&w, root.raw, root.raw_len, root.at, 0, 0, w.last, true);
}

struct to_runs {
	struct ext4 *fs;
	struct fs_runs *runs;
	uint64_t left; /* blocks; a file has no more than the volume, unless it repeats itself */
};

static int add_run(struct to_runs *t, uint64_t off, uint64_t len, enum extent_kind kind,
		   uint64_t at)
{
	struct fs_run f = {off, len, kind, EXT4_EXTENT_BAD, at};
	const struct fs_run *last = t->runs->n ? &t->runs->v[t->runs->n - 1] : NULL;

	/* What a damaged tree maps twice: the first says it. */
	if (last && f.off < last->off + last->len) {
		uint64_t skip = last->off + last->len - f.off;

		if (skip >= f.len)
			return 0;
		f.off += skip;
		f.len -= skip;
		f.at += skip;
	}
	return fs_runs_add(t->runs, &f);
}

/* Blocks that the journal has newer copies of, one by one; what lies between them as it is. */
static int add_data(struct to_runs *t, const struct ext4_run *run)
{
	struct ext4 *fs = t->fs;
	uint64_t k = 0;
	int r = 0;

	while (!r && k < run->len) {
		uint64_t n = 1, off = (run->lblk + k) << fs->block_bits;
		uint64_t at = ext4_at(fs, run->block + k);
		const struct ext4_newer *newer = ext4_newer(fs, run->block + k);

		if (!fs->j.n_newer)
			n = run->len;
		if (newer && newer->escaped) {
			/* Its first four bytes are the journal's magic: its superblock has them. */
			r = add_run(t, off, 4, EXTENT_DATA, fs->j.blocks[0] << fs->block_bits);
			if (!r)
				r = add_run(t, off + 4, fs->block_size - 4, EXTENT_DATA, at + 4);
		} else {
			r = add_run(t, off, n << fs->block_bits, EXTENT_DATA, at);
		}
		k += n;
	}
	return r;
}

static int collect(void *arg, const struct ext4_run *run)
{
	struct to_runs *t = arg;
	struct ext4 *fs = t->fs;
	uint64_t off = run->lblk << fs->block_bits, len = run->len << fs->block_bits;

	switch (run->kind) {
	case EXT4_RUN_NODE: return 0;
	case EXT4_RUN_LOST: return add_run(t, off, len, EXTENT_LOST, 0);
	case EXT4_RUN_UNWRITTEN: return add_run(t, off, len, EXTENT_ZERO, 0);
	case EXT4_RUN_DATA: break;
	}
	if (!ext4_block_ok(fs, run->block) || run->len > fs->blocks - run->block ||
	    run->len > t->left)
		return add_run(t, off, len, EXTENT_LOST, 0);
	t->left -= run->len;
	return add_data(t, run);
}

/* Inline data: 60 bytes in i_block, then an attribute's value. */
static int inline_runs(const struct ext4_inode *i, struct fs_runs *runs)
{
	struct fs_run f = {.kind = EXTENT_DATA,
			   .len = sizeof(((struct ext4_dinode *)0)->block),
			   .at = i->at + offsetof(struct ext4_dinode, block)};
	const uint8_t *more;
	uint32_t len;
	uint64_t at;
	int r = fs_runs_add(runs, &f);

	ext4_inline(i, &more, &len, &at);
	if (!r && more && len) {
		f.off = f.len;
		f.len = len;
		f.at = at;
		r = fs_runs_add(runs, &f);
	}
	/* What i_size has beyond them reads as zeros, for the kernel too. */
	return r;
}

int ext4_runs(struct ext4 *fs, const struct ext4_inode *i, struct fs_runs *runs)
{
	struct to_runs t = {fs, runs, fs->blocks};
	uint64_t budget = fs->blocks;

	if (i->flags & EXT4_F_INLINE_DATA)
		return inline_runs(i, runs);
	if (ext4_symlink_fast(fs, i)) {
		struct fs_run f = {0, i->size, EXTENT_DATA, 0,
				   i->at + offsetof(struct ext4_dinode, block)};

		return fs_runs_add(runs, &f);
	}
	return ext4_map(fs, i, &budget, collect, &t);
}
