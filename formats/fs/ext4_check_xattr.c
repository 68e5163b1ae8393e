/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of extended attributes: in inodes, in blocks that inodes share, in inodes of their own. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ext4_check.h"
#include "vdiskck/core/sum.h"

enum { SECTOR_BITS = 9, ENTRIES_MAX = 1024 };

struct area {
	uint32_t from, to;
};

struct state {
	struct ck *c;
	const struct ext4_inode *i;
	uint64_t *sectors;
	bool in_block;
	const char *wrong;
	uint64_t wrong_at;
	struct area *area; /* of values, to see whether two overlap */
	size_t n;
	uint64_t list_end; /* in the volume: behind the last entry */
	uint32_t first_value;
};

static uint32_t hash(const struct ext4_xattr *x, bool is_signed)
{
	uint32_t h = 0, size = le32(x->e->value_size), w;

	for (unsigned k = 0; k < x->e->name_len; k++) {
		int ch = is_signed ? (int)(int8_t)x->name[k] : (int)(uint8_t)x->name[k];

		h = (h << 5 | h >> 27) ^ (uint32_t)ch;
	}
	if (!x->value || !size)
		return h;
	for (uint32_t k = 0; k < size; k += 4) {
		uint8_t word[4] = {0};
		le32_t v;

		memcpy(word, x->value + k, size - k < 4 ? size - k : 4);
		memcpy(&v, word, sizeof(v));
		w = le32(v);
		h = (h << 16 | h >> 16) ^ w;
	}
	return h;
}

static int by_from(const void *a, const void *b)
{
	const struct area *x = a, *y = b;

	return x->from < y->from ? -1 : x->from > y->from;
}

static void wrong(struct state *s, const char *what, uint64_t at)
{
	if (!s->wrong) {
		s->wrong = what;
		s->wrong_at = at;
	}
}

/* A value in an inode of its own: that must be one for this. */
static void check_ea_inode(struct state *s, const struct ext4_xattr *x)
{
	struct ext4 *fs = s->c->fs;
	uint32_t ino = le32(x->e->value_inum);
	uint8_t raw[65536];
	struct ext4_inode i;
	uint64_t blocks;

	if (!EXT4_HAS(fs, incompat, EXT4_I_EA_INODE) || ino > fs->inodes ||
	    ext4_inode_read(fs, ino, raw, &i) || !(i.flags & EXT4_F_EA_INODE) || !i.links) {
		wrong(s, "an attribute's value is in an inode that is none for values", x->at);
		return;
	}
	/* Lustre's are not shared, and not charged to the file: mtime is the number of their owner. */
	if (le32(((const struct ext4_dinode *)(const void *)raw)->mtime) == s->i->ino &&
	    i.generation == s->i->generation)
		return;
	blocks = (le32(x->e->value_size) + (uint64_t)fs->block_size - 1) >> fs->block_bits;
	blocks = (blocks + (1u << fs->cluster_bits) - 1) >> fs->cluster_bits << fs->cluster_bits;
	*s->sectors += blocks << (fs->block_bits - SECTOR_BITS);
}

static int check_one(void *arg, const struct ext4_xattr *x)
{
	struct state *s = arg;
	uint32_t h = le32(x->e->hash), size = le32(x->e->value_size);

	if (s->n == ENTRIES_MAX)
		return 1;
	s->list_end = x->at + sizeof(*x->e) + ((x->e->name_len + 3u) & ~3u);
	if (le32(x->e->value_inum)) {
		check_ea_inode(s, x);
		return 0;
	}
	if (!x->value) {
		wrong(s, "an attribute's value does not lie where attributes do", x->at);
		return 0;
	}
	if (size)
		s->area[s->n++] = (struct area){x->value_off, x->value_off + ((size + 3) & ~3u)};
	if ((s->in_block || h) && h != hash(x, false) && h != hash(x, true))
		wrong(s, "an attribute's hash is wrong", x->at);
	return 0;
}

/* Values begin behind the list and don't overlap. @base: where they count from. */
static void check_areas(struct state *s, uint64_t base)
{
	uint32_t end = 0;

	qsort(s->area, s->n, sizeof(*s->area), by_from);
	for (size_t k = 0; k < s->n; k++) {
		if (s->area[k].from < end || base + s->area[k].from < s->list_end + 4)
			wrong(s, "attributes overlap", base + s->area[k].from);
		end = s->area[k].to;
	}
}

static void say(struct state *s, const char *where, uint64_t at, uint64_t len)
{
	ck_say(s->c, EXT4_XATTR_BAD, s->i->ino, s->wrong_at ? s->wrong_at : at,
	       s->wrong_at ? sizeof(struct ext4_xattr_entry) : len, NULL, NULL,
	       "inode %" PRIu32 ", attributes in %s: %s", s->i->ino, where, s->wrong);
}

