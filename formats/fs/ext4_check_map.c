/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of what maps a file's blocks, and the claim that it makes to them. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "formats/fs/ext4_check.h"
#include "vdiskck/core/sum.h"

enum {
	SECTOR = 512,
	SAID_MAX = 16, /* bad entries of one file that are told one by one */
};

struct state {
	struct ck *c;
	const struct ext4_inode *i;
	struct ck_map *m;
	uint64_t cluster; /* the one that was counted last, + 1 */
	uint64_t bad;	  /* entries that can't be, of which SAID_MAX were told */
	bool resize;	  /* the inode that holds blocks for descriptors back */
	bool is_dir;
};

static void bad_entry(struct state *s, const struct ext4_run *r, const char *what)
{
	s->m->bad = true;
	if (s->bad++ >= SAID_MAX)
		return;
	ck_say(s->c, EXT4_EXTENT_BAD, s->i->ino, r->at, r->at_len,
	       strf("logical %" PRIu64 ", block %" PRIu64 ", %" PRIu64 " blocks", r->lblk, r->block,
		    r->len),
	       NULL, "inode %" PRIu32 ": %s", s->i->ino, what);
}

/* Does any block of the run lie in metadata? */
static bool in_meta(const struct ck *c, uint64_t block, uint64_t n)
{
	uint64_t from = ck_cluster(c->fs, block), to = ck_cluster(c->fs, block + n - 1);

	for (uint64_t k = from; k <= to; k++) {
		if (k % 8 == 0 && to - k >= 7 && !c->meta[k / 8]) {
			k += 7;
			continue;
		}
		if (ck_bit(c->meta, k))
			return true;
	}
	return false;
}

static void claim(struct state *s, const struct ext4_run *r, uint64_t n)
{
	struct ck *c = s->c;
	struct ext4 *fs = c->fs;
	uint64_t first = ck_cluster(fs, r->block), last = ck_cluster(fs, r->block + n - 1);
	uint64_t clusters = last - first + 1, block = r->block;

	/* Blocks that follow in the cluster of the last one are in it with them. */
	if (fs->cluster_bits && first + 1 == s->cluster) {
		clusters--;
		block += ((first + 1) << fs->cluster_bits) - (block - fs->first_block);
	}
	s->cluster = last + 1;
	s->m->sectors += clusters << (fs->block_bits + fs->cluster_bits - 9);
	if (!clusters)
		return;
	if (in_meta(c, block, r->block + n - block)) {
		if (!s->resize)
			ck_say(c, EXT4_BLOCK_META, s->i->ino, r->at, r->at_len,
			       strf("block %" PRIu64 ", %" PRIu64 " blocks", r->block, n), NULL,
			       "inode %" PRIu32 " has blocks that hold metadata", s->i->ino);
		return;
	}
	ck_claim(c, block, r->block + n - block);
}

/* "Extent Tree": checksum behind the last entry that would fit */
static void check_tail(struct state *s, const struct ext4_run *r)
{
	const struct ext4_extent_header *h = (const void *)r->raw;
	size_t at = sizeof(*h) + le16(h->max) * sizeof(struct ext4_extent);
	le32_t ino = to_le32(s->i->ino), gen = to_le32(s->i->generation), stored;
	uint32_t c = sum_crc32c(s->c->fs->seed, &ino, sizeof(ino));

	if (!s->c->fs->sums || at + sizeof(stored) > r->raw_len)
		return;
	c = sum_crc32c(sum_crc32c(c, &gen, sizeof(gen)), r->raw, at);
	memcpy(&stored, r->raw + at, sizeof(stored));
	if (c != le32(stored))
		ck_say(s->c, EXT4_EXTENT_SUM, s->i->ino, ext4_at(s->c->fs, r->block) + at,
		       sizeof(stored), strf("0x%08" PRIx32, le32(stored)), strf("0x%08" PRIx32, c),
		       "inode %" PRIu32 ": wrong checksum of an extent tree block", s->i->ino);
}

