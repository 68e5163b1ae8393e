/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of the bitmaps against what is in use, both ways, and of the counts of what is free. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ext4_check.h"
#include "vdiskck/core/sum.h"

enum { SAID_MAX = 16 };

struct state {
	struct ck *c;
	uint8_t *map, *want; /* of one group */
	uint64_t free_clusters;
	uint32_t free_inodes, lost_inodes;
};

static const char *unit(const struct state *s, bool inodes)
{
	return inodes ? "inodes" : s->c->fs->cluster_bits ? "clusters" : "blocks";
}

/* A run of bits that differ: [from, to) in use or free, but not by the bitmap. */
static void say_run(const struct state *s, uint32_t g, bool inodes, uint32_t from, uint32_t to,
		    uint64_t first, uint64_t at)
{
	bool used = ck_bit(s->want, from);

	ck_say(s->c, inodes ? EXT4_INODE_BITMAP : EXT4_BLOCK_BITMAP, 0, at + from / 8,
	       (to - 1) / 8 - from / 8 + 1, used ? "free" : "in use", used ? "in use" : "free",
	       "%s %" PRIu64 " to %" PRIu64 ": the %s bitmap of group %" PRIu32 " says they are %s",
	       unit(s, inodes), first + from, first + to - 1, inodes ? "inode" : "block", g,
	       used ? "free, and they are in use" : "in use, and nothing uses them");
}

/*
 * Each run of bits that differ. A bitmap that is garbage is one fact, not thousands: behind the
 * first SAID_MAX runs they are counted.
 */
static void differ(struct state *s, uint32_t g, bool inodes, uint32_t n, uint64_t first,
		   uint64_t at)
{
	uint32_t k = 0, runs = 0, more = 0;

	while (k < n) {
		uint32_t from = k;
		bool used;

		if (k % 8 == 0 && s->map[k / 8] == s->want[k / 8]) {
			k += 8;
			continue;
		}
		used = ck_bit(s->want, k);
		if (ck_bit(s->map, k) == used) {
			k++;
			continue;
		}
		while (k < n && ck_bit(s->want, k) == used && ck_bit(s->map, k) != used)
			k++;
		if (runs++ < SAID_MAX)
			say_run(s, g, inodes, from, k, first, at);
		else
			more += k - from;
	}
	if (more)
		ck_say(s->c, inodes ? EXT4_INODE_BITMAP : EXT4_BLOCK_BITMAP, 0, at, (n + 7) / 8,
		       NULL, NULL,
		       "%" PRIu32 " more %s in %" PRIu32 " places: the %s bitmap of group %" PRIu32
		       " is wrong about them",
		       more, unit(s, inodes), runs - SAID_MAX, inodes ? "inode" : "block", g);
}

/* Bits behind the last one of the group are set, as far as the block goes. */
static void check_padding(struct state *s, uint32_t g, bool inodes, uint32_t n, uint64_t at)
{
	uint32_t bits = s->c->fs->block_size * 8;

	for (uint32_t k = n; k < bits; k++)
		if (!ck_bit(s->map, k)) {
			ck_say(s->c, inodes ? EXT4_INODE_BITMAP : EXT4_BLOCK_BITMAP, 0, at + k / 8,
			       s->c->fs->block_size - k / 8, NULL, NULL,
			       "the %s bitmap of group %" PRIu32
			       " has bits of no %s that are not set",
			       inodes ? "inode" : "block", g, inodes ? "inode" : "block");
			return;
		}
}

/* Descriptors of a copy are those of mkfs: flags and checksums in them are as old. */
static bool old_desc(const struct ext4 *fs, uint32_t g)
{
	return fs->sb_copy || fs->gdt_state[g / fs->descs_per_block] == EXT4_GDT_COPY;
}

static void check_sum(struct state *s, uint32_t g, bool inodes, uint32_t stored, size_t len,
		      uint64_t at)
{
	struct ext4 *fs = s->c->fs;
	uint32_t sum = sum_crc32c(fs->seed, s->map, len);

	if (old_desc(fs, g))
		return;

	if (fs->desc_size < EXT4_DESC_64)
		sum &= 0xffff;
	if (fs->sums && sum != stored)
		ck_say(s->c, EXT4_BITMAP_SUM, 0, at, len, strf("0x%08" PRIx32, stored),
		       strf("0x%08" PRIx32, sum),
		       "the %s bitmap of group %" PRIu32 " has a wrong checksum",
		       inodes ? "inode" : "block", g);
}

