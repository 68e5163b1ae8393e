/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that fast commits add to directories and take away. What becomes of each name in the end
 * is worked out first; then every directory is gone through once. One that gets new names loses
 * its index, as the kernel's own does where that can't be kept: its blocks are a list as well.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ext4_fc.h"

enum { LINKS_MAX = 65000 };

static int by_name_then_order(const void *a, const void *b)
{
	const struct fc_name *x = a, *y = b;
	int r = fc_by_name(x, y);

	return r ? r : x->order < y->order ? -1 : x->order > y->order;
}

/* The last word on each name. One that goes was another's if it leads to another inode by then. */
static size_t last_words(struct fc_name *v, size_t n)
{
	size_t kept = 0;

	for (size_t k = 0; k < n; k++) {
		bool first = !kept || fc_by_name(&v[kept - 1], &v[k]);

		if (first)
			v[kept++] = v[k];
		else if (!v[k].gone || v[kept - 1].gone || v[kept - 1].ino == v[k].ino)
			v[kept - 1] = v[k];
	}
	return kept;
}

/* Words on names out of the tags; there are no more than tags. */
static size_t collect(const struct fc *f, struct fc_name *v)
{
	size_t n = 0;

	for (size_t k = 0; k < f->n_tags; k++) {
		const struct fc_tag *t = &f->tags[k];
		const struct ext4_fc_dentry *d = (const void *)t->p;

		if (t->kind < EXT4_FC_CREAT || t->kind > EXT4_FC_UNLINK)
			continue;
		v[n++] = (struct fc_name){.dir = le32(d->parent),
					  .ino = le32(d->ino),
					  .name = (const char *)(d + 1),
					  .len = (uint8_t)(t->len - sizeof(*d)),
					  .order = (uint32_t)k,
					  .gone = t->kind == EXT4_FC_UNLINK};
	}
	return n;
}

static int each_block(struct fc_folder *o,
		      int (*fn)(struct fc_folder *o, uint32_t lblk, uint64_t block))
{
	const struct fc_inode *dir = o->dir;
	int r = 0;

	for (size_t k = 0; !r && k < dir->n_runs; k++)
		for (uint32_t b = 0; !r && b < dir->runs[k].len && !dir->runs[k].unwritten; b++) {
			r = fc_spend(o->f, 16);
			if (!r)
				r = fn(o, dir->runs[k].lblk + b, dir->runs[k].block + b);
		}
	return r;
}

/* Looks at a copy first: a patch is kept only of blocks that change. -EIO: it is lost. */
static int edit_block(struct fc_folder *o, uint32_t lblk, uint64_t block)
{
	struct ext4 *fs = o->f->fs;
	struct ranges bad = {0};
	uint8_t *buf = malloc(fs->block_size), *to;
	int r = buf ? ext4_read(fs, block, 1, buf, &bad) : -ENOMEM;
	bool ok = !r && !bad.n && fc_block_ok(o, buf);

	if (!r && !bad.n && !fc_is_index(o, lblk, buf) && fc_edit_names(o, buf)) {
		r = ext4_patch(fs, block, &to);
		if (!r) {
			memcpy(to, buf, fs->block_size);
			if (ok)
				fc_put_tail(o, to);
		}
	}
	ranges_free(&bad);
	free(buf);
	return r;
}

static int fill_block(struct fc_folder *o, uint32_t lblk, uint64_t block)
{
	uint8_t *buf;
	bool ok;
	int r;

	if (o->next == o->n && !o->indexed)
		return 0;
	r = ext4_patch(o->f->fs, block, &buf);
	if (r)
		return r == -EIO ? 0 : r;
	if (fc_is_index(o, lblk, buf))
		fc_drop_index(o, lblk, buf);
	ok = fc_block_ok(o, buf);
	if (fc_add_names(o, buf) && ok)
		fc_put_tail(o, buf);
	return 0;
}

static void skip_done(struct fc_folder *o)
{
	while (o->next < o->n && (o->v[o->next].gone || o->v[o->next].done))
		o->next++;
}

/* @parent: of a directory that is new, of which this is the first block; 0: it is not */
static int append_block(struct fc_folder *o, uint32_t parent)
{
	uint64_t block;
	uint8_t *buf;
	struct ext4_dirent *d;
	int r = fc_append(o->f, o->dir, &block);

	if (!r)
		r = ext4_patch(o->f->fs, block, &buf);
	if (r)
		return r;
	memset(buf, 0, o->f->fs->block_size);
	d = (void *)buf;
	if (parent) {
		fc_put_entry(o, d, FC_ENTRY_MIN, o->dir->ino, ".", 1);
		d = (void *)(buf + FC_ENTRY_MIN);
		fc_put_entry(o, d, o->len - FC_ENTRY_MIN, parent, "..", 2);
	} else {
		d->rec_len = fc_rec_len(o->f->fs, o->len);
	}
	fc_add_names(o, buf);
	fc_put_tail(o, buf);
	return 0;
}

