/* SPDX-License-Identifier: Apache-2.0 */
/* Whose the blocks are: one pass over the metadata for any number of questions. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ext4_fs.h"

struct ask {
	struct ext4 *fs;
	const struct ranges *r; /* flat */
	struct ranges told;	/* what was passed on */
	struct ext4_tree tree;
	bool has_tree, inodes_lost;
	const struct ext4_inode *i; /* the one at hand */
	struct fs_entry e;	    /* its entry; path NULL: not made yet */
	char *target;
	uint64_t budget;
	int (*fn)(void *arg, const struct fs_owner *o);
	void *arg;
};

/* The entry of the inode at hand. The first one needs all names: a pass over the directories. */
static int make_entry(struct ask *a)
{
	const struct ext4_link *l;
	size_t n;
	int r = 0;

	if (a->e.path)
		return 0;
	if (!a->has_tree)
		r = ext4_tree_build(a->fs, false, &a->tree);
	if (r)
		return r;
	a->has_tree = true;
	a->e = (struct fs_entry){0};
	ext4_entry_fill(a->fs, a->i, &a->e, a->target);
	l = ext4_tree_links(&a->tree, a->i->ino, &n);
	a->e.parent = n ? l->dir : 0;
	a->e.system = ext4_system_name(a->fs, a->i->ino) && a->i->ino != EXT4_INO_ROOT;
	a->e.path = ext4_tree_path(&a->tree, n ? l : NULL, a->i->ino, &a->e.path_sure);
	return 0;
}

/* Pass on @o for every part of [o->off, o->off + o->len) that was asked for. */
static int tell(struct ask *a, const struct fs_owner *o)
{
	uint64_t end = o->off + o->len;
	int r = 0;

	for (size_t k = ranges_find(a->r, o->off); !r && k < a->r->n && a->r->v[k].off < end; k++) {
		uint64_t from = a->r->v[k].off, to = from + a->r->v[k].len;
		struct fs_owner part = *o;

		part.off = from > o->off ? from : o->off;
		part.len = (to < end ? to : end) - part.off;
		if (!part.len)
			continue;
		part.file_off += part.off - o->off;
		r = ranges_add(&a->told, part.off, part.len, GRADE_LOST, 0);
		if (!r)
			r = a->fn(a->arg, &part);
	}
	return r;
}

static bool asked(const struct ask *a, uint64_t off, uint64_t len)
{
	return ranges_overlap(a->r, off, len);
}

static int tell_areas(struct ask *a)
{
	struct ext4 *fs = a->fs;
	int r = 0;

	for (size_t k = 0; k < fs->n_areas && !r; k++) {
		const struct ext4_area *area = &fs->area[k];
		char name[64];
		struct fs_owner o = {.off = area->block << fs->block_bits,
				     .len = (uint64_t)area->n << fs->block_bits,
				     .kind = OWNER_STRUCTURE,
				     .structure = name};

		/* Tables inode by inode, with their files. */
		if (area->kind == EXT4_AREA_TABLE || !asked(a, o.off, o.len))
			continue;
		ext4_area_name(area, name, sizeof(name));
		o.start = o.off;
		o.size = o.len;
		r = tell(a, &o);
	}
	return r;
}

static int tell_run(void *arg, const struct ext4_run *run)
{
	struct ask *a = arg;
	struct ext4 *fs = a->fs;
	bool node = run->kind == EXT4_RUN_NODE;
	uint64_t n = node ? run->block != 0 : run->len;
	struct fs_owner o = {.off = run->block << fs->block_bits,
			     .len = n << fs->block_bits,
			     .kind = OWNER_FILE,
			     .file_off = run->lblk << fs->block_bits};
	char name[64];
	int r;

	if (run->kind == EXT4_RUN_LOST || !n || !ext4_block_ok(fs, run->block) ||
	    n > fs->blocks - run->block || !asked(a, o.off, o.len))
		return 0;
	r = make_entry(a);
	if (r)
		return r;
	o.file = &a->e;
	if (node || ext4_is(a->i, EXT4_S_DIR)) {
		snprintf(name, sizeof(name), "%s of inode %" PRIu32,
			 !node				? "directory"
			 : a->i->flags & EXT4_F_EXTENTS ? "extent tree"
							: "block map",
			 a->i->ino);
		o.kind = OWNER_STRUCTURE;
		o.structure = name;
		o.start = o.off;
		o.size = o.len;
		o.file_off = 0;
	}
	return tell(a, &o);
}

