/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index of a folder, $I30: entries in $INDEX_ROOT, and in INDX blocks of $INDEX_ALLOCATION,
 * of which $BITMAP says which are in use. Source: libfsntfs, "The index".
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ntfs.h"

enum {
	BLOCK_MAX = 65536,
	DEPTH_MAX = 32,
	BITMAP_BYTES = 16 << 20, /* of blocks of one folder */
	HAS_BLOCK = 1,		 /* entry flags */
	LAST = 2,
};

struct index {
	struct span root;	      /* $INDEX_ROOT's header and entries */
	struct layer *blocks;	      /* $INDEX_ALLOCATION, or NULL */
	const struct ntfs_attr *bits; /* $BITMAP */
	uint32_t block;		      /* bytes */
	uint32_t vcn_unit;	      /* bytes that a VCN counts */
};

static int index_open(struct layer *l, const struct ntfs_inode *dir, struct index *x)
{
	const struct ntfs *n = l->priv;
	const struct ntfs_attr *root = ntfs_inode_find(dir, NTFS_INDEX_ROOT, "$I30");
	const struct ntfs_attr *all = ntfs_inode_find(dir, NTFS_INDEX_ALLOCATION, "$I30");
	const struct ntfs_index_root *h = NULL;

	*x = (struct index){.block = n->g.index_block};
	if (root && root->resident)
		h = span_at(root->value, 0, sizeof(*h));
	if (h) {
		uint32_t size = le32(h->block_size);

		x->root = span_from(root->value, offsetof(struct ntfs_index_root, h));
		if (size >= NTFS_BLOCK && size <= BLOCK_MAX && !(size & (size - 1)))
			x->block = size;
	}
	x->vcn_unit = x->block < n->g.cluster ? NTFS_BLOCK : n->g.cluster;
	x->bits = ntfs_inode_find(dir, NTFS_BITMAP, "$I30");
	if (all)
		return ntfs_stream_open(l, dir, NTFS_INDEX_ALLOCATION, all->name, "", &x->blocks);
	return 0;
}

/* The entry at @*at of a node (its header and what follows); NULL: the last, or it can't be. */
static const struct ntfs_index_entry *entry_next(struct span node, uint64_t *at, bool *damaged)
{
	const struct ntfs_index_header *h = span_at(node, 0, sizeof(*h));
	const struct ntfs_index_entry *e;

	if (h && !*at)
		*at = le32(h->entries_off);
	if (h && le32(h->used) < node.len)
		node.len = le32(h->used);
	e = h && *at >= sizeof(*h) ? span_at(node, *at, sizeof(*e)) : NULL;
	if (!e || le16(e->length) < sizeof(*e) || le16(e->length) % 8 ||
	    !span_at(node, *at, le16(e->length)) ||
	    le16(e->key_len) > le16(e->length) - sizeof(*e)) {
		*damaged = true;
		return NULL;
	}
	*at += le16(e->length);
	return e;
}

static const struct ntfs_file_name *key_of(const struct ntfs_index_entry *e)
{
	return ntfs_file_name((struct span){(const uint8_t *)(e + 1), le16(e->key_len), 0});
}

static int each_entry(struct span node, int (*fn)(void *, uint64_t, const struct ntfs_file_name *),
		      void *arg, bool *damaged)
{
	const struct ntfs_index_entry *e;
	uint64_t at = 0;
	int r = 0;

	while (!r && (e = entry_next(node, &at, damaged)) && !(le16(e->flags) & LAST)) {
		const struct ntfs_file_name *key = key_of(e);

		if (!key)
			*damaged = true;
		else
			r = fn(arg, le64(e->ref), key);
	}
	return r;
}

/* The block at byte @at of the allocation; an empty span when it is none. */
static struct span block_read(const struct index *x, uint64_t at, uint8_t *buf)
{
	const struct ntfs_index_block *h = (const void *)buf;
	struct ranges bad = {0};
	struct span node = {0};

	if (!layer_read(x->blocks, at, buf, x->block, &bad) && !bad.n &&
	    !memcmp(h->magic, "INDX", 4) && !ntfs_fixup(buf, x->block) &&
	    le64(h->vcn) == at / x->vcn_unit)
		node = (struct span){buf + offsetof(struct ntfs_index_block, h),
				     x->block - offsetof(struct ntfs_index_block, h), 0};
	ranges_free(&bad);
	return node;
}

