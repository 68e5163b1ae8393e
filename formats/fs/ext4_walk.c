/* SPDX-License-Identifier: Apache-2.0 */
/* Entries by folder, by path, and all of them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ext4_fs.h"

enum { DEPTH_MAX = 1024 };

static const char orphans[] = "/$orphans";

/* Reserved inodes but the root; those whose numbers the superblock states. */
static bool is_system(const struct ext4 *fs, uint32_t ino)
{
	return ino != EXT4_INO_ROOT && ext4_system_name(fs, ino);
}

struct all {
	struct ext4 *fs;
	const struct fs_query *q;
	struct ext4_tree t;
	size_t next; /* link that was not passed on yet */
	char *target;
	uint8_t *raw;	   /* an inode */
	const char *below; /* only what lies below this path, or NULL */
	size_t below_len;
	int (*fn)(void *arg, const struct fs_entry *e);
	void *arg;
};

static int emit(struct all *a, struct fs_entry *e)
{
	if (a->below && (strncmp(e->path, a->below, a->below_len) || e->path[a->below_len] != '/'))
		return 0;
	return a->fn(a->arg, e);
}

static enum fs_kind kind_of_type(unsigned type)
{
	switch (type) {
	case EXT4_FT_DIR: return FS_DIR;
	case EXT4_FT_LNK: return FS_SYMLINK;
	case EXT4_FT_CHR:
	case EXT4_FT_BLK:
	case EXT4_FT_FIFO:
	case EXT4_FT_SOCK: return FS_SPECIAL;
	default: return FS_FILE;
	}
}

/* A name whose inode is lost, free, or another file's by now. */
static int emit_bare(struct all *a, const struct ext4_link *l, const char *remark)
{
	struct fs_entry e = {
		.id = l->ino,
		.parent = l->dir,
		.kind = kind_of_type(l->type),
		.deleted = l->deleted,
		.data_sure = FS_GONE,
		.remark = remark,
	};

	if (l->deleted && !a->q->deleted)
		return 0;
	e.path = ext4_tree_path(&a->t, l, l->ino, &e.path_sure);
	return emit(a, &e);
}

/* Names of inodes up to @ino that the tables did not show. */
static int skip_to(struct all *a, uint32_t ino)
{
	int r = 0;

	for (; !r && a->next < a->t.n && a->t.v[a->next].ino < ino; a->next++)
		r = emit_bare(a, &a->t.v[a->next], "its inode is lost");
	return r;
}

static int emit_live(struct all *a, const struct ext4_inode *i, size_t n, bool skip_deleted)
{
	const struct ext4_link *l = &a->t.v[a->next];
	struct fs_entry e = {.system = is_system(a->fs, i->ino) || i->flags & EXT4_F_EA_INODE};
	bool named = false;
	int r = 0;

	for (size_t k = 0; k < n; k++)
		named |= !l[k].deleted;
	if (e.system && !named && !a->q->system)
		n = 0;
	else
		ext4_entry_fill(a->fs, i, &e, a->target);
	for (size_t k = 0; k < n && !r; k++) {
		if (l[k].deleted) {
			if (!skip_deleted)
				r = emit_bare(a, &l[k], "its inode is in use by another name");
			continue;
		}
		e.parent = l[k].dir;
		e.path = ext4_tree_path(&a->t, &l[k], i->ino, &e.path_sure);
		r = emit(a, &e);
	}
	if (r || named || (e.system && !a->q->system) || i->ino == EXT4_INO_ROOT)
		return r;
	e.parent = 0;
	e.path = ext4_tree_path(&a->t, NULL, i->ino, &e.path_sure);
	return emit(a, &e);
}

/* Did a file use this inode once? */
static bool was_used(const struct ext4 *fs, const struct ext4_inode *i)
{
	return i->ino >= fs->first_ino && i->mode & EXT4_S_TYPE && !i->links && !i->lost &&
	       !i->noise;
}

