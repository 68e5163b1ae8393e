/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fast commits applied in memory: inodes and what they map in the order of the tags, then the
 * names, then what has no name left. Bitmaps and descriptors follow, as in the kernel's replay.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ext4_fc.h"
#include "vdiskck/core/sum.h"

enum {
	BUDGET = 1 << 26,
	BLOCK_AT = offsetof(struct ext4_dinode, block),
	BLOCK_END = offsetof(struct ext4_dinode, generation),
};

int fc_spend(struct fc *f, uint64_t steps)
{
	if (session_stopped(f->fs->l->s))
		return -EINTR;
	if (steps > f->budget)
		return -EFBIG;
	f->budget -= steps;
	return 0;
}

int fc_failed(struct fc *f, int r, uint32_t n)
{
	if (!r || r == -ENOMEM || r == -EINTR || r == -EFBIG)
		return r;
	f->failed += n;
	return 0;
}

uint32_t fc_inode_seed(const struct ext4 *fs, uint32_t ino, const uint8_t *raw)
{
	const struct ext4_dinode *d = (const void *)raw;
	le32_t n = to_le32(ino);

	return sum_crc32c(sum_crc32c(fs->seed, &n, sizeof(n)), &d->generation,
			  sizeof(d->generation));
}

struct fc_inode *fc_inode(const struct fc *f, uint32_t ino)
{
	size_t lo = 0, hi = f->n_inodes;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (f->inodes[mid].ino < ino)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < f->n_inodes && f->inodes[lo].ino == ino ? &f->inodes[lo] : NULL;
}

int fc_raw(struct fc *f, uint32_t ino, uint8_t **raw)
{
	uint64_t block;
	uint32_t off;
	uint8_t *buf;
	int r;

	if (!ext4_inode_addr(f->fs, ino, &block, &off))
		return -ENOENT;
	r = ext4_patch(f->fs, block, &buf);
	*raw = r ? NULL : buf + off;
	return r;
}