static int tell_xattrs(struct ask *a)
{
	struct ext4 *fs = a->fs;
	char name[64];
	struct fs_owner o = {.off = a->i->file_acl << fs->block_bits,
			     .len = fs->block_size,
			     .kind = OWNER_STRUCTURE,
			     .structure = name,
			     .file = &a->e};
	int r;

	if (!a->i->file_acl || !ext4_block_ok(fs, a->i->file_acl) || !asked(a, o.off, o.len))
		return 0;
	o.start = o.off;
	o.size = o.len;
	snprintf(name, sizeof(name), "attributes of inode %" PRIu32, a->i->ino);
	r = make_entry(a);
	return r ? r : tell(a, &o);
}

static int one_inode(void *arg, const struct ext4_inode *i)
{
	struct ask *a = arg;
	char name[64];
	bool used = ext4_inode_in_use(i) || (i->ino < a->fs->first_ino && i->sectors);
	struct fs_owner o = {.kind = OWNER_STRUCTURE, .structure = name};
	uint64_t block;
	uint32_t off;
	int r = 0;

	a->i = i;
	a->e.path = NULL;
	a->inodes_lost |= i->lost || i->noise;
	ext4_inode_addr(a->fs, i->ino, &block, &off);
	o.off = o.start = (block << a->fs->block_bits) + off;
	o.len = o.size = i->raw_len;
	if (asked(a, o.off, o.len)) {
		snprintf(name, sizeof(name), "inode %" PRIu32, i->ino);
		if (used)
			r = make_entry(a);
		o.file = used ? &a->e : NULL;
		if (!r)
			r = tell(a, &o);
	}
	if (!r && used)
		r = ext4_map(a->fs, i, &a->budget, tell_run, a);
	return r || !used ? r : tell_xattrs(a);
}

/* What nobody was told of: free, if all inodes could be asked. */
static int tell_rest(struct ask *a)
{
	struct fs_owner o = {.kind = a->inodes_lost ? OWNER_UNKNOWN : OWNER_FREE};
	size_t t = 0;
	int r = 0;

	ranges_sort(&a->told);
	for (size_t k = 0; k < a->r->n && !r; k++) {
		uint64_t at = a->r->v[k].off, end = at + a->r->v[k].len;

		while (!r && at < end) {
			while (t < a->told.n && a->told.v[t].off + a->told.v[t].len <= at)
				t++;
			o.off = at;
			o.len = (t < a->told.n && a->told.v[t].off < end ? a->told.v[t].off : end);
			at = t < a->told.n && a->told.v[t].off < end
				     ? a->told.v[t].off + a->told.v[t].len
				     : end;
			if (o.len <= o.off)
				continue;
			o.len -= o.off;
			r = a->fn(a->arg, &o);
		}
	}
	return r;
}

int ext4_owners(struct layer *l, const struct ranges *r,
		int (*fn)(void *arg, const struct fs_owner *o), void *arg)
{
	struct ext4 *fs = l->priv;
	struct ask a = {.fs = fs,
			.r = r,
			.target = malloc(EXT4_PATH),
			.budget = fs->blocks * 2,
			.fn = fn,
			.arg = arg};
	int err = a.target ? tell_areas(&a) : -ENOMEM;

	if (!err)
		err = ext4_table_scan(fs, EXT4_SCAN_ALL, one_inode, &a);
	if (!err)
		err = tell_rest(&a);
	if (a.has_tree)
		ext4_tree_free(&a.tree);
	ranges_free(&a.told);
	free(a.target);
	return err;
}

