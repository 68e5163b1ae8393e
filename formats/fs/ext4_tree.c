/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All names at once. Directories are found, level by level from the root where the descriptors'
 * counts prove that this finds them all, otherwise in the inode tables; they are read in the order
 * of their blocks. What is kept is one small record for each name, sorted by the inode it leads to.
 * So the tables, read after that, meet their names in order, and nothing is read by chance.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ext4_fs.h"
#include "vdiskck/core/sum.h"

enum {
	FEW = 16,	       /* inodes to a directory, at least, to read these one by one */
	GAP_MAX = 64 << 10,    /* read over rather than started again behind */
	NAMES_MAX = INT32_MAX, /* bytes of names */
};

struct build {
	struct ext4_tree *t;
	struct ext4_dir_run *runs;
	size_t n, cap;
	uint32_t dir;	 /* the one whose blocks are collected */
	uint64_t dir_at; /* its inode */
	uint64_t budget; /* of the blocks of all trees */
	uint64_t blocks; /* of directories that may still be taken */
	bool deleted;
	uint64_t *seen; /* deleted names that are there already, by their hashes; 0: free */
	size_t seen_n, seen_cap;
	/* Going down from the root: */
	uint8_t *met;	/* a bit for each inode that a name calls a directory; NULL: we don't */
	uint32_t *down; /* those of the next level */
	size_t n_down, down_cap;
};

/* Room for one more: doubled, so that the work stays linear. */
static int grow(void **v, size_t *cap, size_t n, size_t size)
{
	size_t more = *cap ? *cap * 2 : 256;
	void *p;

	if (n < *cap)
		return 0;
	p = more <= SIZE_MAX / size ? realloc(*v, more * size) : NULL;
	if (!p)
		return -ENOMEM;
	*v = p;
	*cap = more;
	return 0;
}

static int put_bytes(struct ext4_tree *t, const char *name, unsigned len, uint32_t *at)
{
	if (t->names_cap - t->names_len < len + 1u) {
		size_t cap = t->names_cap ? t->names_cap * 2 : 64 << 10;
		char *p = cap <= NAMES_MAX ? realloc(t->names, cap) : NULL;

		if (!p)
			return -ENOMEM;
		t->names = p;
		t->names_cap = cap;
	}
	*at = (uint32_t)t->names_len;
	t->names[t->names_len++] = (char)len;
	memcpy(t->names + t->names_len, name, len);
	t->names_len += len;
	return 0;
}

/* The journal shows the same name many times; equal hashes of 64 bits are equal names. */
static int see(struct build *b, const struct ext4_name *n, bool *again)
{
	struct {
		uint32_t ino, dir;
	} key = {n->ino, n->dir};
	uint64_t h = sum_xxh64(&key, sizeof(key), n->name, n->len) | 1;
	uint64_t *old = b->seen;

	*again = false;
	if (b->seen_n * 2 >= b->seen_cap) {
		size_t cap = b->seen_cap ? b->seen_cap * 2 : 1024, from = b->seen_cap;

		b->seen = calloc(cap, sizeof(*b->seen));
		if (!b->seen) {
			b->seen = old;
			return -ENOMEM;
		}
		b->seen_cap = cap;
		for (size_t k = 0; k < from; k++) {
			size_t at = old[k] & (cap - 1);

			while (old[k] && b->seen[at])
				at = (at + 1) & (cap - 1);
			if (old[k])
				b->seen[at] = old[k];
		}
		free(old);
	}
	for (size_t at = h & (b->seen_cap - 1);; at = (at + 1) & (b->seen_cap - 1)) {
		if (b->seen[at] == h)
			*again = true;
		if (b->seen[at] == h || !b->seen[at]) {
			b->seen_n += !b->seen[at];
			b->seen[at] = h;
			return 0;
		}
	}
}

/* A name that leads to a directory: one of the next level, the first time. */
static int meet(struct build *b, const struct ext4_name *n)
{
	uint32_t bit = n->ino - 1;
	int r;

	if (!n->ino || n->ino > b->t->fs->inodes || b->met[bit / 8] & 1u << bit % 8)
		return 0;
	r = grow((void **)&b->down, &b->down_cap, b->n_down, sizeof(*b->down));
	if (r)
		return r;
	b->met[bit / 8] |= (uint8_t)(1u << bit % 8);
	b->down[b->n_down++] = n->ino;
	return 0;
}

