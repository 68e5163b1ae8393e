/* SPDX-License-Identifier: Apache-2.0 */
/* Directories, read as what they are without an index: a list of entries in each block. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ext4_fs.h"

enum {
	ENTRY_MIN = 12,
	STEP = 4,
	GAP_MAX = 64 << 10, /* read over rather than started again behind */
};

uint32_t ext4_rec_len(uint32_t stored, uint32_t block_len)
{
	if (block_len < 65536)
		return stored;
	/* A block of 64 KiB has no 16-bit length: "Directory Entries" */
	if (stored == 65535 || stored == 0)
		return block_len;
	return (stored & 65532) | (stored & 3) << 16;
}

static unsigned name_len(const struct ext4 *fs, const struct ext4_dirent *d)
{
	/* Without the filetype feature the type is the length's high byte, which is always 0. */
	(void)fs;
	return d->name_len;
}

static unsigned entry_type(const struct ext4 *fs, const struct ext4_dirent *d)
{
	return EXT4_HAS(fs, incompat, EXT4_I_FILETYPE) ? d->type : EXT4_FT_UNKNOWN;
}

/* Could an entry begin here? For what nothing points to any more. */
static bool plausible(const struct ext4 *fs, const uint8_t *p, uint32_t left)
{
	const struct ext4_dirent *d = (const void *)p;
	unsigned n;

	if (left < ENTRY_MIN)
		return false;
	n = name_len(fs, d);
	if (!n || sizeof(*d) + n > left || le32(d->inode) > fs->inodes ||
	    le16(d->rec_len) < ENTRY_MIN || le16(d->rec_len) % 4 ||
	    le16(d->rec_len) < sizeof(*d) + n || entry_type(fs, d) > EXT4_FT_LNK)
		return false;
	for (unsigned k = 0; k < n; k++)
		if (p[sizeof(*d) + k] < 0x20 || p[sizeof(*d) + k] == '/')
			return false;
	return true;
}

static bool is_dot(const uint8_t *name, unsigned n)
{
	return (n == 1 && name[0] == '.') || (n == 2 && name[0] == '.' && name[1] == '.');
}

struct block {
	const struct ext4 *fs;
	uint32_t dir;
	const uint8_t *raw;
	uint32_t len;
	uint64_t at;
	int (*fn)(void *arg, const struct ext4_name *n);
	void *arg;
};

static int pass_on(const struct block *b, uint32_t off, bool deleted)
{
	const struct ext4_dirent *d = (const void *)(b->raw + off);
	struct ext4_name n = {
		.dir = b->dir,
		.ino = le32(d->inode),
		.name = (const char *)(d + 1),
		.len = name_len(b->fs, d),
		.type = entry_type(b->fs, d),
		.deleted = deleted,
		.at = b->at + off,
	};

	return b->fn(b->arg, &n);
}

/* Entries that were deleted, in the space [off, end) that the one before took over. */
static int hidden(const struct block *b, uint32_t off, uint32_t end)
{
	int r = 0;

	while (!r && off + ENTRY_MIN <= end) {
		const struct ext4_dirent *d = (const void *)(b->raw + off);

		if (!plausible(b->fs, b->raw + off, end - off) ||
		    is_dot((const uint8_t *)(d + 1), name_len(b->fs, d))) {
			off += STEP;
			continue;
		}
		r = pass_on(b, off, true);
		off += (uint32_t)(sizeof(*d) + name_len(b->fs, d) + 3) & ~3u;
	}
	return r;
}

