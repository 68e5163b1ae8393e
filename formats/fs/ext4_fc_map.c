/* SPDX-License-Identifier: Apache-2.0 */
/* Extent trees as fast commits change them: taken apart, edited as a list, and built again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ext4_fc.h"
#include "vdiskck/core/sum.h"

enum {
	ROOT_LEN = sizeof(((struct ext4_dinode *)0)->block),
	ROOT_MAX = (ROOT_LEN - sizeof(struct ext4_extent_header)) / sizeof(struct ext4_extent),
};

static int grow(void **v, size_t *cap, size_t n, size_t size)
{
	size_t more = *cap ? *cap * 2 : 8;
	void *p;

	if (n < *cap)
		return 0;
	p = realloc(*v, more * size);
	if (!p)
		return -ENOMEM;
	*v = p;
	*cap = more;
	return 0;
}

static int insert(struct fc *f, struct fc_inode *i, size_t k, struct fc_run run)
{
	int r = grow((void **)&i->runs, &i->runs_cap, i->n_runs, sizeof(*i->runs));

	if (!r)
		r = fc_spend(f, 1 + (i->n_runs - k) / 64);
	if (r)
		return r;
	memmove(&i->runs[k + 1], &i->runs[k], (i->n_runs - k) * sizeof(*i->runs));
	i->runs[k] = run;
	i->n_runs++;
	return 0;
}

struct load {
	struct fc *f;
	struct fc_inode *i;
};

static int add_run(void *arg, const struct ext4_run *r)
{
	struct load *l = arg;
	struct fc_inode *i = l->i;
	const struct fc_run *last = i->n_runs ? &i->runs[i->n_runs - 1] : NULL;
	int e;

	if (r->kind == EXT4_RUN_NODE) {
		if (!r->block)
			return 0; /* the root */
		e = grow((void **)&i->nodes, &i->nodes_cap, i->n_nodes, sizeof(*i->nodes));
		if (!e)
			i->nodes[i->n_nodes++] = r->block;
		return e;
	}
	/* A tree that is damaged is left alone. */
	if (r->kind == EXT4_RUN_LOST || r->len > UINT32_MAX || r->lblk > UINT32_MAX ||
	    !ext4_block_ok(l->f->fs, r->block) ||
	    (last && r->lblk < (uint64_t)last->lblk + last->len))
		return -EBADMSG;
	return insert(l->f, i, i->n_runs,
		      (struct fc_run){(uint32_t)r->lblk, (uint32_t)r->len, r->block,
				      r->kind == EXT4_RUN_UNWRITTEN});
}

int fc_map_load(struct fc *f, struct fc_inode *i)
{
	struct ext4 *fs = f->fs;
	struct load l = {f, i};
	uint64_t budget = fs->blocks;
	struct ext4_inode ino;
	uint8_t *raw;
	int r;

	if (i->has_map)
		return 0;
	r = fc_raw(f, i->ino, &raw);
	if (r)
		return r;
	ext4_inode_decode(fs, i->ino, raw, 0, &ino);
	if (!(ino.flags & EXT4_F_EXTENTS) || !ext4_inode_has_map(fs, &ino))
		return -EOPNOTSUPP;
	i->n_runs = i->n_nodes = 0;
	r = ext4_map(fs, &ino, &budget, add_run, &l);
	i->has_map = !r;
	return r;
}

