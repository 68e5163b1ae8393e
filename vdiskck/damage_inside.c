/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names for damage that no lost byte leads to: a structure of a file system that a finding points
 * at, and what lies inside a file (a registry hive, a log, a program).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/fs.h"
#include "formats/stack.h"
#include "vdiskck/core/ranges.h"
#include "vdiskck/damage.h"

enum { STRUCTURES = 4096 /* findings of one file system that are followed to their owners */ };

struct pointing {
	struct run *r;
	struct layer *fs;
	struct entry *e[STRUCTURES];
	size_t n;
};

/* Does the finding point at a structure, and say nothing of lost bytes or of a file? */
static bool points(const struct entry *e, const struct layer *fs)
{
	return finding_severity(e->id) == DAMAGE && !e->lost && !e->doubtful && !e->path &&
	       e->at.len && fs->below && !strcmp(e->layer, fs->path) &&
	       !strcmp(e->at.layer, fs->below->path);
}

static int on_structure(void *arg, struct layer *fs, const struct fs_owner *o)
{
	struct pointing *p = arg;
	char *path;
	int err = 0;

	if (!o->file || !o->file->path)
		return 0;
	if (asprintf(&path, "%s:%s", fs->path, o->file->path) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < p->n && !err; i++)
		if (p->e[i]->at.off < o->off + o->len && o->off < p->e[i]->at.off + p->e[i]->at.len)
			err = entry_hits(p->e[i], path);
	free(path);
	return err;
}

struct owning {
	struct pointing *p;
	const struct ranges *r;
};

static int on_owner(void *arg, const struct fs_owner *o)
{
	struct owning *w = arg;
	size_t i = ranges_find(w->r, o->off);
	struct fs_owner part = *o;
	int err;

	if (i == w->r->n || w->r->v[i].off >= o->off + o->len || o->kind == OWNER_FREE)
		return 0;
	/* The structure as a whole is in doubt, not only the bytes that show it. */
	if (part.kind == OWNER_STRUCTURE && part.size) {
		part.off = part.start;
		part.len = part.size;
	}
	err = on_structure(w->p, w->p->fs, &part);
	return err ? err
		   : files_hit_add(&w->p->r->hit, w->p->fs, &part, GRADE_DOUBTFUL, w->r->v[i].why);
}

static int structures_of(void *arg, struct layer *fs)
{
	struct run *r = arg;
	struct pointing *p;
	struct ranges where = {0};
	int err = 0;

	if (!fs->ops->fs || fs->state || !fs->ops->fs->owners ||
	    fs->ops->kind != LAYER_FILESYSTEM || !layer_within(fs, r->volume))
		return 0;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	*p = (struct pointing){.r = r, .fs = fs};
	for (size_t i = 0; i < r->found.n && p->n < STRUCTURES && !err; i++) {
		struct entry *e = &r->found.v[i];

		if (!points(e, fs) || e->at.off + e->at.len > fs->size)
			continue;
		p->e[p->n++] = e;
		err = ranges_add(&where, e->at.off, e->at.len, GRADE_DOUBTFUL, e->id);
	}
	if (!err && where.n)
		err = ranges_flatten(&where);
	if (!err && where.n)
		err = fs->ops->fs->owners(fs, &where, on_owner, &(struct owning){p, &where});
	ranges_free(&where);
	free(p);
	return err;
}

int damage_structures(struct run *r)
{
	return r->s.count[DAMAGE] ? stack_walk(r->source, structures_of, r) : 0;
}

/* "FS:/path/regf": the file system and the path of the file; NULL: the layer is in no file. */
static struct layer *inside(struct run *r, const char *layer, char **path)
{
	const char *colon = strstr(layer, ":/"), *end = strrchr(layer, '/');
	struct layer *fs = NULL;
	char *name;

	if (!colon || !end || end <= colon + 1)
		return NULL;
	name = strndup(layer, (size_t)(colon - layer));
	if (name)
		fs = stack_find(r->source, name);
	free(name);
	*path = fs ? strndup(colon + 1, (size_t)(end - colon - 1)) : NULL;
	return *path ? fs : NULL;
}

/* Where in its file the finding points; false: at no byte of it that is known. */
static bool in_file(const struct entry *e, const struct layer *fs, const char *path, uint64_t *off,
		    uint64_t *len)
{
	size_t n = strlen(fs->path);

	/* Logs and hives present the bytes of their file as they are. */
	if ((e->lost || e->doubtful) && e->len) {
		*off = e->off;
		*len = e->len;
		return true;
	}
	for (size_t i = 0; i < e->n_where; i++) {
		const char *layer = e->where[i].layer;

		if (!strncmp(layer, fs->path, n) && layer[n] == ':' &&
		    !strcmp(layer + n + 1, path)) {
			*off = e->where[i].off;
			*len = e->where[i].len;
			return true;
		}
	}
	return false;
}

static int hit_inside(struct run *r, struct entry *e)
{
	char *path = NULL, *full = NULL;
	struct layer *fs = inside(r, e->layer, &path);
	struct fs_entry *file = NULL;
	uint64_t off, len;
	int err = 0;

	if (!fs)
		return 0;
	if (asprintf(&full, "%s:%s", fs->path, path) < 0)
		err = -ENOMEM;
	if (!err)
		err = entry_hits(e, full);
	if (!err && in_file(e, fs, path, &off, &len) && !fs->ops->fs->lookup(fs, path, &file) &&
	    len < file->size)
		err = files_hit_add(&r->hit, fs,
				    &(struct fs_owner){.off = off,
						       .len = len,
						       .kind = OWNER_FILE,
						       .file = file,
						       .file_off = off},
				    GRADE_DOUBTFUL, e->id);
	else if (!err)
		err = files_hit_named(&r->hit, fs, path, e->id);
	fs_entry_free(file);
	free(full);
	free(path);
	return err;
}

int damage_inside(struct run *r, uint64_t since)
{
	int err = 0;

	for (size_t i = 0; i < r->found.n && !err; i++) {
		struct entry *e = &r->found.v[i];
		struct layer *fs;

		if (e->number < since || finding_severity(e->id) != DAMAGE)
			continue;
		fs = e->path ? stack_find(r->source, e->layer) : NULL;
		if (fs && fs->ops->kind == LAYER_FILESYSTEM)
			err = files_hit_named(&r->hit, fs, e->path, e->id);
		else
			err = hit_inside(r, e);
	}
	files_hit_sort(&r->hit);
	return err;
}
