/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that were deleted. What ext4 leaves in their inodes is little, for it empties the extent
 * tree; but the journal keeps copies of inode tables and directories from before, until its next
 * round writes over them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ext4_fs.h"

struct find {
	struct ext4 *fs;
	struct ext4_tree *t;
	const struct ext4_dir_run *runs; /* of directories, by block */
	size_t n_runs, old_cap;
	uint8_t *buf;
	int (*add)(void *arg, const struct ext4_name *n);
	void *arg;
};

static int add_old(struct find *f, const struct ext4_inode *i, uint32_t sequence)
{
	struct ext4_tree *t = f->t;
	size_t cap = f->old_cap ? f->old_cap * 2 : 256;
	struct ext4_old *more;

	if (t->n_old == f->old_cap) {
		more = realloc(t->old, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		t->old = more;
		f->old_cap = cap;
	}
	t->old[t->n_old++] = (struct ext4_old){i->ino, i->generation, sequence, i->at};
	return 0;
}

/* A block of an inode table as it was: every file in it is noted. */
static int old_inodes(struct find *f, const struct ext4_area *a, const struct ext4_copy *c)
{
	struct ext4 *fs = f->fs;
	uint64_t first = ((c->block - a->block) << fs->block_bits) / fs->inode_size;
	int r = 0;

	for (uint32_t off = 0; off < fs->block_size && !r; off += fs->inode_size, first++) {
		struct ext4_inode i;

		if (first >= fs->inodes_per_group)
			break;
		ext4_inode_decode(fs, a->group * fs->inodes_per_group + (uint32_t)first + 1,
				  f->buf + off, (c->at << fs->block_bits) + off, &i);
		if (i.links && i.ino >= fs->first_ino && ext4_inode_sum_ok(fs, &i) &&
		    (ext4_is(&i, EXT4_S_REG) || ext4_is(&i, EXT4_S_LNK)))
			r = add_old(f, &i, c->sequence);
	}
	return r;
}

static uint32_t dir_of(const struct find *f, uint64_t block)
{
	size_t lo = 0, hi = f->n_runs;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (f->runs[mid].block <= block)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && block - f->runs[lo - 1].block < f->runs[lo - 1].len ? f->runs[lo - 1].dir : 0;
}

/* The first block of a directory says whose it is. */
static uint32_t stated_dir(const struct ext4 *fs, const uint8_t *raw)
{
	const struct ext4_dirent *dot = (const void *)raw, *two = (const void *)(raw + 12);

	if (le16(dot->rec_len) == 12 && dot->name_len == 1 && raw[8] == '.' && two->name_len == 2 &&
	    raw[20] == '.' && raw[21] == '.' && le32(dot->inode) <= fs->inodes)
		return le32(dot->inode);
	return 0;
}

static int as_deleted(void *arg, const struct ext4_name *n)
{
	struct find *f = arg;
	struct ext4_name d = *n;

	d.deleted = true;
	return f->add(f->arg, &d);
}

static int one_copy(void *arg, const struct ext4_copy *c)
{
	struct find *f = arg;
	struct ext4 *fs = f->fs;
	const struct ext4_area *a = ext4_area_at(fs, c->block);
	struct ranges bad = {0};
	uint32_t dir;
	int r;

	if (a && a->kind != EXT4_AREA_TABLE)
		return 0;
	r = layer_read(fs->l->below, c->at << fs->block_bits, f->buf, fs->block_size, &bad);
	if (!r && !bad.n) {
		dir = a ? 0 : dir_of(f, c->block);
		if (!a && !dir)
			dir = stated_dir(fs, f->buf);
		if (a)
			r = old_inodes(f, a, c);
		else if (dir)
			r = ext4_dir_block(fs, dir, f->buf, fs->block_size, c->at << fs->block_bits,
					   true, as_deleted, f);
	}
	ranges_free(&bad);
	return r;
}

static int by_ino(const void *a, const void *b)
{
	const struct ext4_old *x = a, *y = b;

	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	if (x->sequence != y->sequence) /* the newest first */
		return (int32_t)(y->sequence - x->sequence) < 0 ? -1 : 1;
	return x->ref > y->ref ? -1 : x->ref < y->ref;
}

/* One copy of each inode: the newest that is not of the file that is there now. */
static int keep_deleted(struct find *f)
{
	struct ext4 *fs = f->fs;
	struct ext4_tree *t = f->t;
	uint8_t *raw = malloc(fs->inode_size);
	size_t n = 0;
	int r = raw ? 0 : -ENOMEM;

	if (t->n_old)
		qsort(t->old, t->n_old, sizeof(*t->old), by_ino);
	for (size_t k = 0; k < t->n_old && !r; k++) {
		struct ext4_inode now;
		int err;

		if (n && t->old[n - 1].ino == t->old[k].ino)
			continue;
		err = ext4_inode_read(fs, t->old[k].ino, raw, &now);
		if (err && err != -EIO && err != -ENOENT)
			r = err;
		else if (err || !ext4_inode_in_use(&now) || now.generation != t->old[k].generation)
			t->old[n++] = t->old[k];
	}
	t->n_old = n;
	free(raw);
	return r;
}

int ext4_deleted_find(struct ext4_tree *t, const struct ext4_dir_run *runs, size_t n_runs,
		      int (*add)(void *arg, const struct ext4_name *n), void *arg)
{
	struct find f = {.fs = t->fs,
			 .t = t,
			 .runs = runs,
			 .n_runs = n_runs,
			 .buf = malloc(t->fs->block_size),
			 .add = add,
			 .arg = arg};
	int r = f.buf ? ext4_journal_each(t->fs, one_copy, &f) : -ENOMEM;

	if (!r)
		r = keep_deleted(&f);
	free(f.buf);
	return r;
}

const struct ext4_old *ext4_old(const struct ext4_tree *t, uint32_t ino)
{
	size_t lo = 0, hi = t->n_old;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->old[mid].ino < ino)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < t->n_old && t->old[lo].ino == ino ? &t->old[lo] : NULL;
}

