/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of the index of large directories: "Hash Tree Directories". */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ext4_check.h"
#include "vdiskck/core/sum.h"

bool ck_dx_is_node(const struct ext4 *fs, uint32_t lblk, const uint8_t *raw)
{
	const struct ext4_dirent *e = (const void *)raw;

	/* An index block looks like one empty entry; the first block is always the root. */
	return !lblk || (!le32(e->inode) && !e->name_len &&
			 ext4_rec_len(le16(e->rec_len), fs->block_size) == fs->block_size);
}

static void bad(struct ck *c, const struct ck_dir *d, uint64_t at, uint64_t len, const char *stored,
		const char *expected, const char *what)
{
	ck_say(c, EXT4_DIR_INDEX, d->ino, at, len, stored, expected,
	       "index of directory inode %" PRIu32 ": %s", d->ino, what);
}

/* Checksum behind the room for entries; over those that are in use, and the tail's first half. */
static void check_sum(struct ck *c, const struct ck_dir *d, const uint8_t *raw, uint32_t head,
		      uint32_t count, uint32_t limit, uint64_t at)
{
	static const uint8_t zero[4];
	uint32_t tail = head + limit * (uint32_t)sizeof(struct ext4_dx_entry), sum;
	le32_t ino = to_le32(d->ino), gen = to_le32(d->generation), stored;

	if (!c->fs->sums || tail + 8 > c->fs->block_size)
		return;
	sum = sum_crc32c(c->fs->seed, &ino, sizeof(ino));
	sum = sum_crc32c(sum, &gen, sizeof(gen));
	sum = sum_crc32c(sum, raw, head + count * sizeof(struct ext4_dx_entry));
	sum = sum_crc32c(sum_crc32c(sum, raw + tail, 4), zero, sizeof(zero));
	memcpy(&stored, raw + tail + 4, sizeof(stored));
	if (sum != le32(stored))
		ck_say(c, EXT4_DIR_SUM, d->ino, at + tail + 4, 4,
		       strf("0x%08" PRIx32, le32(stored)), strf("0x%08" PRIx32, sum),
		       "directory inode %" PRIu32 ": wrong checksum of an index block", d->ino);
}

int ck_dx_node(struct ck *c, const struct ck_dir *d, uint32_t lblk, uint64_t at, const uint8_t *raw)
{
	struct ext4 *fs = c->fs;
	const struct ext4_dx_root *root = (const void *)(raw + EXT4_DX_ROOT_AT);
	uint32_t head = lblk ? EXT4_DX_NODE_AT : EXT4_DX_ROOT_AT + 8, fit, count, limit;
	struct ck_dx x = {.dir = d->ino, .lblk = lblk, .at = at};
	le16_t v[2];
	int r;

	memcpy(v, raw + head, sizeof(v));
	limit = le16(v[0]);
	count = le16(v[1]);
	fit = (fs->block_size - head - (fs->sums ? 8 : 0)) / sizeof(struct ext4_dx_entry);
	if (!lblk && (le32(root->zero) || root->info_len != 8 || root->levels > EXT4_DX_LEVELS ||
		      root->hash_version > 6)) {
		bad(c, d, at + EXT4_DX_ROOT_AT, sizeof(*root), NULL, NULL, "its root can't be one");
		return 0;
	}
	if (limit != fit || !count || count > limit) {
		bad(c, d, at + head, 4, strf("%" PRIu32 " of %" PRIu32, count, limit),
		    strf("%" PRIu32 " at most", fit), "a block states a wrong number of entries");
		return 0;
	}
	check_sum(c, d, raw, head, count, limit, at);
	r = ck_grow((void **)&c->dx, &c->dx_cap, c->n_dx, sizeof(*c->dx));
	if (r)
		return r;
	x.n = count;
	x.levels = lblk ? 0 : root->levels;
	x.version = lblk ? 0 : root->hash_version;
	x.entries = malloc(count * sizeof(*x.entries));
	if (!x.entries)
		return -ENOMEM;
	memcpy(x.entries, raw + head, count * sizeof(*x.entries));
	c->dx[c->n_dx++] = x;
	return 0;
}

