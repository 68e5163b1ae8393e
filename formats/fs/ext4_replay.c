/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A journal that was not replayed, applied in memory: ext4_read() asks ext4_newer() for each block.
 * Source: "Journal (jbd2)" of the kernel's ext4 documentation; what recovery does with a broken log
 * is fs/jbd2/recovery.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ext4_fs.h"
#include "vdiskck/core/sum.h"

struct revoked {
	uint64_t block;
	uint32_t sequence;
};

struct log {
	struct ext4 *fs;
	struct ext4_journal *j;
	uint8_t *buf, *data; /* a block each */
	uint32_t seed;
	struct revoked *revoked;
	size_t n_revoked, revoked_cap;
	size_t newer_cap;
};

static uint32_t next_block(const struct ext4_journal *j, uint32_t k)
{
	return k + 1 < j->block_end ? k + 1 : j->block_first;
}

/* Checksum of a block whose field @at is taken as zero. */
static uint32_t block_sum(const struct log *g, uint8_t *buf, size_t at)
{
	static const uint8_t zero[4];
	uint32_t c = sum_crc32c(g->seed, buf, at);

	c = sum_crc32c(c, zero, sizeof(zero));
	return sum_crc32c(c, buf + at + 4, g->fs->block_size - at - 4);
}

static uint32_t get_be32(const uint8_t *p)
{
	be32_t v;

	memcpy(&v, p, sizeof(v));
	return be32(v);
}

/* Descriptor and revoke blocks have theirs in the last four bytes, commit blocks at 16. */
static bool sum_ok(const struct log *g, uint32_t type)
{
	size_t at = type == JBD2_COMMIT ? 16 : g->fs->block_size - 4;

	return !ext4_journal_sums(g->j) || block_sum(g, g->buf, at) == get_be32(g->buf + at);
}

struct tag {
	uint64_t block;
	uint32_t flags, checksum;
};

static size_t tag_len(const struct ext4_journal *j)
{
	if (j->incompat & JBD2_I_CSUM_V3)
		return 16;
	return 8u + (j->incompat & JBD2_I_CSUM_V2 ? 2 : 0) + (j->incompat & JBD2_I_64BIT ? 4 : 0);
}

/* The tag at *@off of a descriptor block; false: there is none any more. */
static bool next_tag(const struct ext4 *fs, const uint8_t *buf, size_t *off, struct tag *t)
{
	const struct ext4_journal *j = &fs->j;
	size_t len = tag_len(j), end = fs->block_size - (ext4_journal_sums(j) ? 4 : 0);
	const uint8_t *p = buf + *off;

	if (*off + len > end)
		return false;
	t->block = get_be32(p);
	if (j->incompat & JBD2_I_CSUM_V3) {
		t->flags = get_be32(p + 4);
		t->checksum = get_be32(p + 12);
	} else {
		t->flags = get_be32(p + 4) & 0xffff;
		t->checksum = get_be32(p + 4) >> 16;
	}
	if (j->incompat & JBD2_I_64BIT)
		t->block |= (uint64_t)get_be32(p + 8) << 32;
	*off += len + (t->flags & JBD2_TAG_SAME_UUID ? 0 : 16);
	return true;
}

static uint32_t count_tags(const struct ext4 *fs, const uint8_t *buf)
{
	size_t off = sizeof(struct jbd2_header);
	uint32_t n = 0;
	struct tag t;

	while (next_tag(fs, buf, &off, &t)) {
		n++;
		if (t.flags & JBD2_TAG_LAST)
			break;
	}
	return n;
}

static bool tag_sum_ok(const struct log *g, const struct tag *t, uint32_t sequence)
{
	be32_t seq = to_be32(sequence);
	uint32_t c;

	if (!ext4_journal_sums(g->j))
		return true;
	c = sum_crc32c(sum_crc32c(g->seed, &seq, sizeof(seq)), g->data, g->fs->block_size);
	return g->j->incompat & JBD2_I_CSUM_V3 ? c == t->checksum : (c & 0xffff) == t->checksum;
}

