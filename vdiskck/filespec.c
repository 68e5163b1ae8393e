/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/filespec.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/stack.h"
#include "vdiskck/core/glob.h"
#include "vdiskck/core/text.h"
#include "vdiskck/out_json.h"

struct finding_volumes {
	struct run *r;
	struct volumes *vs;
};

static bool is_windows(const struct layer *l)
{
	return !strncmp(l->ops->name, "fat", 3) || !strcmp(l->ops->name, "exfat") ||
	       !strcmp(l->ops->name, "ntfs") || !strcmp(l->ops->name, "regf");
}

static int add_volume(void *arg, struct layer *l)
{
	struct finding_volumes *f = arg;
	struct volume *more, v = {.l = l};

	if (l->ops->kind != LAYER_FILESYSTEM || l->state || !l->ops->fs ||
	    !layer_within(l, f->r->volume))
		return 0;
	more = realloc(f->vs->v, (f->vs->n + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	for (struct layer *b = l->below; b && !v.number; b = b->below)
		v.number = layer_number(b);
	v.windows = is_windows(l);
	f->vs->v = more;
	f->vs->v[f->vs->n++] = v;
	return 0;
}

int volumes_find(struct run *r, struct volumes *vs)
{
	int err;

	*vs = (struct volumes){0};
	err = stack_walk(r->source, add_volume, &(struct finding_volumes){r, vs});
	return err ? run_fail(r, err, "%s", r->a->image) : 0;
}

void volumes_free(struct volumes *vs)
{
	free(vs->v);
	*vs = (struct volumes){0};
}

bool volumes_damaged(struct run *r)
{
	for (size_t i = 0; i < r->found.n_tally; i++) {
		const struct tally *t = &r->found.tally[i];
		struct layer *l = stack_find(r->source, t->layer);

		if (finding_severity(t->id) == DAMAGE &&
		    (l ? l->ops->kind == LAYER_FILESYSTEM : strstr(t->layer, ":/") != NULL))
			return true;
	}
	return false;
}

static int find_closed(void *arg, struct layer *l)
{
	struct layer **closed = arg;

	if (layer_state_name(l) && !*closed)
		*closed = l;
	return 0;
}

int volumes_none(struct run *r)
{
	struct layer *closed = NULL;

	stack_walk(r->source, find_closed, &closed);
	if (closed)
		run_fail(r, 0, "%s: no file system can be read; %s is %s", r->a->image,
			 closed->path, layer_state_name(closed));
	else
		run_fail(r, 0, "%s: no file system that this version reads", r->a->image);
	return -ENOENT;
}

void name_unescape(char *name)
{
	char *to = name;

	for (const char *p = name; *p;) {
		unsigned byte;
		int n = 0;

		if (p[0] == '\\' && p[1] == '\\') {
			*to++ = '\\';
			p += 2;
		} else if (p[0] == '\\' && p[1] == 'x' && sscanf(p + 2, "%2x%n", &byte, &n) == 1 &&
			   n == 2 && byte) {
			*to++ = (char)byte;
			p += 4;
		} else {
			*to++ = *p++;
		}
	}
	*to = '\0';
}

/* "//a/./b/" becomes "/a/b". ".." stays: fs_find() knows what it means behind a link. */
static void tidy(char *path)
{
	char *to = path;

	for (const char *p = path; *p;) {
		size_t n;

		p += strspn(p, "/");
		n = strcspn(p, "/");
		if (n && !(n == 1 && *p == '.')) {
			*to++ = '/';
			memmove(to, p, n);
			to += n;
		}
		p += n;
	}
	if (to == path)
		*to++ = '/';
	*to = '\0';
}

/* The entry at @path: its last part is no link to follow, but what leads there may hold links. */
static int look(struct layer *l, const char *path, bool follow, struct fs_entry **e)
{
	char *dir, *whole = NULL, *slash;
	struct fs_entry *up = NULL;
	int r;

	*e = NULL;
	if (follow)
		return fs_find(l, path, e);
	r = l->ops->fs->lookup(l, path, e);
	if (r != -ENOENT && r != -ENOTDIR)
		return r;
	dir = strdup(path);
	slash = dir ? strrchr(dir, '/') : NULL;
	if (!slash || slash == dir) {
		free(dir);
		return r;
	}
	*slash = '\0';
	if (!fs_find(l, dir, &up) &&
	    asprintf(&whole, "%s/%s", up->path[1] ? up->path : "", slash + 1) > 0)
		r = l->ops->fs->lookup(l, whole, e);
	free(whole);
	free(dir);
	fs_entry_free(up);
	return r;
}

/*
 * "\Control\Session Manager\I/O System": in a hive, what begins with a backslash has slashes in its
 * names. They become what stands for them there (fs.h). NULL: @path is not like that.
 */
static char *hive_path(const struct volume *vol, const char *path)
{
	char *own, *to;

	if (strcmp(vol->l->ops->name, "regf") || *path != '\\' || !strchr(path, '/'))
		return NULL;
	own = to = malloc(3 * strlen(path) + 1);
	for (; own && *path; path++) {
		if (*path == '/')
			to = stpcpy(to, "\xef\x80\xaf");
		else
			*to++ = *path == '\\' ? '/' : *path;
	}
	if (own)
		*to = '\0';
	return own;
}

/* A copy of the user's path with slashes, or with the escapes of `ls` undone. */
static char *own_path(const struct volume *vol, const char *path, bool unescape)
{
	char *own;

	if (asprintf(&own, "/%s", path) < 0)
		return NULL;
	if (unescape)
		name_unescape(own);
	for (char *p = own; !unescape && vol->windows && *p; p++)
		*p = *p == '\\' ? '/' : *p;
	tidy(own);
	return own;
}

static int try(const struct volume *vol, const char *path, bool follow, struct filespec *fs);

/* FILE:\PATH, where FILE holds a file system. */
static int look_inside(const struct volume *vol, const char *path, const char *colon, bool follow,
		       struct filespec *fs)
{
	char *outer = strndup(path, (size_t)(colon - path));
	struct filespec file = {.text = path};
	struct volume in = {.number = vol->number};
	int r = outer ? try(vol, outer, true, &file) : -ENOMEM;

	free(outer);
	if (!r && (!file.e || file.e->kind != FS_FILE))
		r = -ENOTDIR;
	if (!r)
		r = vol->l->ops->fs->open_file(vol->l, file.e, &fs->hive);
	if (!r)
		r = stack_discover(fs->hive);
	for (in.l = r ? NULL : fs->hive->child; in.l && (in.l->state || !in.l->ops->fs);)
		in.l = in.l->next;
	if (!r && !in.l)
		r = -ENOTDIR;
	if (!r) {
		in.windows = is_windows(in.l);
		r = try(&in, colon + 1, follow, fs);
	}
	filespec_free(&file);
	if (r) {
		layer_free(fs->hive);
		fs->hive = NULL;
	}
	return r;
}

/* The first colon before a slash; NULL: there is none. */
static const char *inner(const char *path)
{
	const char *p = strchr(path, ':');

	while (p && p[1] != '\\' && p[1] != '/')
		p = strchr(p + 1, ':');
	return p;
}

/*
 * Does @vol have the file? 0, or why not. @path is the user's, without the volume: as it stands,
 * then with the escapes of `ls` undone. What is neither may be a pattern.
 */
static int try(const struct volume *vol, const char *path, bool follow, struct filespec *fs)
{
	size_t len = strlen(path);
	int r = -ENOENT;

	fs->vol = *vol;
	fs->below = len > 1 && (path[len - 1] == '/' || (vol->windows && path[len - 1] == '\\'));
	fs->path = hive_path(vol, path);
	if (fs->path) {
		r = look(vol->l, fs->path, follow || fs->below, &fs->e);
		if (!r)
			return 0;
		free(fs->path);
		fs->path = NULL;
	}
	for (int unescape = 0; unescape < 2 && r; unescape++) {
		char *own = unescape && !strchr(path, '\\') ? NULL : own_path(vol, path, unescape);

		if (!own && !unescape)
			return -ENOMEM;
		r = own ? look(vol->l, own, follow || fs->below, &fs->e) : r;
		if (r)
			free(own);
		else
			fs->path = own;
	}
	if ((r == -ENOENT || r == -ENOTDIR) && inner(path) && !fs->hive)
		r = look_inside(vol, path, inner(path), follow, fs);
	if (r && glob_special(path, vol->windows ? 0 : GLOB_ESCAPE) < len) {
		fs->glob = true;
		fs->path = own_path(vol, path, false);
		r = fs->path ? 0 : -ENOMEM;
	}
	return r;
}

struct any {
	struct layer *l;
	const struct filespec_walk *w;
	const char *pattern, *within; /* NULL, or: only this folder's tree */
	unsigned flags;
	uint64_t seen;
};

static bool lies_within(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return n == 1 || (!strncmp(path, dir, n) && (path[n] == '/' || !path[n]));
}

static int pass(void *arg, const struct fs_entry *e)
{
	struct any *a = arg;
	const char *path = e->path;

	if (a->within && !lies_within(path, a->within))
		return 0;
	if (a->pattern && !glob_match(a->pattern, path, a->flags))
		return 0;
	a->seen++;
	return a->w->fn(a->w->arg, e);
}

/*
 * The folder that holds all that a pattern can match, with the escapes of the pattern taken out,
 * and whether one look into that folder is enough.
 */
static char *glob_root(const struct filespec *fs, unsigned flags, bool *flat)
{
	size_t n = glob_special(fs->path, flags);
	char *root;

	*flat = !strchr(fs->path + n, '/') && !strstr(fs->path + n, "**");
	while (n && fs->path[n - 1] != '/')
		n--;
	root = strndup(fs->path, n > 1 ? n - 1 : 1);
	if (root && flags & GLOB_ESCAPE) {
		char *to = root;

		for (const char *p = root; *p; p++) {
			p += *p == '\\' && p[1];
			*to++ = *p;
		}
		*to = '\0';
	}
	return root;
}

static int walk_glob(const struct filespec *fs, const struct filespec_walk *w, uint64_t *seen)
{
	unsigned flags = fs->vol.windows ? GLOB_NOCASE : GLOB_ESCAPE;
	struct layer *l = fs->vol.l;
	struct any a = {l, w, fs->path, NULL, flags | (w->recursive ? GLOB_BELOW : 0u), 0};
	bool flat;
	char *root = glob_root(fs, flags, &flat);
	struct fs_query q = {.dir = root,
			     .recursive = w->recursive || !flat,
			     .deleted = w->deleted,
			     .system = w->system};
	int r = root ? l->ops->fs->walk(l, &q, pass, &a) : -ENOMEM;

	/* A folder that is gone, or stands behind a link, may still be what paths begin with. */
	if (r == -ENOENT || r == -ENOTDIR) {
		q.dir = NULL;
		q.recursive = true;
		r = l->ops->fs->walk(l, &q, pass, &a);
	}
	free(root);
	*seen = a.seen;
	return r;
}

static int walk_folder(const struct filespec *fs, const struct filespec_walk *w)
{
	struct layer *l = fs->vol.l;
	const char *dir = fs->e ? fs->e->path : "/";
	struct any a = {l, w, NULL, NULL, 0, 0};
	bool gone = fs->e && fs->e->deleted;
	struct fs_query q = {.dir = dir,
			     .recursive = w->recursive,
			     .deleted = w->deleted || gone,
			     .system = w->system};
	int r = l->ops->fs->walk(l, &q, pass, &a);

	if (gone && (r == -ENOENT || r == -ENOTDIR)) {
		q.dir = NULL;
		q.recursive = true;
		a.within = dir;
		r = l->ops->fs->walk(l, &q, pass, &a);
	}
	return r;
}

int filespec_walk(const struct filespec *fs, const struct filespec_walk *w)
{
	bool folder = !fs->e || fs->e->kind == FS_DIR;
	uint64_t seen = 0;
	int r = 0;

	if (fs->glob) {
		r = walk_glob(fs, w, &seen);
		return r || seen ? r : -ENOENT;
	}
	if (fs->e && !(folder && w->contents))
		r = w->fn(w->arg, fs->e);
	if (!r && folder && (w->contents || w->recursive))
		r = walk_folder(fs, w);
	return r;
}

/* "N:" or "LAYER:" in front of a slash. @rest: what is behind the colon. */
static char *prefix(const char *text, const char **rest)
{
	const char *p = text + strcspn(text, ":");

	while (*p && !(p[1] == '/' || p[1] == '\\' || !p[1]))
		p += 1 + strcspn(p + 1, ":");
	if (!*p)
		return NULL;
	*rest = p + 1;
	return strndup(text, (size_t)(p - text));
}

static bool stands_on(const struct layer *l, const struct layer *ground)
{
	for (; l; l = l->below)
		if (l == ground)
			return true;
	return false;
}

/* The one file system that @name means: a volume's number, a layer's path. */
static int named_volume(struct run *r, const struct volumes *vs, const char *name,
			const struct volume **vol)
{
	bool number = *name && strspn(name, "0123456789") == strlen(name);
	struct layer *l = number ? NULL : stack_find(r->source, name);
	size_t n = 0;

	for (size_t i = 0; i < vs->n; i++) {
		const struct volume *v = &vs->v[i];

		if (number ? v->number != strtoul(name, NULL, 10)
			   : !l || (!stands_on(v->l, l) && !stands_on(l, v->l)))
			continue;
		if (!n++ || v->l == l)
			*vol = v;
	}
	if (n == 1 || (n && (*vol)->l == l))
		return 0;
	if (n)
		run_fail(r, 0, "%s: %zu file systems stand on %s%s", r->a->image, n,
			 number ? "volume " : "", name);
	else if (l && layer_state_name(l))
		run_fail(r, 0, "%s: %s is %s", r->a->image, name, layer_state_name(l));
	else
		run_fail(r, 0, "%s: no file system on %s%s (vdiskck ls lists the volumes)",
			 r->a->image, number ? "volume " : "", name);
	return n ? -ENOTUNIQ : -ENOENT;
}

static int said(struct run *r, int err, const char *text)
{
	char name[1024];

	name_escape(text, strlen(text), name, sizeof(name));
	return run_fail(r, err, "%s: %s", r->a->image, name);
}

/* A path alone: it must be on one volume. */
static int search(struct run *r, const struct volumes *vs, const char *text, bool follow,
		  struct filespec *fs)
{
	char choices[768] = "", name[512];
	int err = -ENOENT;
	size_t n = 0;

	if (vs->n == 1) {
		err = try(&vs->v[0], text, follow, fs);
		return err ? said(r, err, text) : 0;
	}
	for (size_t i = 0; i < vs->n; i++) {
		struct filespec one = {.text = text};
		int e = try(&vs->v[i], text, follow, &one);
		size_t used = strlen(choices);

		if (e)
			continue;
		if (vs->v[i].number)
			snprintf(choices + used, sizeof(choices) - used, " %u:%s", vs->v[i].number,
				 *text == '/' ? text : one.path);
		else
			snprintf(choices + used, sizeof(choices) - used, " %s:%s", vs->v[i].l->path,
				 *text == '/' ? text : one.path);
		if (n++)
			filespec_free(&one);
		else
			*fs = one;
	}
	if (n == 1)
		return 0;
	if (!n)
		return said(r, err, text);
	filespec_free(fs);
	name_escape(choices, strlen(choices), name, sizeof(name));
	run_fail(r, 0, "%s: several volumes may be meant:%s", r->a->image, name);
	return -ENOTUNIQ;
}

bool filespec_names(struct layer *source, const char *text, struct layer *l)
{
	const char *rest;
	char *name = prefix(text, &rest);
	bool yes = false;

	if (!name)
		name = strdup(text);
	if (name && *name && strspn(name, "0123456789") == strlen(name))
		for (struct layer *b = l; b && !yes; b = b->below)
			yes = layer_number(b) && layer_number(b) == strtoul(name, NULL, 10);
	else if (name && *name)
		yes = stands_on(l, stack_find(source, name));
	free(name);
	return yes;
}

int filespec_parse(struct run *r, const struct volumes *vs, const char *text, bool follow,
		   struct filespec *fs)
{
	const struct volume *vol = NULL;
	const char *rest = NULL;
	char *name;
	int err;

	*fs = (struct filespec){.text = text};
	if (!vs->n)
		return volumes_none(r);
	if (*text == '/' || *text == '\\') {
		err = search(r, vs, text, follow, fs);
		fs->text = text;
		return err;
	}
	name = prefix(text, &rest);
	/* A volume without a path is its root. */
	if (!name && *text &&
	    (stack_find(r->source, text) || strspn(text, "0123456789") == strlen(text)))
		name = strdup(text);
	if (!name) {
		run_fail(r, 0, "%s: a file is /PATH, N:/PATH or LAYER:/PATH", text);
		return -EINVAL;
	}
	err = named_volume(r, vs, name, &vol);
	if (!err) {
		err = try(vol, rest && *rest ? rest : "/", follow, fs);
		if (err)
			said(r, err, text);
	}
	free(name);
	return err;
}

int filespec_on(const struct volume *vol, const char *text, struct filespec *fs)
{
	*fs = (struct filespec){.text = text};
	return try(vol, text, false, fs);
}

void filespec_free(struct filespec *fs)
{
	fs_entry_free(fs->e);
	free(fs->path);
	layer_free(fs->hive);
	*fs = (struct filespec){0};
}