static int add_link(void *arg, const struct ext4_name *n)
{
	struct build *b = arg;
	struct ext4_tree *t = b->t;
	struct ext4_link l = {
		.ino = n->ino, .dir = n->dir, .type = (uint8_t)n->type, .deleted = n->deleted};
	int r;

	if ((n->len == 1 && n->name[0] == '.') ||
	    (n->len == 2 && n->name[0] == '.' && n->name[1] == '.'))
		return 0;
	if (b->deleted) {
		bool again;

		r = see(b, n, &again);
		if (r || (again && n->deleted))
			return r;
	}
	r = b->met && n->type == EXT4_FT_DIR ? meet(b, n) : 0;
	if (!r)
		r = grow((void **)&t->v, &t->cap, t->n, sizeof(*t->v));
	if (!r)
		r = put_bytes(t, n->name, n->len, &l.name);
	if (!r)
		t->v[t->n++] = l;
	return r;
}

static int add_run(void *arg, const struct ext4_run *run)
{
	struct build *b = arg;
	struct ext4 *fs = b->t->fs;
	uint64_t len = run->len;
	int r;

	if (run->kind == EXT4_RUN_LOST)
		ext4_dir_lost(fs, b->dir, b->dir_at, fs->inode_size);
	if (run->kind != EXT4_RUN_DATA || !ext4_block_ok(fs, run->block))
		return 0;
	if (len > fs->blocks - run->block)
		len = fs->blocks - run->block;
	/* Directories that share their blocks are damaged; they don't make us read for ever. */
	if (len > b->blocks)
		len = b->blocks;
	b->blocks -= len;
	if (!len)
		return 0;
	r = grow((void **)&b->runs, &b->cap, b->n, sizeof(*b->runs));
	if (!r)
		b->runs[b->n++] = (struct ext4_dir_run){run->block, (uint32_t)run->lblk,
							(uint32_t)len, b->dir};
	return r;
}

static int find_dir(void *arg, const struct ext4_inode *i)
{
	struct build *b = arg;
	struct ext4_tree *t = b->t;
	int r;

	/* A deleted one has no blocks any more, but for what ext2 leaves. */
	if (!ext4_is(i, EXT4_S_DIR) || !ext4_inode_in_use(i))
		return 0;
	r = grow((void **)&t->dirs, &t->dirs_cap, t->n_dirs, sizeof(*t->dirs));
	if (r)
		return r;
	t->dirs[t->n_dirs++] = i->ino;
	b->dir = i->ino;
	b->dir_at = i->at;
	if (i->flags & EXT4_F_INLINE_DATA)
		return ext4_dir_inline(t->fs, i, b->deleted, add_link, b);
	return ext4_map(t->fs, i, &b->budget, add_run, b);
}

static int parse_block(void *arg, uint32_t dir, uint32_t lblk, uint64_t block, const uint8_t *raw,
		       bool lost)
{
	struct build *b = arg;
	struct ext4 *fs = b->t->fs;

	(void)lblk;
	if (lost)
		ext4_dir_lost(fs, dir, block << fs->block_bits, fs->block_size);
	return ext4_dir_block(fs, dir, raw, fs->block_size, block << fs->block_bits, b->deleted,
			      add_link, b);
}

/* By inode, in the order found among equals: a radix sort, for there may be millions. */
static int sort_links(struct ext4_tree *t)
{
	struct ext4_link *from = t->v, *to = malloc((t->n + 1) * sizeof(*to));

	if (!to)
		return -ENOMEM;
	for (unsigned shift = 0; shift < 32; shift += 11) {
		size_t at[2048] = {0}, sum = 0;
		struct ext4_link *swap = from;

		if (shift && !(t->fs->inodes >> shift))
			break;
		for (size_t i = 0; i < t->n; i++)
			at[from[i].ino >> shift & 2047]++;
		for (size_t k = 0; k < 2048; k++) {
			size_t c = at[k];

			at[k] = sum;
			sum += c;
		}
		for (size_t i = 0; i < t->n; i++)
			to[at[from[i].ino >> shift & 2047]++] = from[i];
		from = to;
		to = swap;
	}
	t->v = from;
	t->cap = t->n;
	free(to);
	return 0;
}