/* A deleted file, under every name that was deleted and led to it. */
static int emit_deleted(struct all *a, const struct ext4_inode *i, size_t n)
{
	const struct ext4_link *l = &a->t.v[a->next];
	struct fs_entry e = {0};
	size_t sent = 0;
	int r;

	ext4_entry_fill(a->fs, i, &e, a->target);
	r = ext4_deleted_state(a->fs, i, &e);
	e.deleted = true;
	for (size_t k = 0; k < n && !r; k++) {
		if (!l[k].deleted && ext4_old(&a->t, i->ino))
			continue; /* of the file that has the inode now */
		e.parent = l[k].dir;
		e.path = ext4_tree_path(&a->t, &l[k], i->ino, &e.path_sure);
		if (e.path_sure == FS_SURE)
			e.path_sure = l[k].deleted ? FS_GUESSED : FS_SURE;
		r = emit(a, &e);
		sent++;
	}
	if (r || sent)
		return r;
	e.parent = 0;
	e.path = ext4_tree_path(&a->t, NULL, i->ino, &e.path_sure);
	return emit(a, &e);
}

static int emit_old(struct all *a, const struct ext4_old *old, size_t n)
{
	struct ext4_inode i;
	int r = ext4_inode_read_at(a->fs, old->ino, old->ref, a->raw, &i);

	if (r == -EIO || r == -ENOENT)
		return 0;
	return r ? r : emit_deleted(a, &i, n);
}

static int one_inode(void *arg, const struct ext4_inode *i)
{
	struct all *a = arg;
	const struct ext4_old *old = ext4_old(&a->t, i->ino);
	size_t n = 0;
	int r = skip_to(a, i->ino);

	if (r || i->lost)
		return r;
	while (a->next + n < a->t.n && a->t.v[a->next + n].ino == i->ino)
		n++;
	if (ext4_inode_in_use(i) || (is_system(a->fs, i->ino) && i->sectors)) {
		r = emit_live(a, i, n, old != NULL);
		if (!r && old)
			r = emit_old(a, old, n);
	} else if (old) {
		r = emit_old(a, old, n);
	} else if (a->q->deleted && was_used(a->fs, i)) {
		r = emit_deleted(a, i, n);
	} else {
		return skip_to(a, i->ino + 1);
	}
	a->next += n;
	return r;
}

static int walk_all(struct ext4 *fs, const struct fs_query *q, const char *below,
		    int (*fn)(void *arg, const struct fs_entry *e), void *arg)
{
	struct all a = {.fs = fs, .q = q, .fn = fn, .arg = arg, .below = below};
	int r = ext4_tree_build(fs, q->deleted, &a.t);

	if (r)
		return r;
	a.below_len = below ? strlen(below) : 0;
	a.target = malloc(EXT4_PATH);
	a.raw = malloc(fs->inode_size);
	r = a.target && a.raw ? ext4_table_scan(fs, EXT4_SCAN_USED, one_inode, &a) : -ENOMEM;
	if (!r)
		r = skip_to(&a, UINT32_MAX);
	free(a.target);
	free(a.raw);
	ext4_tree_free(&a.t);
	return r;
}

/* One folder's entries by its own blocks, and what is below: for a part of the tree. */
struct folder {
	struct ext4 *fs;
	const struct fs_query *q;
	char *path; /* EXT4_PATH; of the folder at hand, "" for the root */
	size_t len;
	uint8_t *raw;
	char *target;
	unsigned depth;
	uint32_t up[DEPTH_MAX]; /* the folders above: no circles */
	int (*fn)(void *arg, const struct fs_entry *e);
	void *arg;
};

static int list_folder(struct folder *f, const struct ext4_inode *dir);

/* Go into the folder that was just passed on; its path is f->path. */
static int descend(struct folder *f, uint32_t ino, size_t len)
{
	size_t old = f->len;
	uint8_t *raw;
	struct ext4_inode i;
	int r;

	for (unsigned k = 0; k < f->depth; k++)
		if (f->up[k] == ino)
			return 0;
	if (f->depth == DEPTH_MAX || len + EXT4_NAME_MAX * 3 + 2 > EXT4_PATH)
		return 0;
	raw = malloc(f->fs->inode_size);
	r = raw ? ext4_inode_read(f->fs, ino, raw, &i) : -ENOMEM;
	if (!r) {
		f->len = len;
		r = list_folder(f, &i);
		f->len = old;
	} else if (r == -EIO || r == -ENOENT) {
		r = 0;
	}
	free(raw);
	return r;
}

