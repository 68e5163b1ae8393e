/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/fs/ext4_check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/sum.h"

enum { SAID_MAX = 500 }; /* findings of one kind; the others are counted */

/* The path of an inode, for a reader of the finding. */
static const char *path_of(struct ck *c, uint32_t ino)
{
	const struct ext4_link *l;
	enum fs_sure sure;
	size_t n;

	if (!c->has_tree && ext4_tree_build(c->fs, false, &c->tree))
		return NULL;
	c->has_tree = true;
	l = ext4_tree_links(&c->tree, ino, &n);
	return ext4_tree_path(&c->tree, n ? l : NULL, ino, &sure);
}

void ck_say(struct ck *c, enum finding_id id, uint32_t ino, uint64_t at, uint64_t len,
	    const char *stored, const char *expected, const char *fmt, ...)
{
	struct fact f = {.at = at, .at_len = len, .stored = stored, .expected = expected};
	char text[384];
	va_list ap;

	if (finding_severity(id) == DAMAGE)
		c->damage++;
	if (c->quiet || c->said[id]++ >= SAID_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (ino)
		f.path = path_of(c, ino);
	finding_fact(c->l, id, &f, "%s", text);
}

/* What was not said because there is too much of it. */
static void say_rest(struct ck *c)
{
	for (int id = 0; id < FINDING_COUNT; id++)
		if (c->said[id] > SAID_MAX)
			finding_fact(c->l, id, &(struct fact){0},
				     "%" PRIu32 " more of these, not listed",
				     c->said[id] - SAID_MAX);
}

int ck_grow(void **v, size_t *cap, size_t n, size_t size)
{
	size_t more = *cap ? *cap * 2 : 256;
	void *p;

	if (n < *cap)
		return 0;
	p = more <= SIZE_MAX / size ? realloc(*v, more * size) : NULL;
	if (!p)
		return -ENOMEM;
	*v = p;
	*cap = more;
	return 0;
}

void ck_claim(struct ck *c, uint64_t block, uint64_t n)
{
	uint64_t from = ck_cluster(c->fs, block), to = ck_cluster(c->fs, block + n - 1);

	for (uint64_t k = from; k <= to; k++) {
		/* Whole bytes at once: most files lie together. */
		if (k % 8 == 0 && to - k >= 7 && !c->used[k / 8]) {
			c->used[k / 8] = 0xff;
			k += 7;
			continue;
		}
		if (ck_bit(c->used, k)) {
			ck_set(c->dup, k);
			c->dups = true;
		}
		ck_set(c->used, k);
	}
}

static int start(struct ck *c)
{
	struct ext4 *fs = c->fs;

	c->clusters = ck_cluster(fs, fs->blocks - 1) + 1;
	c->budget = fs->blocks * 2;
	/* Pages of these that nothing is noted in cost nothing. */
	c->used = calloc(1, c->clusters / 8 + 1);
	c->meta = calloc(1, c->clusters / 8 + 1);
	c->dup = calloc(1, c->clusters / 8 + 1);
	c->inode = calloc((size_t)fs->inodes + 1, sizeof(*c->inode));
	c->type = calloc((size_t)fs->inodes + 1, sizeof(*c->type));
	c->links = calloc((size_t)fs->inodes + 1, sizeof(*c->links));
	c->names = calloc((size_t)fs->inodes + 1, sizeof(*c->names));
	c->buf = malloc(fs->block_size);
	return c->used && c->meta && c->dup && c->inode && c->type && c->links && c->names && c->buf
		       ? 0
		       : -ENOMEM;
}

static void finish(struct ck *c)
{
	for (size_t k = 0; k < c->n_dx; k++)
		free(c->dx[k].entries);
	free(c->used);
	free(c->meta);
	free(c->dup);
	free(c->inode);
	free(c->type);
	free(c->links);
	free(c->names);
	free(c->dirs);
	free(c->runs);
	free(c->dx);
	free(c->ea);
	free(c->buf);
	if (c->has_tree)
		ext4_tree_free(&c->tree);
}

/* All checks; what they say, or with @quiet only whether it is damage. */
static int run(struct ext4 *fs, bool quiet, uint64_t *damage)
{
	static int (*const parts[])(struct ck *) = {
		ck_super, ck_inodes, ck_shared, ck_xattr_refs,
		ck_dirs,  ck_htree,  ck_links,	ck_bitmaps,
	};
	struct ck c = {.fs = fs, .l = fs->l, .quiet = quiet};
	int r = start(&c);

	for (size_t k = 0; k < sizeof(parts) / sizeof(*parts) && !r; k++)
		r = session_stopped(fs->l->s) ? -EINTR : parts[k](&c);
	if (!r && !quiet)
		say_rest(&c);
	*damage = c.damage;
	finish(&c);
	return r;
}

/* Look at the volume with @n blocks of the log applied, and with the fast commits or without. */
static int set_journal(struct ext4 *fs, size_t n, bool on)
{
	int r;

	fs->j.n_newer = n;
	fs->patch.off = !on;
	r = ext4_cache_reset(fs);
	return r ? r : ext4_gdt_load(fs, false);
}

int ext4_check(struct layer *l)
{
	struct ext4 *fs = l->priv;
	size_t newer = fs->j.n_newer;
	uint64_t before = 0, after = 0;
	int r;

	fs->checked = true;
	if (!newer && !fs->patch.n)
		return run(fs, false, &after);
	/*
	 * A journal that was not replayed. What lies on disk may be whole without it (then e2fsck
	 * -n says so), and what it makes of it may not be.
	 */
	r = set_journal(fs, 0, false);
	if (!r)
		r = run(fs, true, &before);
	if (!r && !before)
		r = run(fs, false, &before);
	/* The log alone leaves it whole; fast commits of which a part is missing do not. */
	if (set_journal(fs, newer, !fs->patch.partial))
		return -ENOMEM;
	if (!r)
		r = run(fs, !before, &after);
	if (fs->patch.partial && set_journal(fs, newer, true))
		return -ENOMEM;
	if (!r && !before && after)
		finding(l, EXT4_JOURNAL_DISAGREES, fs->j.blocks[0] << fs->block_bits,
			sizeof(fs->j.super),
			"the file system is whole as it lies; with the journal applied, %" PRIu64
			" things are wrong",
			after);
	return r;
}
