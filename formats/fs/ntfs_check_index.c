/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NTFS: every index of a record, walked as its entries lead from $INDEX_ROOT down. Keys rise from
 * the first to the last of the whole tree, each block is named once, and $BITMAP names the same
 * blocks. Source: libfsntfs, "The index".
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ntfs_check.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

enum {
	BLOCK_MAX = 65536,
	DEPTH_MAX = 24,
	KEY_MAX = 66 + 2 * 255,
	BLOCKS_MAX = 8 << 20, /* of one index */
	HAS_BLOCK = 1,	      /* entry flags */
	LAST = 2,
};

/* How the keys of an index are ordered. */
enum collation {
	BY_FILE_NAME = 1,
	BY_ULONG = 0x10,
	BY_SECURITY_HASH = 0x12,
	BY_ULONGS = 0x13,
};

struct walk {
	struct ntfs_check *k;
	const struct ntfs_inode *dir;
	struct span name;     /* of the index */
	struct layer *blocks; /* $INDEX_ALLOCATION, or NULL */
	uint32_t block, vcn_unit, collation;
	uint8_t *seen; /* a bit for each block */
	uint64_t n_blocks;
	uint8_t *bufs[DEPTH_MAX];
	uint8_t key[KEY_MAX]; /* the one before, in the order of the tree */
	size_t key_len;
	bool has_key, broken;
	bool files; /* $I30 */
};

static void title(struct walk *w, char *out, size_t cap)
{
	char name[NTFS_NAME_MAX], text[NTFS_CHECK_NAME];

	name_escape(name, ntfs_name_put(w->name, name, sizeof(name)), text, sizeof(text));
	snprintf(out, cap, "index %s of record %" PRIu64, text, w->dir->number);
}

static void bad_block(struct walk *w, uint64_t at, uint64_t len, const char *why)
{
	char text[NTFS_NAME_MAX + 64];

	w->broken = true;
	title(w, text, sizeof(text));
	finding(w->k->l, NTFS_INDEX_BLOCK, at, len, "%s: %s", text, why);
}

/* ---- order ---- */

static int by_words(const uint8_t *a, const uint8_t *b, size_t len)
{
	for (size_t i = 0; i + 4 <= len; i += 4) {
		uint32_t x = le32(*(const le32_t *)(a + i)), y = le32(*(const le32_t *)(b + i));

		if (x != y)
			return x < y ? -1 : 1;
	}
	return 0;
}

/* -1: as it must be. Names that differ only in case may stand in either order. */
static int compare(const struct walk *w, const uint8_t *a, size_t a_len, const uint8_t *b,
		   size_t b_len)
{
	const struct ntfs_file_name *x, *y;
	size_t len = a_len < b_len ? a_len : b_len;
	int c;

	switch (w->collation) {
	case BY_FILE_NAME:
		x = ntfs_file_name((struct span){a, a_len, 0});
		y = ntfs_file_name((struct span){b, b_len, 0});
		if (!x || !y || !w->k->upcase_good)
			return -1;
		c = ntfs_name_compare(w->k->n->upcase, ntfs_file_name_text(x),
				      ntfs_file_name_text(y));
		if (c || x->name_len != y->name_len)
			return c;
		return memcmp(x->name, y->name, x->name_len * 2u) ? -1 : 0;
	case BY_ULONG:
	case BY_ULONGS:
		c = by_words(a, b, len);
		return c || a_len == b_len ? c : a_len < b_len ? -1 : 1;
	case BY_SECURITY_HASH: return by_words(a, b, len);
	default: return -1;
	}
}

static void check_order(struct walk *w, const uint8_t *key, size_t len, uint64_t at)
{
	char text[NTFS_NAME_MAX + 64];

	if (len > KEY_MAX)
		return;
	if (w->has_key && compare(w, w->key, w->key_len, key, len) >= 0) {
		title(w, text, sizeof(text));
		w->broken = true;
		finding(w->k->l, NTFS_INDEX_ORDER, at, len,
			"%s: a key is not behind the one before it", text);
	}
	memcpy(w->key, key, len);
	w->key_len = len;
	w->has_key = true;
}

/* ---- nodes ---- */

/* An entry of a folder: count its name, see ntfs_check_names(). */
static void count_name(struct walk *w, const struct ntfs_index_entry *e, uint64_t at)
{
	struct ntfs_check *k = w->k;
	const struct ntfs_file_name *f =
		ntfs_file_name((struct span){(const uint8_t *)(e + 1), le16(e->key_len), 0});
	uint64_t number = ntfs_ref_number(le64(e->ref));

	if (!w->files || !f || number >= k->n->records)
		return;
	k->names[number] -= ntfs_check_name(le64(e->ref), f);
	if (k->sizes[number] && le64(f->size) != k->sizes[number] - 1 && !k->stale++) {
		k->stale_first = number;
		k->stale_at = at + sizeof(*e) + offsetof(struct ntfs_file_name, size);
	}
}