struct unused {
	struct ext4 *fs;
	uint8_t *used; /* a bit for each block */
	uint64_t budget;
	const struct ext4_inode *i;
	int (*fn)(void *arg, uint64_t off, uint64_t len, bool slack);
	void *arg;
};

static void mark(struct unused *u, uint64_t block, uint64_t n)
{
	for (; n; block++, n--) {
		if (block % 8 == 0 && n >= 8) {
			u->used[block / 8] = 0xff;
			block += 7;
			n -= 7;
			continue;
		}
		u->used[block / 8] = (uint8_t)(u->used[block / 8] | 1u << block % 8);
	}
}

static int mark_run(void *arg, const struct ext4_run *run)
{
	struct unused *u = arg;
	struct ext4 *fs = u->fs;
	uint64_t n = run->kind == EXT4_RUN_NODE ? run->block != 0 : run->len;
	uint64_t end = (run->lblk + n) << fs->block_bits, size = u->i->size;

	if (run->kind == EXT4_RUN_LOST || !n || !ext4_block_ok(fs, run->block) ||
	    n > fs->blocks - run->block)
		return 0;
	mark(u, run->block, n);
	if (run->kind == EXT4_RUN_NODE || !ext4_is(u->i, EXT4_S_REG) || size >= end ||
	    end - size >= fs->block_size)
		return 0;
	return u->fn(u->arg, ((run->block + n) << fs->block_bits) - (end - size), end - size, true);
}

static int mark_inode(void *arg, const struct ext4_inode *i)
{
	struct unused *u = arg;

	if (i->lost || !(ext4_inode_in_use(i) || (i->ino < u->fs->first_ino && i->sectors)))
		return 0;
	u->i = i;
	if (i->file_acl && ext4_block_ok(u->fs, i->file_acl))
		mark(u, i->file_acl, 1);
	return ext4_map(u->fs, i, &u->budget, mark_run, u);
}

static int pass_runs(struct unused *u)
{
	struct ext4 *fs = u->fs;
	uint64_t k = 0, end = fs->blocks << fs->block_bits, size = fs->l->size, from;
	int r = 0;

	while (k < fs->blocks && !r) {
		if (k % 8 == 0 && u->used[k / 8] == 0xff) {
			k += 8;
			continue;
		}
		if (u->used[k / 8] >> k % 8 & 1) {
			k++;
			continue;
		}
		for (from = k; k < fs->blocks && !(u->used[k / 8] >> k % 8 & 1);)
			k += k % 8 == 0 && !u->used[k / 8] ? 8 : 1;
		if (k > fs->blocks)
			k = fs->blocks;
		if (from << fs->block_bits < size)
			r = u->fn(u->arg, from << fs->block_bits,
				  (k << fs->block_bits < size ? k << fs->block_bits : size) -
					  (from << fs->block_bits),
				  false);
	}
	/* Behind the file system. */
	if (!r && end < size)
		r = u->fn(u->arg, end, size - end, false);
	return r;
}

int ext4_unused(struct layer *l, int (*fn)(void *arg, uint64_t off, uint64_t len, bool slack),
		void *arg)
{
	struct ext4 *fs = l->priv;
	struct unused u = {.fs = fs,
			   .used = calloc(1, fs->blocks / 8 + 1),
			   .budget = fs->blocks * 2,
			   .fn = fn,
			   .arg = arg};
	int r = u.used ? 0 : -ENOMEM;

	for (size_t k = 0; k < fs->n_areas && !r; k++)
		mark(&u, fs->area[k].block, fs->area[k].n);
	if (!r)
		r = ext4_table_scan(fs, EXT4_SCAN_DIRS, mark_inode, &u);
	if (!r)
		r = pass_runs(&u);
	free(u.used);
	return r;
}