static int one_name(void *arg, const struct ext4_name *n)
{
	struct folder *f = arg;
	struct fs_entry e = {.id = n->ino, .parent = n->dir, .deleted = n->deleted};
	struct ext4_inode i;
	size_t len;
	int r;

	if ((n->len == 1 && n->name[0] == '.') ||
	    (n->len == 2 && n->name[0] == '.' && n->name[1] == '.') ||
	    (n->deleted && !f->q->deleted))
		return 0;
	f->path[f->len] = '/';
	len = f->len + 1 +
	      fs_name_put(n->name, n->len, f->path + f->len + 1, EXT4_PATH - f->len - 1);
	r = ext4_inode_read(f->fs, n->ino, f->raw, &i);
	if (r && r != -EIO && r != -ENOENT)
		return r;
	if (!r && (n->deleted ? was_used(f->fs, &i) : ext4_inode_in_use(&i))) {
		ext4_entry_fill(f->fs, &i, &e, f->target);
		if (n->deleted) {
			e.path_sure = FS_GUESSED;
			e.data_sure = FS_GUESSED;
		}
	} else {
		e.kind = kind_of_type(n->type);
		e.data_sure = FS_GONE;
		e.remark = !r && ext4_inode_in_use(&i) ? "its inode is in use by another name"
						       : "its inode is lost";
	}
	e.path = f->path;
	r = f->fn(f->arg, &e);
	if (!r && f->q->recursive && e.kind == FS_DIR && !n->deleted)
		r = descend(f, n->ino, len);
	f->path[f->len] = '\0';
	return r;
}

static int list_folder(struct folder *f, const struct ext4_inode *dir)
{
	int r;

	f->up[f->depth++] = dir->ino;
	r = ext4_dir(f->fs, dir, f->q->deleted, one_name, f);
	f->depth--;
	return r;
}

static int walk_folder(struct ext4 *fs, const struct fs_query *q, const struct fs_entry *dir,
		       int (*fn)(void *arg, const struct fs_entry *e), void *arg)
{
	struct folder *f = calloc(1, sizeof(*f));
	uint8_t *raw = malloc(fs->inode_size);
	struct ext4_inode i;
	int r = -ENOMEM;

	if (!f || !raw)
		goto out;
	*f = (struct folder){.fs = fs,
			     .q = q,
			     .path = malloc(EXT4_PATH),
			     .raw = malloc(fs->inode_size),
			     .target = malloc(EXT4_PATH),
			     .fn = fn,
			     .arg = arg};
	if (!f->path || !f->raw || !f->target)
		goto out;
	f->len = strcmp(dir->path, "/") ? strlen(dir->path) : 0;
	memcpy(f->path, dir->path, f->len + 1);
	r = ext4_inode_read_at(fs, (uint32_t)dir->id, dir->ref, raw, &i);
	if (!r)
		r = list_folder(f, &i);
	else if (r == -EIO || r == -ENOENT)
		r = 0; /* an empty list: what is in it stands under /$orphans */
out:
	if (f) {
		free(f->path);
		free(f->raw);
		free(f->target);
	}
	free(f);
	free(raw);
	return r;
}

static bool below_orphans(const char *path)
{
	size_t n = sizeof(orphans) - 1;

	return !strncmp(path, orphans, n) && (!path[n] || path[n] == '/');
}

/* The system's files stand in the root, beside its own entries. */
struct system_only {
	int (*fn)(void *arg, const struct fs_entry *e);
	void *arg;
};

static int pass_system(void *arg, const struct fs_entry *e)
{
	struct system_only *s = arg;

	return e->system && e->path[1] == '$' ? s->fn(s->arg, e) : 0;
}

static int walk_system(struct ext4 *fs, int (*fn)(void *arg, const struct fs_entry *e), void *arg)
{
	struct system_only s = {fn, arg};
	struct fs_query q = {.recursive = true, .system = true};

	return walk_all(fs, &q, NULL, pass_system, &s);
}

int ext4_walk(struct layer *l, const struct fs_query *q,
	      int (*fn)(void *arg, const struct fs_entry *e), void *arg)
{
	struct ext4 *fs = l->priv;
	const char *dir = q->dir && *q->dir ? q->dir : "/";
	struct fs_entry *e = NULL;
	int r;

	if (!strcmp(dir, "/") && q->recursive)
		return walk_all(fs, q, NULL, fn, arg);
	if (below_orphans(dir))
		return walk_all(fs, q, dir, fn, arg);
	r = ext4_lookup(l, dir, &e);
	if (!r && e->kind != FS_DIR)
		r = -ENOTDIR;
	if (!r)
		r = walk_folder(fs, q, e, fn, arg);
	if (!r && q->system && !strcmp(dir, "/"))
		r = walk_system(fs, fn, arg);
	fs_entry_free(e);
	return r;
}