int ext4_dir_block(const struct ext4 *fs, uint32_t dir, const uint8_t *raw, uint32_t len,
		   uint64_t at, bool deleted, int (*fn)(void *arg, const struct ext4_name *n),
		   void *arg)
{
	struct block b = {fs, dir, raw, len, at, fn, arg};
	uint32_t off = 0;
	int r = 0;

	while (!r && off + sizeof(struct ext4_dirent) <= len) {
		const struct ext4_dirent *d = (const void *)(raw + off);
		uint32_t rec = ext4_rec_len(le16(d->rec_len), len);
		uint32_t used = (uint32_t)(sizeof(*d) + name_len(fs, d) + 3) & ~3u;

		/* A broken chain is taken up again where the next entry seems to be. */
		if (rec < ENTRY_MIN - 4 || rec % 4 || rec > len - off || used > rec + 3 ||
		    sizeof(*d) + name_len(fs, d) > rec) {
			do
				off += STEP;
			while (off + ENTRY_MIN <= len &&
			       !(plausible(fs, raw + off, len - off) &&
				 le32(((const struct ext4_dirent *)(const void *)(raw + off))
					      ->inode)));
			continue;
		}
		if (le32(d->inode) && name_len(fs, d))
			r = pass_on(&b, off, false);
		else if (deleted && plausible(fs, raw + off, len - off))
			r = pass_on(&b, off, true);
		else if (!le32(d->inode))
			used = sizeof(*d);
		if (!r && deleted)
			r = hidden(&b, off + used, off + rec);
		off += rec;
	}
	return r;
}

int ext4_dir_inline(const struct ext4 *fs, const struct ext4_inode *i, bool deleted,
		    int (*fn)(void *arg, const struct ext4_name *n), void *arg)
{
	const uint32_t in_block = sizeof(((struct ext4_dinode *)0)->block) - 4;
	uint64_t at = i->at + offsetof(struct ext4_dinode, block);
	le32_t parent;
	struct ext4_name dot = {i->ino, i->ino, ".", 1, EXT4_FT_DIR, false, at};
	const uint8_t *more;
	uint32_t len;
	int r = fn(arg, &dot);

	/* The parent's number, then entries; "." and ".." have none: "Inline Data" */
	memcpy(&parent, i->block, sizeof(parent));
	dot.ino = le32(parent);
	dot.name = "..";
	dot.len = 2;
	if (!r)
		r = fn(arg, &dot);
	if (!r)
		r = ext4_dir_block(fs, i->ino, i->block + 4, in_block, at + 4, deleted, fn, arg);
	ext4_inline(i, &more, &len, &at);
	if (!r && more)
		r = ext4_dir_block(fs, i->ino, more, len, at, deleted, fn, arg);
	return r;
}

void ext4_dir_lost(struct ext4 *fs, uint32_t dir, uint64_t at, uint64_t len)
{
	bool tell;

	pthread_mutex_lock(&fs->told_lock);
	tell = !fs->checked && fs->n_told < EXT4_TOLD_MAX;
	for (unsigned i = 0; i < fs->n_told && tell; i++)
		tell = fs->told[i] != dir;
	if (tell)
		fs->told[fs->n_told++] = dir;
	pthread_mutex_unlock(&fs->told_lock);
	if (tell)
		finding(fs->l, EXT4_DIR_BLOCK, at, len,
			"directory inode %" PRIu32 " can't be read in full: names in it are lost%s",
			dir, fs->n_told < EXT4_TOLD_MAX ? "" : "; check tells of all others");
}

struct read_dir {
	struct ext4 *fs;
	uint32_t ino;
	uint64_t at; /* of the inode */
	uint8_t *buf;
	uint64_t left; /* blocks that may still be read */
	bool deleted;
	int (*fn)(void *arg, const struct ext4_name *n);
	void *arg;
};