/* The first run that ends behind @lblk. */
static size_t find(const struct fc_inode *i, uint64_t lblk)
{
	size_t lo = 0, hi = i->n_runs;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if ((uint64_t)i->runs[mid].lblk + i->runs[mid].len <= lblk)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Blocks [block, block + n) are not the file's any more, unless their cluster still is. */
static int release(struct fc *f, const struct fc_inode *i, uint64_t block, uint64_t n)
{
	struct ext4 *fs = f->fs;
	uint64_t mask = ((uint64_t)1 << fs->cluster_bits) - 1;
	int r = 0;

	if (!fs->cluster_bits)
		return fc_mark_blocks(f, block, n, false);
	for (uint64_t b = (block - fs->first_block) & ~mask; !r && b < block + n - fs->first_block;
	     b += mask + 1) {
		bool kept = false;

		for (size_t k = 0; k < i->n_runs && !kept; k++) {
			uint64_t from = i->runs[k].block - fs->first_block;

			kept = from <= b + mask && from + i->runs[k].len > b;
		}
		r = fc_spend(f, i->n_runs);
		if (!r && !kept)
			r = fc_mark_blocks(f, b + fs->first_block, 1, false);
	}
	return r;
}

/* Logical blocks [from, to) are a hole from now on. */
static int cut(struct fc *f, struct fc_inode *i, uint64_t from, uint64_t to)
{
	size_t k = find(i, from);
	int r = 0;

	while (!r && k < i->n_runs && i->runs[k].lblk < to) {
		struct fc_run *run = &i->runs[k], old = *run;
		uint64_t end = (uint64_t)old.lblk + old.len;
		uint64_t a = from > old.lblk ? from : old.lblk, b = to < end ? to : end;

		if (a == old.lblk && b == end) {
			memmove(run, run + 1, (i->n_runs - k - 1) * sizeof(*run));
			i->n_runs--;
			r = fc_spend(f, 1 + (i->n_runs - k) / 64);
		} else if (a == old.lblk) {
			run->lblk = (uint32_t)b;
			run->len = (uint32_t)(end - b);
			run->block += b - a;
		} else {
			run->len = (uint32_t)(a - old.lblk);
			k++;
			if (b < end)
				r = insert(f, i, k,
					   (struct fc_run){(uint32_t)b, (uint32_t)(end - b),
							   old.block + (b - old.lblk),
							   old.unwritten});
		}
		if (!r)
			r = release(f, i, old.block + (a - old.lblk), b - a);
	}
	return r;
}

int fc_add_range(struct fc *f, struct fc_inode *i, const struct ext4_extent *e)
{
	uint32_t len = le16(e->len);
	struct fc_run run = {.lblk = le32(e->block),
			     .len = len > EXT4_EXTENT_MAX_LEN ? len - EXT4_EXTENT_MAX_LEN : len,
			     .block = le32(e->start_lo) | (uint64_t)le16(e->start_hi) << 32,
			     .unwritten = len > EXT4_EXTENT_MAX_LEN};
	uint64_t end = (uint64_t)run.lblk + run.len;
	int r;

	if (!run.len || end > UINT32_MAX || !ext4_block_ok(f->fs, run.block) ||
	    run.len > f->fs->blocks - run.block)
		return -EBADMSG;
	r = fc_map_load(f, i);
	if (!r)
		r = cut(f, i, run.lblk, end);
	if (!r)
		r = insert(f, i, find(i, run.lblk), run);
	if (!r)
		r = fc_mark_blocks(f, run.block, run.len, true);
	i->changed |= !r;
	return r;
}

int fc_del_range(struct fc *f, struct fc_inode *i, uint32_t lblk, uint32_t len)
{
	int r = fc_map_load(f, i);

	if (!r)
		r = cut(f, i, lblk, (uint64_t)lblk + len);
	i->changed |= !r;
	return r;
}

int fc_append(struct fc *f, struct fc_inode *i, uint64_t *block)
{
	uint32_t mask = (1u << f->fs->cluster_bits) - 1;
	const struct fc_run *last;
	struct fc_run run = {.len = 1};
	int r = fc_map_load(f, i);

	if (r)
		return r;
	last = i->n_runs ? &i->runs[i->n_runs - 1] : NULL;
	run.lblk = last ? last->lblk + last->len : 0;
	/* The rest of a cluster that it has is its own. */
	if (last && run.lblk & mask)
		run.block = last->block + last->len;
	else
		r = fc_alloc(f, &run.block);
	if (r)
		return r;
	*block = run.block;
	i->changed = true;
	return insert(f, i, i->n_runs, run);
}

int fc_map_release(struct fc *f, struct fc_inode *i)
{
	int r = fc_map_load(f, i);

	for (size_t k = 0; !r && k < i->n_nodes; k++)
		r = fc_mark_blocks(f, i->nodes[k], 1, false);
	for (size_t k = 0; !r && k < i->n_runs; k++)
		r = fc_mark_blocks(f, i->runs[k].block, i->runs[k].len, false);
	i->has_map = i->changed = false;
	return r;
}

/* Runs that follow each other are one, as long as an extent may be; longer ones are several. */
static int join(struct fc *f, struct fc_inode *i)
{
	struct fc_run *v = NULL;
	size_t n = 0, cap = 0;
	int r = 0;

	for (size_t k = 0; !r && k < i->n_runs; k++) {
		struct fc_run run = i->runs[k];
		uint32_t max = EXT4_EXTENT_MAX_LEN - run.unwritten;

		while (!r && run.len) {
			struct fc_run *last = n ? &v[n - 1] : NULL;
			bool more = last && last->unwritten == run.unwritten && last->len < max &&
				    last->lblk + last->len == run.lblk &&
				    last->block + last->len == run.block;
			uint32_t room = more ? max - last->len : max;
			uint32_t len = run.len < room ? run.len : room;

			if (more) {
				last->len += len;
			} else {
				r = grow((void **)&v, &cap, n, sizeof(*v));
				if (!r)
					v[n++] = (struct fc_run){run.lblk, len, run.block,
								 run.unwritten};
			}
			run.lblk += len;
			run.block += len;
			run.len -= len;
		}
	}
	if (!r)
		r = fc_spend(f, i->n_runs);
	free(i->runs);
	i->runs = v;
	i->n_runs = n;
	i->runs_cap = cap;
	return r;
}

static void put_header(uint8_t *buf, size_t n, size_t max, unsigned depth)
{
	struct ext4_extent_header *h = (void *)buf;

	*h = (struct ext4_extent_header){.magic = to_le16(EXT4_EXTENT_MAGIC),
					 .entries = to_le16((uint16_t)n),
					 .max = to_le16((uint16_t)max),
					 .depth = to_le16((uint16_t)depth)};
}

/* Entries of a node: of leaves at depth 0, else each is the block of a node below. */
static void put_entries(uint8_t *buf, const struct fc_run *v, size_t n, size_t max, unsigned depth)
{
	struct ext4_extent *e = (void *)(buf + sizeof(struct ext4_extent_header));

	put_header(buf, n, max, depth);
	for (size_t k = 0; k < n; k++) {
		struct ext4_extent_idx *x = (void *)&e[k];
		uint32_t lo = (uint32_t)v[k].block;
		uint16_t hi = (uint16_t)(v[k].block >> 32);
		uint32_t len = v[k].len + (v[k].unwritten ? EXT4_EXTENT_MAX_LEN : 0);

		if (depth)
			*x = (struct ext4_extent_idx){to_le32(v[k].lblk), to_le32(lo), to_le16(hi),
						      to_le16(0)};
		else
			e[k] = (struct ext4_extent){to_le32(v[k].lblk), to_le16((uint16_t)len),
						    to_le16(hi), to_le32(lo)};
	}
}

struct nodes {
	size_t taken; /* of those that the tree had */
	size_t max;   /* entries in one */
	uint32_t seed;
};

static int put_node(struct fc *f, struct fc_inode *i, struct nodes *t, const struct fc_run *v,
		    size_t n, unsigned depth, uint64_t *block)
{
	struct ext4 *fs = f->fs;
	uint8_t *buf;
	size_t end = sizeof(struct ext4_extent_header) + t->max * sizeof(struct ext4_extent);
	le32_t sum;
	int r = 0;

	if (t->taken == i->n_nodes) {
		r = grow((void **)&i->nodes, &i->nodes_cap, i->n_nodes, sizeof(*i->nodes));
		if (!r)
			r = fc_alloc(f, &i->nodes[i->n_nodes]);
		if (r)
			return r;
		i->n_nodes++;
	}
	*block = i->nodes[t->taken++];
	r = ext4_patch(fs, *block, &buf);
	if (r)
		return r;
	memset(buf, 0, fs->block_size);
	put_entries(buf, v, n, t->max, depth);
	if (fs->sums && end + sizeof(sum) <= fs->block_size) {
		sum = to_le32(sum_crc32c(t->seed, buf, end));
		memcpy(buf + end, &sum, sizeof(sum));
	}
	return 0;
}

/* One level of the tree: nodes over the @n entries in @v, which become those of the level above. */
static int put_level(struct fc *f, struct fc_inode *i, struct nodes *t, struct fc_run *v, size_t *n,
		     unsigned depth)
{
	size_t up = 0;
	int r = 0;

	for (size_t k = 0; !r && k < *n; k += t->max) {
		size_t here = *n - k < t->max ? *n - k : t->max;
		uint32_t lblk = v[k].lblk;
		uint64_t block = 0;

		r = put_node(f, i, t, v + k, here, depth, &block);
		v[up++] = (struct fc_run){lblk, 0, block, false};
	}
	*n = up;
	return r;
}

/* i_blocks: of 512 bytes, or with a flag of blocks */
static void put_sectors(struct fc *f, const struct fc_inode *i, uint8_t *raw)
{
	struct ext4 *fs = f->fs;
	struct ext4_dinode *d = (void *)raw;
	uint64_t clusters = i->n_nodes, last = UINT64_MAX, v;
	bool xattr = le32(d->file_acl_lo) || le16(d->file_acl_hi);

	for (size_t k = 0; k < i->n_runs; k++) {
		uint64_t from = (i->runs[k].block - fs->first_block) >> fs->cluster_bits;
		uint64_t to = (i->runs[k].block + i->runs[k].len - 1 - fs->first_block) >>
			      fs->cluster_bits;

		clusters += to - from + (from != last);
		last = to;
	}
	v = (clusters + xattr) << (fs->block_bits + fs->cluster_bits);
	v >>= le32(d->flags) & EXT4_F_HUGE_FILE ? fs->block_bits : 9;
	d->blocks_lo = to_le32((uint32_t)v);
	if (EXT4_HAS(fs, ro, EXT4_R_HUGE_FILE))
		d->blocks_hi = to_le16((uint16_t)(v >> 32));
}

int fc_map_store(struct fc *f, struct fc_inode *i)
{
	struct ext4 *fs = f->fs;
	struct nodes t = {
		.max = (fs->block_size - sizeof(struct ext4_extent_header) - (fs->sums ? 4 : 0)) /
		       sizeof(struct ext4_extent)};
	unsigned depth = 0;
	struct fc_run *v;
	uint8_t *raw;
	size_t n;
	int r = join(f, i);

	if (!r)
		r = fc_raw(f, i->ino, &raw);
	if (r)
		return r;
	t.seed = fc_inode_seed(fs, i->ino, raw);
	n = i->n_runs;
	v = malloc((n ? n : 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	if (n)
		memcpy(v, i->runs, n * sizeof(*v));
	while (!r && n > ROOT_MAX)
		r = put_level(f, i, &t, v, &n, depth++);
	if (!r) {
		uint8_t *root = ((struct ext4_dinode *)(void *)raw)->block;

		memset(root, 0, ROOT_LEN);
		put_entries(root, v, n, ROOT_MAX, depth);
	}
	for (; !r && i->n_nodes > t.taken; i->n_nodes--)
		r = fc_mark_blocks(f, i->nodes[i->n_nodes - 1], 1, false);
	if (!r)
		put_sectors(f, i, raw);
	i->changed = false;
	free(v);
	return r;
}