struct find {
	const char *path;
	size_t len;
	struct fs_entry *e;
	char name[3 * EXT4_NAME_MAX + 1];
	uint32_t ino;
};

static int same_path(void *arg, const struct fs_entry *e)
{
	struct find *f = arg;

	if (strcmp(e->path, f->path))
		return 0;
	/* One that is not deleted ends it. */
	if (f->e && e->deleted)
		return 0;
	fs_entry_free(f->e);
	f->e = fs_entry_copy(e);
	return !f->e ? -ENOMEM : !e->deleted;
}

/* By going through all there is: orphans, system files, what was deleted. */
static int lookup_slow(struct ext4 *fs, const char *path, bool deleted, struct fs_entry **e)
{
	struct fs_query q = {.recursive = true, .deleted = deleted, .system = true};
	struct find f = {.path = path};
	int r = walk_all(fs, &q, NULL, same_path, &f);

	*e = f.e;
	return r < 0 ? r : f.e ? 0 : -ENOENT;
}

static int same_name(void *arg, const struct ext4_name *n)
{
	struct find *f = arg;
	char name[3 * EXT4_NAME_MAX + 1];
	size_t len = fs_name_put(n->name, n->len, name, sizeof(name));

	if (len != f->len || memcmp(name, f->path, len))
		return 0;
	f->ino = n->ino;
	return 1;
}

/* An entry by inode and path, as the walk would give it. */
static int entry_of(struct ext4 *fs, uint32_t ino, uint32_t parent, const char *path,
		    struct fs_entry **e)
{
	uint8_t *raw = malloc(fs->inode_size);
	char *target = malloc(EXT4_PATH);
	struct fs_entry now = {.id = ino, .parent = parent, .path = path};
	struct ext4_inode i;
	int r = raw && target ? ext4_inode_read(fs, ino, raw, &i) : -ENOMEM;

	if (!r && (ext4_inode_in_use(&i) || ino == EXT4_INO_ROOT)) {
		ext4_entry_fill(fs, &i, &now, target);
	} else if (!r || r == -EIO || r == -ENOENT) {
		now.data_sure = FS_GONE;
		now.remark = "its inode is lost";
		if (ino == EXT4_INO_ROOT)
			now.kind = FS_DIR;
		r = 0;
	}
	if (!r)
		*e = fs_entry_copy(&now);
	if (!r && !*e)
		r = -ENOMEM;
	free(raw);
	free(target);
	return r;
}

static int step(struct ext4 *fs, const char *part, size_t len, uint32_t *ino)
{
	struct find f = {.path = part, .len = len};
	uint8_t *raw = malloc(fs->inode_size);
	struct ext4_inode i;
	int r = raw ? ext4_inode_read(fs, *ino, raw, &i) : -ENOMEM;

	if (r == -EIO)
		r = -ENOENT;
	if (!r && !ext4_is(&i, EXT4_S_DIR))
		r = *ino == EXT4_INO_ROOT ? -ENOENT : -ENOTDIR;
	if (!r)
		r = ext4_dir(fs, &i, false, same_name, &f);
	free(raw);
	*ino = f.ino;
	return r < 0 ? r : r ? 0 : -ENOENT;
}

int ext4_lookup(struct layer *l, const char *path, struct fs_entry **e)
{
	struct ext4 *fs = l->priv;
	uint32_t ino = EXT4_INO_ROOT, parent = EXT4_INO_ROOT;
	const char *p = path;
	struct fs_entry all = {.path = orphans, .kind = FS_DIR, .path_sure = FS_REBUILT};
	int r = 0;

	*e = NULL;
	if (!strcmp(path, orphans)) {
		*e = fs_entry_copy(&all);
		return *e ? 0 : -ENOMEM;
	}
	if (below_orphans(path))
		return lookup_slow(fs, path, true, e);
	while (!r && *(p += strspn(p, "/"))) {
		size_t len = strcspn(p, "/");

		parent = ino;
		r = step(fs, p, len, &ino);
		p += len;
	}
	if (!r)
		return entry_of(fs, ino, parent, *path ? path : "/", e);
	return r == -ENOENT ? lookup_slow(fs, path, true, e) : r;
}