/* A bitmap's block; false: it can't be had, which is said. */
static int read_map(struct state *s, uint64_t block, bool inodes, uint32_t g, bool *read)
{
	struct ext4 *fs = s->c->fs;
	struct ranges bad = {0};
	int r = 0;

	*read = false;
	if (!ext4_block_ok(fs, block))
		return 0;
	r = ext4_read(fs, block, 1, s->map, &bad);
	*read = !r && !bad.n;
	if (!r && bad.n)
		ck_say(s->c, inodes ? EXT4_INODE_BITMAP : EXT4_BLOCK_BITMAP, 0,
		       block << fs->block_bits, fs->block_size, NULL, NULL,
		       "the %s bitmap of group %" PRIu32 " can't be read",
		       inodes ? "inode" : "block", g);
	ranges_free(&bad);
	session_checked(s->c->l->s, fs->block_size);
	return r;
}

static uint32_t count_zero(const uint8_t *map, uint32_t n)
{
	uint32_t used = 0, k = 0;

	for (; k + 64 <= n; k += 64) {
		uint64_t v;

		memcpy(&v, map + k / 8, sizeof(v));
		used += (uint32_t)__builtin_popcountll(v);
	}
	for (; k < n; k++)
		used += ck_bit(map, k);
	return n - used;
}

/* Bits [from, from + n) of @map to the start of @to. */
static void cut(const uint8_t *map, uint64_t from, uint32_t n, uint8_t *to)
{
	if (from % 8 == 0) {
		memcpy(to, map + from / 8, (n + 7) / 8);
		return;
	}
	memset(to, 0, (n + 7) / 8);
	for (uint32_t k = 0; k < n; k++)
		if (ck_bit(map, from + k))
			ck_set(to, k);
}

static void check_count(struct state *s, uint32_t g, const char *what, size_t at, uint32_t stored,
			uint32_t found)
{
	struct ext4 *fs = s->c->fs;
	uint64_t desc = (ext4_gdt_block(fs, g / fs->descs_per_block, 0) << fs->block_bits) +
			(uint64_t)(g % fs->descs_per_block) * fs->desc_size;

	/* A copy's counts are those of mkfs: EXT4_GROUPS_COPY said so. */
	if (stored != found && fs->gdt_state[g / fs->descs_per_block] != EXT4_GDT_COPY)
		ck_say(s->c, EXT4_GROUP_COUNT, 0, desc + at, 2, strf("%" PRIu32, stored),
		       strf("%" PRIu32, found),
		       "descriptor of group %" PRIu32 ": wrong number of %s", g, what);
}

static int check_blocks(struct state *s, uint32_t g, const struct ext4_group *gr)
{
	struct ck *c = s->c;
	struct ext4 *fs = c->fs;
	uint32_t per = fs->blocks_per_group >> fs->cluster_bits, n = per;
	uint64_t first = (uint64_t)g * per, at = gr->block_bitmap << fs->block_bits;
	bool read = false, uninit = fs->gd_sums && gr->fresh && gr->flags & EXT4_BG_BLOCK_UNINIT;
	int r;

	if (n > c->clusters - first)
		n = (uint32_t)(c->clusters - first);
	cut(c->used, first, n, s->want);
	s->free_clusters += count_zero(s->want, n);
	check_count(s, g, "free blocks", offsetof(struct ext4_desc, free_blocks_lo),
		    gr->free_blocks, count_zero(s->want, n));
	if (uninit) {
		/* Only the group's own metadata is in use, whatever the bitmap's block says. */
		cut(c->meta, first, n, s->map);
		if (memcmp(s->map, s->want, (n + 7) / 8))
			ck_say(c, EXT4_GROUP_UNUSED, 0, at, fs->block_size, NULL, NULL,
			       "group %" PRIu32
			       " has blocks in use, and a block bitmap marked as not initialised",
			       g);
		return 0;
	}
	r = read_map(s, gr->block_bitmap, false, g, &read);
	if (r || !read)
		return r;
	if (old_desc(fs, g) && all_zero(s->map, fs->block_size)) {
		/* It was not initialised, then: that is right as long as only metadata is in use. */
		cut(c->meta, first, n, s->map);
		if (!memcmp(s->map, s->want, (n + 7) / 8))
			return 0;
		memset(s->map, 0, fs->block_size);
	}
	check_sum(s, g, false, gr->block_csum, per / 8, at);
	differ(s, g, false, n, fs->cluster_bits ? first : first + fs->first_block, at);
	check_padding(s, g, false, n, at);
	return 0;
}

