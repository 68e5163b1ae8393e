/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a path to an entry: down the indexes, which also have the DOS names; where they fail, are
 * damaged or don't know the name, by the tree that the records tell, deleted files too.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ntfs.h"
#include "vdiskck/core/session.h"

struct lookup {
	struct layer *l;
	const char *path;
	struct fs_entry *found;
	uint64_t id;	    /* BY INDEX: of the file */
	const char *stream; /* BY INDEX: or NULL */
	bool by_id;
	uint64_t parent;
};

/* ---- comparing as NTFS does ---- */

/* The path up to the next slash, or its end, as UTF-16. SIZE_MAX: no name of NTFS. */
static size_t part_units(const char *p, size_t len, uint16_t *out)
{
	return ntfs_name_get(p, len, out, 256);
}

static uint16_t shown(uint16_t c)
{
	return c == '/' ? 0xf02f : c ? c : 0xf000;
}

static bool same_path(const uint16_t *upcase, const char *a, const char *b)
{
	uint16_t x[256], y[256];

	while (*a && *b) {
		size_t na = strcspn(a, "/:"), nb = strcspn(b, "/:"), nx, ny;

		nx = part_units(a, na, x);
		ny = part_units(b, nb, y);
		if (nx != ny || nx == SIZE_MAX)
			return false;
		for (size_t i = 0; i < nx; i++)
			if (upcase[shown(x[i])] != upcase[shown(y[i])])
				return false;
		a += na;
		b += nb;
		if (*a != *b)
			return false;
		a += *a != '\0';
		b += *b != '\0';
	}
	return *a == *b;
}

/* ---- by the tree ---- */

static int keep_match(void *arg, const struct fs_entry *e)
{
	struct lookup *k = arg;
	const struct ntfs *n = k->l->priv;

	if (!same_path(n->upcase, e->path, k->path))
		return 0;
	if (k->found && !k->found->deleted)
		return 0;
	if (k->found && e->deleted)
		return 0;
	fs_entry_free(k->found);
	k->found = fs_entry_copy(e);
	return k->found ? !e->deleted : -ENOMEM;
}

static int by_tree(struct lookup *k)
{
	const struct fs_query q = {.recursive = true, .deleted = true, .system = true};
	int r = ntfs_walk(k->l, &q, keep_match, k);

	return r < 0 ? r : k->found ? 0 : -ENOENT;
}

/* ---- by index ---- */

static int find_part(struct layer *l, uint64_t dir, const char *part, size_t len, uint64_t *number)
{
	struct ntfs_inode *ino = malloc(sizeof(*ino));
	uint16_t name[256];
	size_t units = part_units(part, len, name);
	uint64_t ref = 0;
	int r = ino ? 0 : -ENOMEM;

	if (!r && units == SIZE_MAX)
		r = -ENOENT;
	if (!r) {
		r = ntfs_inode_load(l, dir, ino);
		if (!r && !(le16(ntfs_head(&ino->base)->flags) & NTFS_IS_DIR))
			r = -ENOTDIR;
		if (!r)
			r = ntfs_index_find(
				l, ino, (struct span){(const uint8_t *)name, units * 2, 0}, &ref);
		ntfs_inode_free(ino);
	}
	*number = ntfs_ref_number(ref);
	free(ino);
	return r;
}

/* The stream of a path: behind the first colon of its last part. */
static const char *stream_of(const char *path)
{
	const char *slash = strrchr(path, '/'), *colon = strchr(slash ? slash : path, ':');

	return colon && colon[1] ? colon : NULL;
}

static int walk_down(struct lookup *k, const char *end)
{
	uint64_t at = NTFS_ROOT;
	const char *p = k->path;
	int r = 0;

	k->parent = NTFS_ROOT;
	while (!r) {
		size_t len;

		p += strspn(p, "/");
		if (p >= end)
			break;
		len = strcspn(p, "/");
		if (len > (size_t)(end - p))
			len = (size_t)(end - p);
		k->parent = at;
		r = find_part(k->l, at, p, len, &at);
		p += len;
	}
	k->id = at;
	return r;
}

static bool is_name_in(const struct ntfs_entries *x, const struct ntfs_file_name *name)
{
	return ntfs_ref_number(le64(name->parent)) == x->top;
}

static bool stream_matches(const struct lookup *k, const struct fs_entry *e)
{
	const struct ntfs *n = k->l->priv;

	if (!k->stream || !e->stream)
		return !k->stream && !e->stream;
	return same_path(n->upcase, e->stream, k->stream);
}

/*
 * Names of one file in one folder: the one that was asked for, or the only one there is (a DOS name
 * was given).
 */
static int keep_named(void *arg, const struct fs_entry *e)
{
	struct lookup *k = arg;
	const struct ntfs *n = k->l->priv;
	bool exact;

	if (!stream_matches(k, e))
		return 0;
	exact = same_path(n->upcase, e->path, k->path);
	if (k->found && !exact)
		return 0;
	fs_entry_free(k->found);
	k->found = fs_entry_copy(e);
	return k->found ? exact : -ENOMEM;
}

static int entry_of(struct lookup *k)
{
	struct ntfs_inode *ino = malloc(sizeof(*ino));
	struct ntfs_entries x = {0};
	struct ntfs_tree *t = NULL;
	int r = ino ? ntfs_tree_get(k->l, &t) : -ENOMEM;

	if (!r)
		r = ntfs_entries_init(&x, k->l, t);
	x.fn = keep_named;
	x.arg = k;
	x.streams = true;
	x.wanted = is_name_in;
	x.top = k->parent;
	if (!r) {
		r = ntfs_inode_load(k->l, k->id, ino);
		if (!r)
			r = ntfs_entries_of(&x, ino);
		ntfs_inode_free(ino);
	}
	ntfs_entries_free(&x);
	free(ino);
	return r < 0 ? r : k->found ? 0 : -ENOENT;
}

/* The root has no name but ".", and may be lost. */
static int root_entry(struct lookup *k)
{
	struct fs_entry e = {
		.id = NTFS_ROOT, .parent = NTFS_ROOT, .path = "/", .kind = FS_DIR, .links = 1};
	int r = entry_of(k);

	if (k->found) {
		e = *k->found;
		e.path = "/";
		e.system = false;
	} else {
		e.path_sure = FS_REBUILT;
	}
	if (r && r != -EBADMSG && r != -ENOENT)
		return r;
	if (!k->stream) {
		struct fs_entry *copy = fs_entry_copy(&e);

		fs_entry_free(k->found);
		k->found = copy;
		return copy ? 0 : -ENOMEM;
	}
	return r;
}

int ntfs_lookup(struct layer *l, const char *path, struct fs_entry **e)
{
	struct lookup k = {.l = l, .path = path};
	const char *colon = stream_of(path);
	int r;

	k.stream = colon ? colon + 1 : NULL;
	r = walk_down(&k, colon ? colon : path + strlen(path));
	if (!r)
		r = k.id == NTFS_ROOT && k.parent == NTFS_ROOT ? root_entry(&k) : entry_of(&k);
	if (r == -ENOENT || r == -EBADMSG || r == -ENOTDIR) {
		int tree = by_tree(&k);

		r = tree == -ENOENT && r == -ENOTDIR ? r : tree;
	}
	*e = k.found;
	if (r) {
		fs_entry_free(k.found);
		*e = NULL;
	}
	return r;
}