/* @bits of the blocks in use, or NULL: then every block may be. */
static uint8_t *load_bits(struct layer *l, const struct ntfs_inode *dir, const struct index *x,
			  size_t *len)
{
	struct layer *file = NULL;
	struct ranges bad = {0};
	uint8_t *p = NULL;

	*len = 0;
	if (x->bits && !ntfs_stream_open(l, dir, NTFS_BITMAP, x->bits->name, "", &file) &&
	    file->size <= BITMAP_BYTES && (p = malloc(file->size + 1))) {
		*len = (size_t)file->size;
		if (layer_read(file, 0, p, *len, &bad) || bad.n) {
			free(p);
			p = NULL;
		}
	}
	layer_free(file);
	ranges_free(&bad);
	return p;
}

static int each_block(struct layer *l, const struct ntfs_inode *dir, const struct index *x,
		      int (*fn)(void *, uint64_t, const struct ntfs_file_name *), void *arg,
		      bool *damaged)
{
	size_t bits_len;
	uint8_t *bits = load_bits(l, dir, x, &bits_len), *buf = malloc(x->block);
	/* A folder that is larger than the volume is none. */
	uint64_t count = x->blocks->size / x->block, most = l->below->size / x->block + 1;
	int r = buf ? 0 : -ENOMEM;

	if (count > most) {
		count = most;
		*damaged = true;
	}
	if (!bits)
		*damaged = true;
	for (uint64_t i = 0; i < count && !r; i++) {
		struct span node;

		if (bits && (i / 8 >= bits_len || !(bits[i / 8] >> (i % 8) & 1)))
			continue;
		node = block_read(x, i * x->block, buf);
		if (node.len)
			r = each_entry(node, fn, arg, damaged);
		else
			*damaged = true;
	}
	free(buf);
	free(bits);
	return r;
}

int ntfs_index_each(struct layer *l, const struct ntfs_inode *dir,
		    int (*fn)(void *arg, uint64_t ref, const struct ntfs_file_name *key), void *arg,
		    bool *damaged)
{
	struct index x;
	int r = index_open(l, dir, &x);

	if (!x.root.len || dir->incomplete || dir->base.state != NTFS_GOOD)
		*damaged = true;
	if (!r && x.root.len)
		r = each_entry(x.root, fn, arg, damaged);
	if (!r && x.blocks)
		r = each_block(l, dir, &x, fn, arg, damaged);
	layer_free(x.blocks);
	return r;
}

/*
 * Look for @name in one node. 0: found; -ENOENT: neither here nor below; -EAGAIN: it may be in the
 * block at @*vcn; -EBADMSG: who knows.
 */
static int node_find(const uint16_t *upcase, struct span node, struct span name, uint64_t *ref,
		     uint64_t *vcn)
{
	const struct ntfs_index_entry *e;
	bool damaged = false;
	uint64_t at = 0;

	while ((e = entry_next(node, &at, &damaged))) {
		const struct ntfs_file_name *key = key_of(e);
		int order = -1;

		if (!(le16(e->flags) & LAST)) {
			if (!key)
				return -EBADMSG;
			order = ntfs_name_compare(upcase, name, ntfs_file_name_text(key));
		}
		if (!order) {
			*ref = le64(e->ref);
			return 0;
		}
		if (order > 0)
			continue;
		if (!(le16(e->flags) & HAS_BLOCK))
			return -ENOENT;
		if (le16(e->length) < sizeof(*e) + 8)
			return -EBADMSG;
		memcpy(vcn, (const uint8_t *)e + le16(e->length) - 8, 8);
		return -EAGAIN;
	}
	return -EBADMSG;
}

int ntfs_index_find(struct layer *l, const struct ntfs_inode *dir, struct span name, uint64_t *ref)
{
	const struct ntfs *n = l->priv;
	struct index x;
	uint64_t vcn = 0;
	int r = index_open(l, dir, &x);
	uint8_t *buf = r ? NULL : malloc(x.block);

	if (!r && !buf)
		r = -ENOMEM;
	if (!r)
		r = node_find(n->upcase, x.root, name, ref, &vcn);
	for (int depth = 0; r == -EAGAIN; depth++) {
		struct span node = {0};

		if (x.blocks && depth < DEPTH_MAX && vcn < x.blocks->size / x.vcn_unit)
			node = block_read(&x, vcn * x.vcn_unit, buf);
		r = node.len ? node_find(n->upcase, node, name, ref, &vcn) : -EBADMSG;
	}
	free(buf);
	layer_free(x.blocks);
	return r;
}