static int grow(void **v, size_t *cap, size_t n, size_t size)
{
	size_t more = *cap ? *cap * 2 : 64;
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

static int add_revoked(struct log *g, uint32_t sequence)
{
	size_t width = g->j->incompat & JBD2_I_64BIT ? 8 : 4;
	size_t end = get_be32(g->buf + 12),
	       max = g->fs->block_size - (ext4_journal_sums(g->j) ? 4 : 0);
	int r = 0;

	if (end > max)
		end = max;
	for (size_t off = 16; off + width <= end && !r; off += width) {
		uint64_t block = get_be32(g->buf + off);

		if (width == 8)
			block = block << 32 | get_be32(g->buf + off + 4);
		r = grow((void **)&g->revoked, &g->revoked_cap, g->n_revoked, sizeof(*g->revoked));
		if (!r)
			g->revoked[g->n_revoked++] = (struct revoked){block, sequence};
	}
	g->j->revoked += !r;
	return r;
}

static int by_revoked(const void *a, const void *b)
{
	const struct revoked *x = a, *y = b;

	if (x->block != y->block)
		return x->block < y->block ? -1 : 1;
	return (int32_t)(x->sequence - y->sequence) < 0 ? -1 : x->sequence != y->sequence;
}

/* Was the block freed in @sequence or later, so that this copy must not come back? */
static bool is_revoked(const struct log *g, uint64_t block, uint32_t sequence)
{
	size_t lo = 0, hi = g->n_revoked;

	/* The last one of the block is its newest. */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (g->revoked[mid].block <= block)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && g->revoked[lo - 1].block == block &&
	       (int32_t)(sequence - g->revoked[lo - 1].sequence) <= 0;
}

/* The blocks that the descriptor in g->buf names; they lie from block @k of the journal on. */
static int add_newer(struct log *g, uint32_t k, uint32_t sequence)
{
	size_t off = sizeof(struct jbd2_header);
	struct ext4_journal *j = g->j;
	struct tag t = {0};
	int r = 0;

	while (!r && !(t.flags & JBD2_TAG_LAST) && next_tag(g->fs, g->buf, &off, &t)) {
		uint64_t at = k < j->n_blocks ? j->blocks[k] : 0;

		r = ext4_journal_read(g->fs, k, g->data);
		k = next_block(j, k);
		if (r == -EIO || (!r && !tag_sum_ok(g, &t, sequence))) {
			j->bad_copies++;
			r = 0;
			continue;
		}
		if (r || t.flags & JBD2_TAG_DELETED || !ext4_block_ok(g->fs, t.block) ||
		    is_revoked(g, t.block, sequence))
			continue;
		r = grow((void **)&j->newer, &g->newer_cap, j->n_all, sizeof(*j->newer));
		if (!r)
			j->newer[j->n_all++] = (struct ext4_newer){
				t.block, at, 0, (t.flags & JBD2_TAG_ESCAPED) != 0};
	}
	return r;
}

enum pass { SCAN, REVOKE, REPLAY };

/* From the start of the log up to transaction @end (SCAN: find that, and say so in @end). */
static int run_pass(struct log *g, enum pass pass, uint32_t *end)
{
	struct ext4_journal *j = g->j;
	uint32_t k = be32(j->super.start), sequence = be32(j->super.sequence);
	uint32_t left = j->block_end - j->block_first;
	int r = 0;

	while (!r && left && (pass == SCAN || sequence != *end)) {
		uint32_t type, here = k, n;

		r = ext4_journal_read(g->fs, k, g->buf);
		if (r || get_be32(g->buf) != JBD2_MAGIC || get_be32(g->buf + 8) != sequence)
			break;
		type = get_be32(g->buf + 4);
		if (!sum_ok(g, type)) {
			j->torn = true;
			j->torn_block = k;
			break;
		}
		k = next_block(j, k);
		left--;
		if (type == JBD2_DESCRIPTOR) {
			n = count_tags(g->fs, g->buf);
			if (pass == REPLAY)
				r = add_newer(g, k, sequence);
			for (; n && left; n--, left--)
				k = next_block(j, k);
		} else if (type == JBD2_REVOKE) {
			if (pass == REVOKE)
				r = add_revoked(g, sequence);
		} else if (type == JBD2_COMMIT) {
			sequence++;
		} else {
			k = here;
			break;
		}
	}
	if (pass == SCAN)
		*end = sequence;
	return r == -EIO ? 0 : r;
}

/* In the order of transactions before, by block after: the newest of each stays. */
static int by_block(const void *a, const void *b)
{
	const struct ext4_newer *x = a, *y = b;

	if (x->block != y->block)
		return x->block < y->block ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

static void keep_newest(struct ext4_journal *j)
{
	size_t n = 0;

	for (size_t i = 0; i < j->n_all; i++)
		j->newer[i].order = (uint32_t)i;
	qsort(j->newer, j->n_all, sizeof(*j->newer), by_block);
	for (size_t i = 0; i < j->n_all; i++) {
		if (n && j->newer[n - 1].block == j->newer[i].block)
			n--;
		j->newer[n++] = j->newer[i];
	}
	j->n_newer = n;
}

static int replay(struct log *g)
{
	struct ext4_journal *j = g->j;
	uint32_t end = 0;
	int r = run_pass(g, SCAN, &end);

	j->transactions = end - be32(j->super.sequence);
	j->sequence = end - 1;
	if (!r)
		r = run_pass(g, REVOKE, &end);
	if (!r && g->n_revoked)
		qsort(g->revoked, g->n_revoked, sizeof(*g->revoked), by_revoked);
	if (!r)
		r = run_pass(g, REPLAY, &end);
	if (!r && j->n_all)
		keep_newest(j);
	return r;
}

static void report_replay(struct ext4 *fs)
{
	struct ext4_journal *j = &fs->j;
	struct fact f = {.at = j->blocks[0] << fs->block_bits, .at_len = sizeof(j->super)};

	finding_fact(fs->l, EXT4_JOURNAL_REPLAYED, &f,
		     "the journal was not replayed: %" PRIu32 " transactions with %zu blocks are "
		     "applied in memory",
		     j->transactions, j->n_newer);
	if (j->torn || j->bad_copies) {
		f.at = j->torn ? j->blocks[j->torn_block] << fs->block_bits : f.at;
		finding_fact(fs->l, EXT4_JOURNAL_TORN, &f,
			     "%s%" PRIu32 " logged blocks have wrong checksums and are not applied",
			     j->torn ? "the log ends in a block whose checksum is wrong; " : "",
			     j->bad_copies);
	}
}

int ext4_journal_apply(struct ext4 *fs, uint8_t *buf)
{
	struct log g = {.fs = fs, .j = &fs->j, .buf = buf, .data = malloc(fs->block_size)};
	struct ext4_journal *j = &fs->j;
	int r = g.data ? 0 : -ENOMEM;

	g.seed = sum_crc32c(~0u, j->super.uuid, sizeof(j->super.uuid));
	if (!r)
		r = replay(&g);
	if (!r) {
		j->applied = true;
		report_replay(fs);
	}
	free(g.data);
	free(g.revoked);
	return r;
}

int ext4_journal_each(struct ext4 *fs, int (*fn)(void *arg, const struct ext4_copy *c), void *arg)
{
	struct ext4_journal *j = &fs->j;
	uint8_t *buf = malloc(fs->block_size);
	int r = buf ? 0 : -ENOMEM;

	for (uint32_t k = j->block_first; !r && j->valid && k < j->block_end; k++) {
		size_t off = sizeof(struct jbd2_header);
		uint32_t at = k;
		struct tag t = {0};

		r = ext4_journal_read(fs, k, buf);
		if (r == -EIO)
			r = 0;
		else if (!r && get_be32(buf) == JBD2_MAGIC && get_be32(buf + 4) == JBD2_DESCRIPTOR)
			while (!r && !(t.flags & JBD2_TAG_LAST) && next_tag(fs, buf, &off, &t)) {
				struct ext4_copy c = {.block = t.block,
						      .sequence = get_be32(buf + 8),
						      .escaped = t.flags & JBD2_TAG_ESCAPED};

				at = next_block(j, at);
				c.at = j->blocks[at];
				if (c.at && ext4_block_ok(fs, c.block))
					r = fn(arg, &c);
			}
	}
	free(buf);
	return r;
}
