/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/fake_fs.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "formats/fs/claim.h"
#include "formats/fs/runs.h"

static bool last(const struct fake_file *f)
{
	return !f->e.path && !f->structure;
}

/* Is @path in the folder @dir, directly or (with @deep) anywhere below? */
static bool is_in(const char *path, const char *dir, bool deep)
{
	size_t n = strcmp(dir, "/") ? strlen(dir) : 0;

	return !strncmp(path, dir, n) && path[n] == '/' && path[n + 1] &&
	       (deep || !strchr(path + n + 1, '/'));
}

static int fake_walk(struct layer *l, const struct fs_query *q,
		     int (*fn)(void *arg, const struct fs_entry *e), void *arg)
{
	int r = 0;

	for (const struct fake_file *f = l->priv; !last(f) && !r; f++)
		if (f->e.path && is_in(f->e.path, q->dir ? q->dir : "/", q->recursive) &&
		    (q->deleted || !f->e.deleted) && (q->system || !f->e.system))
			r = fn(arg, &f->e);
	return r;
}

static int fake_lookup(struct layer *l, const char *path, struct fs_entry **e)
{
	static const struct fs_entry root = {.path = "/", .kind = FS_DIR};
	const struct fs_entry *found = strcmp(path, "/") ? NULL : &root;

	for (const struct fake_file *f = l->priv; !last(f); f++)
		if (f->e.path &&
		    !(strcmp(l->name, "fat") ? strcmp(f->e.path, path)
					     : strcasecmp(f->e.path, path)) &&
		    (!found || found->deleted))
			found = &f->e;
	*e = found ? fs_entry_copy(found) : NULL;
	return !found ? -ENOENT : *e ? 0 : -ENOMEM;
}

static int fake_open_file(struct layer *l, const struct fs_entry *e, struct layer **file)
{
	struct fs_runs runs = {0};
	int r = 0;

	for (const struct fake_file *f = l->priv; !last(f) && !r; f++)
		if (f->e.path && !strcmp(f->e.path, e->path))
			r = fs_runs_add(
				&runs,
				&(struct fs_run){.len = f->len, .kind = EXTENT_DATA, .at = f->at});
	return r ? r : fs_file_new(l, e->path, e->size, &runs, file);
}

static void rest_is_free(void *arg, struct fs_owner *o)
{
	(void)arg;
	o->kind = OWNER_FREE;
}

static int fake_owners(struct layer *l, const struct ranges *r,
		       int (*fn)(void *arg, const struct fs_owner *o), void *arg)
{
	struct claims c = {.wanted = r, .fn = fn, .arg = arg};
	int err = 0;

	for (const struct fake_file *f = l->priv; !last(f) && !err; f++) {
		struct fs_owner o = {.off = f->at,
				     .len = f->len,
				     .kind = f->structure ? OWNER_STRUCTURE : OWNER_FILE,
				     .file = f->e.path ? &f->e : NULL,
				     .structure = f->structure};

		err = claim(&c, &o);
	}
	if (!err)
		err = claim_rest(&c, rest_is_free, NULL);
	claims_free(&c);
	return err;
}

static const struct fs_ops fake_fs = {
	.walk = fake_walk,
	.lookup = fake_lookup,
	.open_file = fake_open_file,
	.owners = fake_owners,
};

static const struct layer_ops fake_ops = {
	.name = "fake",
	.kind = LAYER_FILESYSTEM,
	.read = fs_read,
	.map = fs_map,
	.fs = &fake_fs,
};

/* Under the name of a Windows file system, it is one. */
static const struct layer_ops fake_fat_ops = {
	.name = "fat",
	.kind = LAYER_FILESYSTEM,
	.read = fs_read,
	.map = fs_map,
	.fs = &fake_fs,
};

struct layer *fake_fs_new(struct layer *below, const char *name, const struct fake_file *v)
{
	struct layer *l =
		layer_new(below->s, strcmp(name, "fat") ? &fake_ops : &fake_fat_ops, below, name);

	if (!l)
		return NULL;
	l->size = below->size;
	l->priv = (void *)(uintptr_t)v;
	layer_attach(below, l);
	return l;
}