/* Numbers that no inode has: they would not be sorted. */
static void drop_impossible(struct ext4_tree *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].ino <= t->fs->inodes)
			t->v[n++] = t->v[i];
	t->n = n;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Directories that there are by the group descriptors; 0: not known, or so many that a scan is cheaper. */
static uint32_t count_dirs(const struct ext4 *fs)
{
	uint64_t dirs = 0, inodes = 0;

	if (!fs->gd_sums || !EXT4_HAS(fs, incompat, EXT4_I_FILETYPE))
		return 0;
	for (uint32_t g = 0; g < fs->groups; g++) {
		struct ext4_group gr = ext4_group(fs, g);

		if (!gr.fresh)
			return 0;
		dirs += gr.used_dirs;
		inodes += ext4_inodes_used(fs, &gr);
	}
	return dirs < inodes / FEW && dirs < fs->inodes ? (uint32_t)dirs : 0;
}

/* The directories of one level: their inodes in order, then their blocks in order. */
static int read_level(struct build *b, uint32_t *ino, size_t n, uint8_t *raw)
{
	struct ext4 *fs = b->t->fs;
	int r = 0;

	qsort(ino, n, sizeof(*ino), by_number);
	b->n = 0;
	for (size_t k = 0; k < n && !r; k++) {
		struct ext4_inode i;

		r = ext4_inode_read(fs, ino[k], raw, &i);
		if (!r)
			r = find_dir(b, &i);
		else if (r == -EIO || r == -ENOENT)
			r = 0; /* one less than there should be */
	}
	return r ? r : ext4_dir_blocks(fs, b->runs, b->n, parse_block, b);
}

/* From the root down. 1: as many directories were found as there are. */
static int go_down(struct build *b)
{
	struct ext4_tree *t = b->t;
	uint32_t expected = count_dirs(t->fs);
	uint8_t *raw = malloc(t->fs->inode_size);
	const struct ext4_name root = {.ino = EXT4_INO_ROOT};
	int r = raw ? 0 : -ENOMEM;

	if (!r && expected) {
		b->met = calloc(1, t->fs->inodes / 8 + 1);
		r = b->met ? meet(b, &root) : -ENOMEM;
	}
	while (!r && b->n_down) {
		uint32_t *ino = b->down;
		size_t n = b->n_down;

		b->down = NULL;
		b->n_down = b->down_cap = 0;
		r = read_level(b, ino, n, raw);
		free(ino);
	}
	if (!r && t->n_dirs)
		qsort(t->dirs, t->n_dirs, sizeof(*t->dirs), by_number);
	free(raw);
	free(b->met);
	free(b->down);
	b->met = NULL;
	b->down = NULL;
	return r ? r : expected && t->n_dirs == expected;
}

int ext4_tree_build(struct ext4 *fs, bool deleted, struct ext4_tree *t)
{
	struct build b = {
		.t = t, .budget = fs->blocks, .blocks = fs->blocks * 2, .deleted = deleted};
	int r;

	*t = (struct ext4_tree){.fs = fs};
	t->path = malloc(EXT4_PATH);
	t->last = malloc(EXT4_PATH);
	r = !t->path || !t->last ? -ENOMEM : deleted ? 0 : go_down(&b);
	if (!r) { /* the tables have them all */
		t->n = t->n_dirs = t->names_len = b.n = 0;
		b.budget = fs->blocks;
		b.blocks = fs->blocks * 2;
		r = ext4_table_scan(fs, EXT4_SCAN_DIRS, find_dir, &b);
		if (!r)
			r = ext4_dir_blocks(fs, b.runs, b.n, parse_block, &b);
	}
	if (r > 0)
		r = 0;
	if (!r && deleted)
		r = ext4_deleted_find(t, b.runs, b.n, add_link, &b);
	if (!r) {
		drop_impossible(t);
		r = sort_links(t);
	}
	free(b.runs);
	free(b.seen);
	if (r)
		ext4_tree_free(t);
	return r;
}

void ext4_tree_free(struct ext4_tree *t)
{
	free(t->v);
	free(t->names);
	free(t->dirs);
	free(t->old);
	free(t->path);
	free(t->last);
	*t = (struct ext4_tree){0};
}