static int walk_block(struct walk *w, uint64_t vcn, unsigned depth, uint64_t from);

/*
 * A node: its header and entries. @at: where it lies in the volume (fixups move nothing that
 * matters for that).
 */
static int walk_node(struct walk *w, struct span node, uint64_t at, unsigned depth)
{
	const struct ntfs_index_header *h = span_at(node, 0, sizeof(*h));
	uint64_t pos = h ? le32(h->entries_off) : 0;
	int r = 0;

	if (!h || le32(h->used) > node.len || pos < sizeof(*h)) {
		bad_block(w, at, node.len < 16 ? node.len : 16,
			  "the header of a node is impossible");
		return 0;
	}
	node.len = le32(h->used);
	while (!r) {
		const struct ntfs_index_entry *e = span_at(node, pos, sizeof(*e));
		size_t len = e ? le16(e->length) : 0, key = e ? le16(e->key_len) : 0;
		bool last, deeper;

		if (len < sizeof(*e) || len % 8 || !span_at(node, pos, len) ||
		    key > len - sizeof(*e)) {
			bad_block(w, at + pos, 16, "an entry does not fit its node");
			return 0;
		}
		last = le16(e->flags) & LAST;
		deeper = le16(e->flags) & HAS_BLOCK;
		if (deeper && len < sizeof(*e) + 8) {
			bad_block(w, at + pos, 16, "an entry has no room for its VCN");
			return 0;
		}
		if (deeper) /* the keys below come before this one */
			r = walk_block(w, le64(*(const le64_t *)(node.p + pos + len - 8)), depth,
				       at + pos + len - 8);
		if (last || r)
			return r;
		check_order(w, (const uint8_t *)(e + 1), key, at + pos + sizeof(*e));
		count_name(w, e, at + pos);
		pos += len;
	}
	return r;
}

static uint64_t block_at(const struct walk *w, uint64_t off)
{
	struct extent run;

	return !layer_map(w->blocks, off, &run) && run.kind == EXTENT_DATA ? run.at : 0;
}

/* What is wrong with the fixed-up block @buf, or NULL. */
static const char *fault(const struct walk *w, uint8_t *buf, uint64_t vcn, uint64_t *piece)
{
	const struct ntfs_index_block *h = (const void *)buf;
	uint64_t torn;

	*piece = UINT64_MAX;
	if (memcmp(h->magic, "INDX", 4))
		return "a block that is in use is no index block";
	torn = ntfs_fixup(buf, w->block);
	if (torn == UINT64_MAX)
		return "the update sequence array of a block is impossible";
	if (torn) {
		*piece = (uint64_t)__builtin_ctzll(torn) * NTFS_BLOCK;
		return "a sector of a block is from another write";
	}
	if (le64(h->vcn) != vcn)
		return "a block says that it lies elsewhere";
	return NULL;
}

/* The block at @vcn, which the entry at @from leads to. */
static int walk_block(struct walk *w, uint64_t vcn, unsigned depth, uint64_t from)
{
	struct ranges bad = {0};
	uint64_t off, i, piece;
	const char *why;
	uint8_t *buf;
	int r;

	if (!w->blocks || vcn >= w->blocks->size / w->vcn_unit ||
	    (off = vcn * w->vcn_unit) % w->block || (i = off / w->block) >= w->n_blocks ||
	    depth >= DEPTH_MAX) {
		bad_block(w, from, 8, "an entry leads to a block that the index does not have");
		return 0;
	}
	if (w->seen[i / 8] >> (i % 8) & 1) {
		bad_block(w, from, 8, "two entries lead to the same block");
		return 0;
	}
	w->seen[i / 8] |= (uint8_t)(1u << (i % 8));
	if (!w->bufs[depth] && !(w->bufs[depth] = malloc(w->block)))
		return -ENOMEM;
	buf = w->bufs[depth];
	r = layer_read(w->blocks, off, buf, w->block, &bad);
	why = bad.n ? "a block can't be read" : r ? NULL : fault(w, buf, vcn, &piece);
	if (!r && bad.n)
		piece = UINT64_MAX;
	ranges_free(&bad);
	if (r)
		return r;
	if (why) {
		bool whole = piece == UINT64_MAX;

		bad_block(w, block_at(w, off + (whole ? 0 : piece)), whole ? w->block : NTFS_BLOCK,
			  why);
		return 0;
	}
	session_checked(w->k->l->s, w->block);
	return walk_node(w,
			 (struct span){buf + offsetof(struct ntfs_index_block, h),
				       w->block - offsetof(struct ntfs_index_block, h), 0},
			 block_at(w, off) + offsetof(struct ntfs_index_block, h), depth + 1);
}

/* ---- one index ---- */

static uint64_t differing_blocks(const struct walk *w, const uint8_t *bits, uint64_t len)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < w->n_blocks; i++) {
		bool used = i / 8 < len && bits[i / 8] >> (i % 8) & 1;

		n += used != (w->seen[i / 8] >> (i % 8) & 1);
	}
	return n;
}