struct count {
	struct ext4 *fs;
	uint64_t stored, used;
};

/* Is the block in use by what the bitmap says? */
static bool in_use(struct ext4 *fs, uint64_t block)
{
	uint64_t k = block - fs->first_block;
	uint32_t g = (uint32_t)(k / fs->blocks_per_group);
	struct ext4_group gr = ext4_group(fs, g);
	const struct cache_item *it;
	uint32_t bit = (uint32_t)(k % fs->blocks_per_group) >> fs->cluster_bits;
	bool used;

	if (fs->gd_sums && gr.fresh && gr.flags & EXT4_BG_BLOCK_UNINIT)
		return ext4_area_at(fs, block) != NULL;
	it = ext4_get(fs, gr.block_bitmap);
	used = it && it->buf[bit / 8] >> bit % 8 & 1;
	ext4_put(fs, it);
	return used;
}

static int count_run(void *arg, const struct ext4_run *run)
{
	struct count *c = arg;
	struct ext4 *fs = c->fs;

	if ((run->kind != EXT4_RUN_DATA && run->kind != EXT4_RUN_UNWRITTEN) ||
	    !ext4_block_ok(fs, run->block) || run->len > fs->blocks - run->block)
		return 0;
	c->stored += run->len << fs->block_bits;
	for (uint64_t k = 0; k < run->len; k++)
		c->used += in_use(fs, run->block + k) ? fs->block_size : 0;
	return 0;
}

int ext4_deleted_state(struct ext4 *fs, const struct ext4_inode *i, struct fs_entry *e)
{
	struct count c = {.fs = fs};
	uint64_t budget = fs->blocks;
	int r = ext4_map(fs, i, &budget, count_run, &c);

	if (ext4_inode_has_map(fs, i))
		e->stored = c.stored;
	e->overwritten = c.used;
	/* Its blocks are free: nobody has written there, as far as can be known. */
	if (e->data_sure == FS_SURE)
		e->data_sure = c.used || (!c.stored && i->size && ext4_inode_has_map(fs, i))
				       ? FS_GUESSED
				       : FS_REBUILT;
	if (c.used && c.used == c.stored)
		e->data_sure = FS_GONE;
	return r;
}