static int read_run(void *arg, const struct ext4_run *run)
{
	struct read_dir *d = arg;
	struct ext4 *fs = d->fs;
	struct ranges bad = {0};
	int r = 0;

	if (run->kind == EXT4_RUN_LOST)
		ext4_dir_lost(fs, d->ino, d->at, fs->inode_size);
	if (run->kind != EXT4_RUN_DATA)
		return 0;
	for (uint64_t k = 0; k < run->len && !r && d->left; k++, d->left--) {
		uint64_t block = run->block + k;

		if (!ext4_block_ok(fs, block))
			break;
		r = ext4_read(fs, block, 1, d->buf, &bad);
		if (bad.n)
			ext4_dir_lost(fs, d->ino, ext4_at(fs, block), fs->block_size);
		bad.n = 0;
		if (!r)
			r = ext4_dir_block(fs, d->ino, d->buf, fs->block_size, ext4_at(fs, block),
					   d->deleted, d->fn, d->arg);
	}
	ranges_free(&bad);
	return r;
}

int ext4_dir(struct ext4 *fs, const struct ext4_inode *i, bool deleted,
	     int (*fn)(void *arg, const struct ext4_name *n), void *arg)
{
	uint64_t budget = fs->blocks;
	struct read_dir d = {fs, i->ino, i->at, NULL, fs->blocks, deleted, fn, arg};
	int r;

	if (i->flags & EXT4_F_INLINE_DATA)
		return ext4_dir_inline(fs, i, deleted, fn, arg);
	d.buf = malloc(fs->block_size);
	if (!d.buf)
		return -ENOMEM;
	r = ext4_map(fs, i, &budget, read_run, &d);
	free(d.buf);
	return r;
}

static int by_block(const void *a, const void *b)
{
	const struct ext4_dir_run *x = a, *y = b;

	return x->block < y->block ? -1 : x->block > y->block;
}

struct group {
	struct ext4 *fs;
	uint8_t *buf;
	int (*fn)(void *arg, uint32_t dir, uint32_t lblk, uint64_t block, const uint8_t *raw,
		  bool lost);
	void *arg;
};

/* The first @n runs, which lie near each other, read at once. */
static int read_group(struct group *g, const struct ext4_dir_run *runs, size_t n, uint64_t end)
{
	struct ext4 *fs = g->fs;
	uint64_t first = runs[0].block;
	struct ranges bad = {0};
	int r = ext4_read(fs, first, end - first, g->buf, &bad);

	for (size_t k = 0; k < n && !r; k++)
		for (uint32_t i = 0; i < runs[k].len && runs[k].block + i < end && !r; i++) {
			uint64_t block = runs[k].block + i;

			r = g->fn(g->arg, runs[k].dir, runs[k].lblk + i, block,
				  g->buf + ((block - first) << fs->block_bits),
				  bad.n && ranges_overlap(&bad, block << fs->block_bits,
							  fs->block_size));
		}
	ranges_free(&bad);
	return r;
}

int ext4_dir_blocks(struct ext4 *fs, struct ext4_dir_run *runs, size_t n,
		    int (*fn)(void *arg, uint32_t dir, uint32_t lblk, uint64_t block,
			      const uint8_t *raw, bool lost),
		    void *arg)
{
	uint32_t max = EXT4_PIECE >> fs->block_bits, gap = GAP_MAX >> fs->block_bits;
	struct group g = {fs, malloc(EXT4_PIECE), fn, arg};
	int r = g.buf ? 0 : -ENOMEM;
	size_t to;

	if (n)
		qsort(runs, n, sizeof(*runs), by_block);
	for (size_t from = 0; from < n && !r; from = to) {
		struct ext4_dir_run *run = &runs[from];
		uint64_t end = run->block + run->len;

		if (session_stopped(fs->l->s)) {
			r = -EINTR;
			break;
		}
		to = from;
		if (run->len > max) { /* in pieces */
			r = read_group(&g, run, 1, run->block + max);
			run->block += max;
			run->lblk += max;
			run->len -= max;
			continue;
		}
		for (to++; to < n; to++) {
			uint64_t next = runs[to].block + runs[to].len;

			if (runs[to].block > end + gap || next < end || next - run->block > max)
				break;
			end = next;
		}
		r = read_group(&g, run, to - from, end);
	}
	free(g.buf);
	return r;
}