static int check_bits(struct walk *w)
{
	const struct ntfs_attr *a = ntfs_inode_attr(w->dir, NTFS_BITMAP, w->name);
	char text[NTFS_NAME_MAX + 64];
	struct layer *file = NULL;
	struct ranges bad = {0};
	uint8_t *bits = NULL;
	uint64_t n;
	int r = 0;

	title(w, text, sizeof(text));
	if (a)
		r = ntfs_stream_open(w->k->l, w->dir, NTFS_BITMAP, w->name, "", &file);
	if (r || !file || file->size > BLOCKS_MAX / 8 + 8) {
		if (r != -ENOMEM)
			finding(w->k->l, NTFS_INDEX_BITMAP, ntfs_check_at(w->k, w->dir->number, 0),
				w->k->n->g.record, "%s has blocks, but no bitmap of them", text);
		layer_free(file);
		return r == -ENOMEM ? r : 0;
	}
	bits = calloc(1, (size_t)file->size + 1);
	r = bits ? layer_read(file, 0, bits, (size_t)file->size, &bad) : -ENOMEM;
	n = r ? 0 : differing_blocks(w, bits, file->size);
	if (n)
		finding(w->k->l, NTFS_INDEX_BITMAP,
			ntfs_check_at(w->k, w->dir->number, (uint32_t)a->at), 16,
			"%s: for %" PRIu64 " of %" PRIu64 " blocks its bitmap is wrong", text, n,
			w->n_blocks);
	ranges_free(&bad);
	free(bits);
	layer_free(file);
	return r;
}

static int open_blocks(struct walk *w)
{
	int r;

	if (!ntfs_inode_attr(w->dir, NTFS_INDEX_ALLOCATION, w->name))
		return 0;
	r = ntfs_stream_open(w->k->l, w->dir, NTFS_INDEX_ALLOCATION, w->name, "", &w->blocks);
	if (r)
		return r == -ENOMEM ? r : 0;
	w->n_blocks = w->blocks->size / w->block;
	/* An index that is larger than the volume is none. */
	if (w->n_blocks > BLOCKS_MAX || w->n_blocks > w->k->l->size / w->block + 1) {
		bad_block(w, ntfs_check_at(w->k, w->dir->number, 0), w->k->n->g.record,
			  "it is larger than an index can be");
		w->n_blocks = 0;
	}
	w->seen = calloc(w->n_blocks / 8 + 1, 1);
	return w->seen ? 0 : -ENOMEM;
}

static int check_index(struct ntfs_check *k, const struct ntfs_inode *dir,
		       const struct ntfs_attr *a, uint64_t record)
{
	const struct ntfs_index_root *h = a->resident ? span_at(a->value, 0, sizeof(*h)) : NULL;
	struct walk *w = calloc(1, sizeof(*w));
	uint32_t size = h ? le32(h->block_size) : 0;
	int r = w ? 0 : -ENOMEM;

	if (r)
		return r;
	*w = (struct walk){.k = k, .dir = dir, .name = a->name, .block = size};
	if (size < NTFS_BLOCK || size > BLOCK_MAX || size & (size - 1)) {
		bad_block(w, ntfs_check_at(k, record, (uint32_t)a->at), 32,
			  "its root is none, or states an impossible block size");
		free(w);
		return 0;
	}
	w->vcn_unit = size < k->n->g.cluster ? NTFS_BLOCK : k->n->g.cluster;
	w->collation = le32(h->collation);
	w->files = ntfs_name_is(a->name, "$I30");
	r = open_blocks(w);
	if (!r)
		r = walk_node(w, span_from(a->value, offsetof(struct ntfs_index_root, h)),
			      ntfs_check_at(k, record,
					    (uint32_t)(a->value.addr +
						       offsetof(struct ntfs_index_root, h))),
			      0);
	if (!r && w->n_blocks && !w->broken)
		r = check_bits(w);
	for (size_t i = 0; i < DEPTH_MAX; i++)
		free(w->bufs[i]);
	free(w->seen);
	layer_free(w->blocks);
	free(w);
	return r;
}

int ntfs_check_indexes(struct ntfs_check *k, uint64_t number)
{
	struct ntfs_inode *ino = malloc(sizeof(*ino));
	bool found = false;
	int r = ino ? ntfs_inode_load(k->l, number, ino) : -ENOMEM;

	if (!ino)
		return r;
	for (size_t i = 0; i < ino->n_attrs && !r; i++) {
		if (ino->attrs[i].a.type != NTFS_INDEX_ROOT)
			continue;
		found = true;
		r = check_index(k, ino, &ino->attrs[i].a, ino->attrs[i].record);
	}
	if (!r && !found)
		finding(k->l, NTFS_INDEX_BLOCK, ntfs_check_at(k, number, 0), k->n->g.record,
			"record %" PRIu64 " is a folder, but has no index", number);
	ntfs_inode_free(ino);
	free(ino);
	return r == -EBADMSG ? 0 : r;
}