static void put_size(struct fc_folder *o, uint8_t *raw)
{
	struct ext4_dinode *d = (void *)raw;
	const struct fc_run *last = &o->dir->runs[o->dir->n_runs - 1];
	uint64_t size = ((uint64_t)last->lblk + last->len) << o->f->fs->block_bits;

	d->size_lo = to_le32((uint32_t)size);
	if (EXT4_HAS(o->f->fs, incompat, EXT4_I_LARGEDIR))
		d->size_hi = to_le32((uint32_t)(size >> 32));
	if (o->indexed)
		d->flags = to_le32(le32(d->flags) & ~EXT4_F_INDEX);
}

static int edit_blocks(struct fc_folder *o, uint8_t *raw)
{
	int r = fc_map_load(o->f, o->dir);

	if (r)
		return r;
	o->seed = fc_inode_seed(o->f->fs, o->dir->ino, raw);
	if (!o->dir->n_runs && o->dir->parent)
		r = append_block(o, o->dir->parent);
	if (!r)
		r = each_block(o, edit_block);
	skip_done(o);
	if (!r && o->next < o->n)
		r = each_block(o, fill_block);
	else
		o->indexed = false; /* names that go leave the index as it is */
	while (!r && o->next < o->n)
		r = append_block(o, 0);
	if (!r && o->dir->n_runs)
		put_size(o, raw);
	return r;
}

/* "Inline Data": the parent, then entries; more of them in an attribute, where it has one */
static int edit_inline(struct fc_folder *o, const struct ext4_inode *i, uint8_t *raw)
{
	uint8_t *entries = ((struct ext4_dinode *)(void *)raw)->block + 4;
	const uint8_t *more;
	uint32_t len, first = sizeof(((struct ext4_dinode *)0)->block) - 4;
	uint64_t at;

	o->len = first;
	fc_edit_names(o, entries);
	ext4_inline(i, &more, &len, &at);
	if (more) {
		o->len = len;
		fc_edit_names(o, raw + (more - raw));
		o->len = first;
	}
	fc_add_names(o, entries);
	if (more) {
		o->len = len;
		fc_add_names(o, raw + (more - raw));
	}
	skip_done(o);
	return o->next < o->n ? -EOPNOTSUPP : 0;
}

static int count_dir(void *arg, const struct ext4_name *n)
{
	uint32_t *dirs = arg;

	*dirs += n->type == EXT4_FT_DIR; /* "." and ".." too, as in its links */
	return 0;
}

/* The kernel has no tag for the links of a folder that others come to and go from. */
static int count_links(struct fc *f, const struct ext4_inode *i, uint8_t *raw)
{
	uint32_t dirs = 0;
	int r = ext4_cache_reset(f->fs); /* it has the extent tree as it was */

	if (!r)
		r = ext4_dir(f->fs, i, false, count_dir, &dirs);
	if (!r && dirs <= LINKS_MAX)
		((struct ext4_dinode *)(void *)raw)->links = to_le16((uint16_t)dirs);
	return r;
}

/* What becomes of the names of one directory. */
static int edit_folder(struct fc *f, struct fc_inode *dir, struct fc_name *v, size_t n)
{
	struct fc_folder o = {.f = f, .dir = dir, .v = v, .n = n, .has_tails = f->fs->sums};
	struct ext4_inode i;
	uint8_t *raw;
	int r = fc_raw(f, dir->ino, &raw);

	if (r)
		return r;
	ext4_inode_decode(f->fs, dir->ino, raw, 0, &i);
	if (!ext4_inode_in_use(&i))
		return 0; /* it went, too */
	if (!ext4_is(&i, EXT4_S_DIR))
		return -ENOTDIR;
	o.len = f->fs->block_size - (o.has_tails ? sizeof(struct ext4_dir_tail) : 0);
	o.indexed = i.flags & EXT4_F_INDEX;
	r = i.flags & EXT4_F_INLINE_DATA ? edit_inline(&o, &i, raw) : edit_blocks(&o, raw);
	if (!r && dir->changed)
		r = fc_map_store(f, dir);
	if (!r && o.counts && EXT4_HAS(f->fs, incompat, EXT4_I_FILETYPE)) {
		ext4_inode_decode(f->fs, dir->ino, raw, 0, &i);
		r = count_links(f, &i, raw);
	}
	return r;
}

int fc_names(struct fc *f)
{
	struct fc_name *v = malloc((f->n_tags ? f->n_tags : 1) * sizeof(*v));
	size_t n, to;
	int r = v ? 0 : -ENOMEM;

	if (r)
		return r;
	n = collect(f, v);
	qsort(v, n, sizeof(*v), by_name_then_order);
	n = last_words(v, n);
	for (size_t k = 0; !r && k < f->n_inodes; k++)
		if (f->inodes[k].parent)
			r = fc_failed(f, edit_folder(f, &f->inodes[k], NULL, 0), 1);
	for (size_t k = 0; !r && k < n; k = to) {
		struct fc_inode *dir = fc_inode(f, v[k].dir);

		for (to = k + 1; to < n && v[to].dir == v[k].dir;)
			to++;
		r = fc_failed(f, dir ? edit_folder(f, dir, v + k, to - k) : -ENOENT,
			      (uint32_t)(to - k));
	}
	free(v);
	return r;
}