static void check_extent_node(struct state *s, const struct ext4_run *r)
{
	const struct ext4_extent_header *h = (const void *)r->raw;
	const struct ext4_extent *first = (const void *)(h + 1);
	uint32_t fit = (r->raw_len - (uint32_t)sizeof(*h)) / (uint32_t)sizeof(*first);

	if (le16(h->magic) != EXT4_EXTENT_MAGIC)
		return; /* said as lost */
	if (le16(h->entries) > le16(h->max) || le16(h->max) > fit || le16(h->max) + 2u < fit)
		bad_entry(s, r,
			  "a block of the extent tree states more entries than it has room for");
	else if (r->block && le16(h->entries) && le32(first->block) != r->lblk)
		bad_entry(s, r, "an extent index and the block below begin at different places");
	else if (le16(h->depth) && !le16(h->entries))
		bad_entry(s, r, "an extent index without entries");
	if (r->block)
		check_tail(s, r);
}

static int check_node(struct state *s, const struct ext4_run *r)
{
	struct ext4_run one = *r;

	if (s->i->flags & EXT4_F_EXTENTS)
		check_extent_node(s, r);
	if (!r->block)
		return 0;
	one.at = r->at;
	claim(s, &one, 1);
	return 0;
}

static int note_dir(struct state *s, const struct ext4_run *r)
{
	struct ck *c = s->c;
	int err = ck_grow((void **)&c->runs, &c->runs_cap, c->n_runs, sizeof(*c->runs));

	if (!err)
		c->runs[c->n_runs++] = (struct ext4_dir_run){r->block, (uint32_t)r->lblk,
							     (uint32_t)r->len, s->i->ino};
	return err;
}

/* With bigalloc a logical block stands at the same place of its cluster as the physical one. */
static bool misplaced(const struct ext4 *fs, const struct ext4_run *r)
{
	uint64_t mask = ((uint64_t)1 << fs->cluster_bits) - 1;

	return ((r->block - fs->first_block) & mask) != (r->lblk & mask);
}

static int check_run(void *arg, const struct ext4_run *r)
{
	struct state *s = arg;
	struct ext4 *fs = s->c->fs;
	bool extents = s->i->flags & EXT4_F_EXTENTS;

	if (r->kind == EXT4_RUN_NODE)
		return check_node(s, r);
	if (r->kind == EXT4_RUN_LOST) {
		bad_entry(s, r, r->what);
		return 0;
	}
	if (!r->len) {
		bad_entry(s, r, "an extent of no blocks");
		return 0;
	}
	if (!ext4_block_ok(fs, r->block) || r->len > fs->blocks - r->block) {
		bad_entry(s, r,
			  extents ? "an extent outside the file system"
				  : "blocks outside the file system");
		return 0;
	}
	if (r->lblk < s->m->last) {
		bad_entry(s, r, "extents are not in order, or overlap");
		return 0;
	}
	s->m->holes |= r->lblk > s->m->last;
	s->m->last = r->lblk + r->len;
	if (r->kind == EXT4_RUN_DATA)
		s->m->last_init = s->m->last;
	if (fs->cluster_bits && misplaced(fs, r))
		bad_entry(s, r, "blocks are not at their place in the cluster");
	claim(s, r, r->len);
	return s->is_dir ? note_dir(s, r) : 0;
}

int ck_blocks(struct ck *c, const struct ext4_inode *i, struct ck_map *m)
{
	struct state s = {.c = c,
			  .i = i,
			  .m = m,
			  .resize = i->ino == EXT4_INO_RESIZE,
			  .is_dir = ext4_is(i, EXT4_S_DIR) && i->links};

	int r = ext4_map(c->fs, i, &c->budget, check_run, &s);

	/* A block of addresses that is garbage: one fact, not a thousand. */
	if (s.bad > SAID_MAX)
		ck_say(c, EXT4_EXTENT_BAD, i->ino, i->at, i->raw_len, NULL, NULL,
		       "inode %" PRIu32 ": %" PRIu64
		       " more entries of what maps its blocks can't be true",
		       i->ino, s.bad - SAID_MAX);
	return r;
}