static int by_ino(const void *a, const void *b)
{
	const struct fc_inode *x = a, *y = b;

	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/* Every inode that a tag is about or that it names as a folder, and how it was before. */
static int list_inodes(struct fc *f)
{
	struct fc_inode *v = calloc(f->n_tags * 2, sizeof(*v));
	size_t n = 0, kept = 0;
	int r = 0;

	f->inodes = v;
	if (!v)
		return -ENOMEM;
	for (size_t k = 0; k < f->n_tags; k++) {
		const struct fc_tag *t = &f->tags[k];

		v[n++].ino = fc_tag_ino(t);
		if (t->kind >= EXT4_FC_CREAT && t->kind <= EXT4_FC_UNLINK)
			v[n++].ino =
				le32(((const struct ext4_fc_dentry *)(const void *)t->p)->parent);
	}
	qsort(v, n, sizeof(*v), by_ino);
	for (size_t k = 0; k < n && !r; k++) {
		struct ext4_inode i;
		uint8_t *raw;

		if (kept && v[kept - 1].ino == v[k].ino)
			continue;
		r = fc_raw(f, v[k].ino, &raw);
		if (r == -EIO || r == -ENOENT) {
			r = 0;
			continue; /* its tags fail */
		}
		if (r)
			break;
		ext4_inode_decode(f->fs, v[k].ino, raw, 0, &i);
		v[kept++] =
			(struct fc_inode){.ino = v[k].ino, .sum_ok = ext4_inode_sum_ok(f->fs, &i)};
	}
	f->n_inodes = kept;
	return r;
}

/* The last name of the inode is gone. What it maps stays in it, for who undeletes it. */
static int drop_inode(struct fc *f, struct fc_inode *i, uint8_t *raw)
{
	struct ext4_dinode *d = (void *)raw;
	bool dir = (le16(d->mode) & EXT4_S_TYPE) == EXT4_S_DIR;
	int r = i->changed ? fc_map_store(f, i) : 0;

	if (!r)
		r = fc_map_release(f, i);
	d->links = to_le16(0);
	d->dtime = d->ctime;
	i->parent = 0;
	if (r == -EOPNOTSUPP || r == -EBADMSG)
		r = 0; /* nothing of it is mapped by extents that can be freed */
	return r ? r : fc_mark_inode(f, i->ino, false, dir);
}

static void empty_tree(uint8_t *block)
{
	struct ext4_extent_header *h = (void *)block;

	memset(block, 0, BLOCK_END - BLOCK_AT);
	h->magic = to_le16(EXT4_EXTENT_MAGIC);
	h->max = to_le16((BLOCK_END - BLOCK_AT - sizeof(*h)) / sizeof(struct ext4_extent));
}

/*
 * What the inode was, but for i_block: of a file that is what the ranges say. Nothing else says
 * what a short link leads to, or what inline data is.
 */
static int put_inode(struct fc *f, struct fc_inode *i, const struct fc_tag *t)
{
	const uint8_t *p = t->p + 4;
	uint16_t len = t->len - 4;
	struct ext4_inode old, now;
	uint8_t *raw;
	int r = fc_raw(f, i->ino, &raw);

	if (r)
		return r;
	ext4_inode_decode(f->fs, i->ino, raw, 0, &old);
	memcpy(raw, p, BLOCK_AT);
	memcpy(raw + BLOCK_END, p + BLOCK_END, len - BLOCK_END);
	ext4_inode_decode(f->fs, i->ino, raw, 0, &now);
	i->sum_ok = true;
	i->at = 0;
	if (!now.links)
		return ext4_inode_in_use(&old) ? drop_inode(f, i, raw) : 0;
	if (!ext4_inode_in_use(&old)) {
		memset(raw + BLOCK_AT, 0, BLOCK_END - BLOCK_AT);
		memset(raw + len, 0, f->fs->inode_size - len);
	}
	if (now.flags & EXT4_F_EXTENTS) {
		if (le16(((struct ext4_extent_header *)(void *)(raw + BLOCK_AT))->magic) !=
		    EXT4_EXTENT_MAGIC)
			empty_tree(raw + BLOCK_AT);
	} else if (now.flags & EXT4_F_INLINE_DATA || !ext4_inode_has_map(f->fs, &now)) {
		memcpy(raw + BLOCK_AT, p + BLOCK_AT, BLOCK_END - BLOCK_AT);
		i->at = t->at + 4;
	}
	return fc_mark_inode(f, i->ino, true, ext4_is(&now, EXT4_S_DIR));
}

/* One name more or less. */
static int count_link(struct fc *f, struct fc_inode *i, int by)
{
	struct ext4_dinode *d;
	uint8_t *raw;
	int links, last, r = fc_raw(f, i->ino, &raw);

	if (r)
		return r;
	d = (void *)raw;
	links = le16(d->links) + by;
	/* A directory has one in itself. */
	last = by < 0 && (le16(d->mode) & EXT4_S_TYPE) == EXT4_S_DIR ? 1 : 0;
	if (!le16(d->links) || links > UINT16_MAX)
		return 0;
	if (links <= last)
		return drop_inode(f, i, raw);
	d->links = to_le16((uint16_t)links);
	return 0;
}

static int note_made(struct fc *f, struct fc_inode *i, uint32_t parent)
{
	struct ext4_inode now;
	uint8_t *raw;
	int r = fc_raw(f, i->ino, &raw);

	if (r)
		return r;
	ext4_inode_decode(f->fs, i->ino, raw, 0, &now);
	i->parent = ext4_is(&now, EXT4_S_DIR) ? parent : 0;
	return 0;
}

static int apply_tag(struct fc *f, const struct fc_tag *t)
{
	const struct ext4_fc_add_range *add = (const void *)t->p;
	const struct ext4_fc_del_range *del = (const void *)t->p;
	struct fc_inode *i = fc_inode(f, fc_tag_ino(t));

	if (!i)
		return -ENOENT;
	switch (t->kind) {
	case EXT4_FC_ADD_RANGE: return fc_add_range(f, i, &add->extent);
	case EXT4_FC_DEL_RANGE: return fc_del_range(f, i, le32(del->lblk), le32(del->len));
	case EXT4_FC_INODE: return put_inode(f, i, t);
	case EXT4_FC_LINK: return count_link(f, i, 1);
	case EXT4_FC_UNLINK: return count_link(f, i, -1);
	case EXT4_FC_CREAT:
		return note_made(f, i,
				 le32(((const struct ext4_fc_dentry *)(const void *)t->p)->parent));
	default: return 0;
	}
}

/* The inode as all tags left it. */
static int finish_inode(struct fc *f, struct fc_inode *i)
{
	struct ext4_inode now;
	struct ext4_dinode *d;
	uint8_t *raw;
	uint32_t sum;
	int r = fc_raw(f, i->ino, &raw);

	if (!r && i->changed)
		r = fc_map_store(f, i);
	if (r || !i->sum_ok || !f->fs->sums)
		return r;
	d = (void *)raw;
	ext4_inode_decode(f->fs, i->ino, raw, 0, &now);
	sum = ext4_inode_sum(f->fs, &now);
	d->checksum_lo = to_le16((uint16_t)sum);
	if (EXT4_GOOD_OLD_INODE + now.extra >=
	    offsetof(struct ext4_dinode, checksum_hi) + sizeof(d->checksum_hi))
		d->checksum_hi = to_le16((uint16_t)(sum >> 16));
	return 0;
}

/* Where the journal has i_block of links and inline data: there it can be read. */
static int keep_places(struct fc *f)
{
	struct ext4_patches *p = &f->fs->patch;

	p->ino = calloc(f->n_inodes ? f->n_inodes : 1, sizeof(*p->ino));
	if (!p->ino)
		return -ENOMEM;
	for (size_t k = 0; k < f->n_inodes; k++)
		if (f->inodes[k].at)
			p->ino[p->n_ino++] =
				(struct ext4_patch_ino){f->inodes[k].ino, f->inodes[k].at};
	return 0;
}

/* Ranges of a file that had its data inline until then: its new inode comes behind them. */
static int apply_next_inode(struct fc *f, size_t k)
{
	uint32_t ino = fc_tag_ino(&f->tags[k]);
	int r = 0;

	while (!r && ++k < f->n_tags) {
		if (f->tags[k].kind == EXT4_FC_INODE && fc_tag_ino(&f->tags[k]) == ino)
			return apply_tag(f, &f->tags[k]);
		r = fc_spend(f, 1);
	}
	return r;
}

static int apply(struct fc *f)
{
	int r = list_inodes(f);

	for (size_t k = 0; !r && k < f->n_tags; k++) {
		r = apply_tag(f, &f->tags[k]);
		if (r == -EOPNOTSUPP) {
			r = apply_next_inode(f, k);
			if (!r)
				r = apply_tag(f, &f->tags[k]);
		}
		r = fc_failed(f, r, 1);
	}
	if (!r)
		r = fc_names(f);
	for (size_t k = 0; !r && k < f->n_inodes; k++)
		r = fc_failed(f, finish_inode(f, &f->inodes[k]), 1);
	return r ? r : keep_places(f);
}

int fc_apply(struct fc *f)
{
	int r;

	f->budget = BUDGET;
	f->goal = f->fs->first_block;
	f->groups = calloc(f->fs->groups, sizeof(*f->groups));
	r = f->groups ? apply(f) : -ENOMEM;
	if (!r) {
		fc_groups_done(f);
		return 0;
	}
	/* More than can be right: half of it would be worse than none. */
	ext4_patches_free(f->fs);
	if (r == -EFBIG) {
		f->failed = (uint32_t)f->n_tags;
		r = 0;
	}
	return r;
}