static int in_inode(struct state *s)
{
	const struct ext4_inode *i = s->i;
	uint32_t at = EXT4_GOOD_OLD_INODE + i->extra;
	int r;

	s->n = 0;
	s->in_block = false;
	s->list_end = i->at + at + 4;
	r = ext4_xattr_inode(i, check_one, s);
	if (r == -EBADMSG)
		wrong(s, "the list does not end inside", i->at + at);
	check_areas(s, i->at + at + 4);
	if (s->wrong)
		say(s, "the inode", i->at + at, i->raw_len - at);
	s->wrong = NULL;
	s->wrong_at = 0;
	return r < 0 && r != -EBADMSG ? r : 0;
}

static void check_block_head(struct state *s, const uint8_t *raw, uint64_t block)
{
	const struct ext4_xattr_header *h = (const void *)raw;
	const size_t at = offsetof(struct ext4_xattr_header, checksum);
	static const uint8_t zero[4];
	struct ext4 *fs = s->c->fs;
	le64_t nr = to_le64(block);
	uint32_t c;

	if (le32(h->magic) != EXT4_XATTR_MAGIC || le32(h->blocks) != 1) {
		wrong(s, "it is no such block", block << fs->block_bits);
		return;
	}
	c = sum_crc32c(sum_crc32c(fs->seed, &nr, sizeof(nr)), raw, at);
	c = sum_crc32c(sum_crc32c(c, zero, sizeof(zero)), raw + at + 4, fs->block_size - at - 4);
	if (fs->sums && c != le32(h->checksum))
		wrong(s, "its checksum is wrong", (block << fs->block_bits) + at);
}

static int in_block(struct state *s)
{
	struct ck *c = s->c;
	struct ext4 *fs = c->fs;
	uint64_t block = s->i->file_acl;
	const struct cache_item *it = ext4_get(fs, block);
	int r = 0;

	if (!it) {
		ck_say(c, EXT4_XATTR_BAD, s->i->ino,
		       s->i->at + offsetof(struct ext4_dinode, file_acl_lo), 4,
		       strf("block %" PRIu64, block), NULL,
		       "inode %" PRIu32 ": its block of attributes lies outside the file system",
		       s->i->ino);
		return 0;
	}
	s->n = 0;
	s->in_block = true;
	s->list_end = ext4_at(fs, block) + sizeof(struct ext4_xattr_header);
	if (it->bad.n)
		wrong(s, "it is lost", block << fs->block_bits);
	else
		check_block_head(s, it->buf, block);
	if (!s->wrong) {
		r = ext4_xattr_block(fs, it->buf, ext4_at(fs, block), check_one, s);
		if (r == -EBADMSG)
			wrong(s, "the list does not end inside", block << fs->block_bits);
		check_areas(s, ext4_at(fs, block));
	}
	if (s->wrong)
		say(s, strf("block %" PRIu64, block), block << fs->block_bits, fs->block_size);
	ext4_put(fs, it);
	*s->sectors += (uint64_t)1 << (fs->cluster_bits + fs->block_bits - SECTOR_BITS);
	r = ck_grow((void **)&c->ea, &c->ea_cap, c->n_ea, sizeof(*c->ea));
	if (!r)
		c->ea[c->n_ea++] = (struct ck_ea){block, s->i->ino};
	return r;
}

int ck_xattrs(struct ck *c, const struct ext4_inode *i, uint64_t *sectors)
{
	struct area area[ENTRIES_MAX];
	struct state s = {.c = c, .i = i, .sectors = sectors, .area = area};
	int r = in_inode(&s);

	if (!r && i->file_acl && EXT4_HAS(c->fs, compat, EXT4_C_EXT_ATTR))
		r = in_block(&s);
	return r;
}

static int by_block(const void *a, const void *b)
{
	const struct ck_ea *x = a, *y = b;

	if (x->block != y->block)
		return x->block < y->block ? -1 : 1;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/* Blocks of attributes count the inodes that share them. */
int ck_xattr_refs(struct ck *c)
{
	struct ext4 *fs = c->fs;
	size_t to;

	if (c->n_ea)
		qsort(c->ea, c->n_ea, sizeof(*c->ea), by_block);
	for (size_t from = 0; from < c->n_ea; from = to) {
		uint64_t block = c->ea[from].block;
		const struct cache_item *it = ext4_get(fs, block);
		const struct ext4_xattr_header *h;

		for (to = from; to < c->n_ea && c->ea[to].block == block; to++)
			;
		if (!it)
			continue;
		h = (const void *)it->buf;
		if (ck_bit(c->used, ck_cluster(fs, block)) && !fs->cluster_bits)
			ck_say(c, EXT4_BLOCK_SHARED, c->ea[from].ino, block << fs->block_bits,
			       fs->block_size, NULL, NULL,
			       "the block of attributes %" PRIu64 " is in use by something else",
			       block);
		else if (le32(h->magic) == EXT4_XATTR_MAGIC && le32(h->refcount) != to - from)
			ck_say(c, EXT4_XATTR_BAD, c->ea[from].ino, (block << fs->block_bits) + 4, 4,
			       strf("%" PRIu32, le32(h->refcount)), strf("%zu", to - from),
			       "block of attributes %" PRIu64
			       ": another number of inodes than use it",
			       block);
		ck_set(c->used, ck_cluster(fs, block));
		ext4_put(fs, it);
	}
	return 0;
}