static int by_dir(const void *a, const void *b)
{
	const struct ck_dx *x = a, *y = b;

	if (x->dir != y->dir)
		return x->dir < y->dir ? -1 : 1;
	return x->lblk < y->lblk ? -1 : x->lblk > y->lblk;
}

struct tree {
	struct ck *c;
	const struct ck_dir *d;
	struct ck_dx *v; /* the blocks of the directory, by logical block */
	size_t n;
	bool hashed; /* the leaves' hashes are known */
};

static struct ck_dx *find(const struct tree *t, uint32_t lblk)
{
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->v[mid].lblk < lblk)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < t->n && t->v[lo].lblk == lblk ? &t->v[lo] : NULL;
}

static void check_leaf(struct tree *t, const struct ck_dx *x, uint32_t from, uint32_t to)
{
	if (!t->hashed || x->min > x->max)
		return;
	if (x->min < from || x->max > to)
		bad(t->c, t->d, x->at, t->c->fs->block_size,
		    strf("hashes 0x%08" PRIx32 " to 0x%08" PRIx32, x->min, x->max),
		    strf("0x%08" PRIx32 " to 0x%08" PRIx32, from, to),
		    "names stand where it does not look for them");
}

/* What is below index block @x, whose hashes are [from, to]. */
static void check_node(struct tree *t, const struct ck_dx *x, unsigned levels, uint32_t from,
		       uint32_t to)
{
	uint32_t last = 0;

	for (uint32_t k = 0; k < x->n; k++) {
		uint32_t lblk = le32(x->entries[k].block) & 0x0fffffff;
		uint32_t hash = k ? le32(x->entries[k].hash) : from;
		uint32_t next = k + 1 < x->n ? le32(x->entries[k + 1].hash) : to;
		struct ck_dx *child = find(t, lblk);

		if (k && hash < last)
			bad(t->c, t->d, x->at, t->c->fs->block_size, NULL, NULL,
			    "its hashes are not in order");
		last = hash;
		if (!child || child->used || (levels != 0) != (child->entries != NULL) || !lblk) {
			bad(t->c, t->d, x->at, t->c->fs->block_size, strf("block %" PRIu32, lblk),
			    NULL,
			    child && child->used ? "two entries lead to the same block"
						 : "an entry leads to no block of its level");
			continue;
		}
		child->used = true;
		if (levels)
			check_node(t, child, levels - 1, hash & ~1u, next);
		else
			check_leaf(t, child, hash & ~1u, next);
	}
}

static void check_tree(struct tree *t)
{
	struct ck_dx *root = t->v;

	if (root->lblk || !root->entries)
		return; /* said already */
	root->used = true;
	t->hashed =
		!(t->d->flags & EXT4_F_CASEFOLD) && root->version == t->c->fs->sb.def_hash_version;
	check_node(t, root, root->levels, 0, UINT32_MAX);
	for (size_t k = 0; k < t->n; k++)
		if (!t->v[k].used)
			bad(t->c, t->d, t->v[k].at, t->c->fs->block_size, NULL, NULL,
			    "no entry leads to this block");
}

int ck_htree(struct ck *c)
{
	size_t to;

	if (c->n_dx)
		qsort(c->dx, c->n_dx, sizeof(*c->dx), by_dir);
	for (size_t from = 0; from < c->n_dx; from = to) {
		struct tree t = {.c = c, .d = ck_dir(c, c->dx[from].dir), .v = c->dx + from};

		for (to = from; to < c->n_dx && c->dx[to].dir == c->dx[from].dir; to++)
			;
		t.n = to - from;
		if (t.d)
			check_tree(&t);
	}
	return 0;
}