/* Whether a lost inode was in use, only the bitmap can say. */
static bool is_lost(const struct ck *c, uint32_t ino)
{
	return (c->inode[ino] & (CK_BAD | CK_SEEN)) == CK_BAD;
}

static int check_inodes(struct state *s, uint32_t g, const struct ext4_group *gr)
{
	struct ck *c = s->c;
	struct ext4 *fs = c->fs;
	uint32_t n = fs->inodes_per_group, first = g * n + 1, dirs = 0, lost = 0;
	uint64_t at = gr->inode_bitmap << fs->block_bits;
	bool read = false, uninit = fs->gd_sums && gr->fresh && gr->flags & EXT4_BG_INODE_UNINIT;
	int r;

	memset(s->want, 0, fs->block_size);
	for (uint32_t k = 0; k < n; k++)
		if (c->inode[first + k] & CK_USED) {
			ck_set(s->want, k);
			dirs += (c->inode[first + k] & CK_DIR) != 0;
		} else {
			lost += is_lost(c, first + k);
		}
	s->free_inodes += count_zero(s->want, n);
	s->lost_inodes += lost;
	if (!lost) {
		check_count(s, g, "free inodes", offsetof(struct ext4_desc, free_inodes_lo),
			    gr->free_inodes, count_zero(s->want, n));
		check_count(s, g, "directories", offsetof(struct ext4_desc, used_dirs_lo),
			    gr->used_dirs, dirs);
	}
	if (uninit)
		return 0;
	r = read_map(s, gr->inode_bitmap, true, g, &read);
	if (r || !read)
		return r;
	if (old_desc(fs, g) && all_zero(s->map, fs->block_size) &&
	    all_zero(s->want, fs->block_size))
		return 0;
	check_sum(s, g, true, gr->inode_csum, n / 8, at);
	for (uint32_t k = 0; lost && k < n; k++)
		if (is_lost(c, first + k) && ck_bit(s->map, k))
			ck_set(s->want, k);
	differ(s, g, true, n, first, at);
	check_padding(s, g, true, n, at);
	return 0;
}

/* The superblock's own counts are set right at each mount. */
static void check_totals(struct state *s)
{
	struct ext4 *fs = s->c->fs;
	uint64_t blocks = le32(fs->sb.free_blocks_lo), want = s->free_clusters << fs->cluster_bits;

	if (EXT4_HAS(fs, incompat, EXT4_I_64BIT))
		blocks |= (uint64_t)le32(fs->sb.free_blocks_hi) << 32;
	if (fs->sb_copy || EXT4_HAS(fs, incompat, EXT4_I_RECOVER))
		return;
	if (blocks != want)
		ck_say(s->c, EXT4_FREE_COUNT, 0,
		       fs->sb_at + offsetof(struct ext4_super, free_blocks_lo), 4,
		       strf("%" PRIu64, blocks), strf("%" PRIu64, want),
		       "the superblock states another number of free blocks");
	if (!s->lost_inodes && le32(fs->sb.free_inodes) != s->free_inodes)
		ck_say(s->c, EXT4_FREE_COUNT, 0,
		       fs->sb_at + offsetof(struct ext4_super, free_inodes), 4,
		       strf("%" PRIu32, le32(fs->sb.free_inodes)), strf("%" PRIu32, s->free_inodes),
		       "the superblock states another number of free inodes");
}

int ck_bitmaps(struct ck *c)
{
	struct ext4 *fs = c->fs;
	struct state s = {.c = c, .map = malloc(fs->block_size), .want = malloc(fs->block_size)};
	int r = s.map && s.want ? 0 : -ENOMEM;

	for (uint32_t g = 0; g < fs->groups && !r; g++) {
		struct ext4_group gr = ext4_group(fs, g);

		r = session_stopped(c->l->s) ? -EINTR : check_blocks(&s, g, &gr);
		if (!r)
			r = check_inodes(&s, g, &gr);
	}
	if (!r)
		check_totals(&s);
	free(s.map);
	free(s.want);
	return r;
}
