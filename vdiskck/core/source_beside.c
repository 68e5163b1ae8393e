/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that an image names. The name is hostile: it is resolved as text ("..", both slashes), then
 * looked for in the places where such files may lie (source_places.c).
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "vdiskck/core/source_internal.h"

enum {
	NAME_LEN = PATH_MAX,
	FILES_MAX = 4096, /* of source_each_beside() */
};

/*
 * A name as an image states it, taken apart.
 * MacX locators are file:// URLs; qemu knows "file:NAME"; Windows has drives, UNC and \\?\.
 */
struct name {
	char path[NAME_LEN]; /* slashes are '/'; "/x/y" only if it is absolute on this system */
	bool absolute;	     /* on the system that wrote it */
};

static int url_decode(char *s)
{
	char *o = s;

	for (; *s; s++, o++) {
		unsigned v;

		*o = *s;
		if (*s == '%' && isxdigit((unsigned char)s[1]) && isxdigit((unsigned char)s[2]) &&
		    sscanf(s + 1, "%2x", &v) == 1) {
			if (!v)
				return -EINVAL;
			*o = (char)v;
			s += 2;
		}
	}
	*o = '\0';
	return 0;
}

static bool drive(const char *s)
{
	return isalpha((unsigned char)s[0]) && s[1] == ':';
}

static int name_parse(const char *text, bool windows, struct name *n)
{
	const char *s = text;
	char *path = n->path;
	bool url = !strncasecmp(text, "file://", 7);
	bool foreign = false;

	n->absolute = false;
	if (url)
		s = strchr(text + 7, '/');
	else if (!strncmp(text, "file:", 5))
		s = text + 5;
	if (!s || !*s || strlen(s) >= sizeof(n->path))
		return -ENOENT;
	strcpy(path, s);
	if (url && url_decode(path))
		return -ENOENT;
	if (windows) {
		foreign = path[0] == '\\';
		for (char *c = path; *c; c++)
			if (*c == '\\')
				*c = '/';
		s = path;
		if (!strncmp(s, "//?/", 4) || !strncmp(s, "//./", 4))
			s += 4;
		if (url && *s == '/' && drive(s + 1))
			s++;
		if (drive(s)) {
			s += 2;
			foreign = true;
		}
		if (foreign)
			s += strspn(s, "/");
		memmove(path, s, strlen(s) + 1);
	}
	n->absolute = foreign || path[0] == '/';
	return path[0] ? 0 : -ENOENT;
}

/* @base and @name joined, "." and ".." taken out as text. False: too long. */
static bool join(const char *base, const char *name, char out[NAME_LEN])
{
	const char *part[] = {base, name};
	size_t n = 0;

	for (size_t i = 0; i < 2; i++) {
		const char *s = part[i] + strspn(part[i], "/");

		while (*s) {
			size_t len = strcspn(s, "/");

			if (len == 2 && !memcmp(s, "..", 2)) {
				while (n && out[--n] != '/')
					;
			} else if (len != 1 || *s != '.') {
				if (n + 1 + len + 1 > NAME_LEN)
					return false;
				out[n++] = '/';
				memcpy(out + n, s, len);
				n += len;
			}
			s += len;
			s += strspn(s, "/");
		}
	}
	out[n] = '\0';
	return n > 0;
}

struct search {
	struct layer *by;
	struct opener opener;
	bool refused; /* something of that name exists, and must not be opened */
	struct layer *found;
};

/* 0: found. -ENOENT: go on looking. Other: stop. */
static int try(struct search *s, const char *base, const char *name, bool not_itself)
{
	char path[NAME_LEN];
	int r;

	if (!join(base, name, path))
		return -ENOENT;
	r = source_make(s->by->s, &s->opener, path, (struct places *)(uintptr_t)s->opener.places,
			&s->found);
	if (!r && not_itself && source_same(s->by, s->found)) {
		layer_free(s->found);
		s->found = NULL;
		return -ENOENT;
	}
	s->refused |= r == -EACCES;
	return r == -EACCES ? -ENOENT : r;
}

static int try_all(struct search *s, const char *name, bool not_itself)
{
	const struct source *f = s->by->priv;
	int r = -ENOENT;

	for (size_t i = 0; r == -ENOENT && i < 2; i++)
		if (f->dir[i])
			r = try(s, f->dir[i], name, not_itself);
	for (size_t i = 0; r == -ENOENT && i < f->places->n; i++)
		if (f->places->v[i].fd >= 0)
			r = try(s, f->places->v[i].path, name, not_itself);
	return r;
}

static int search_name(struct search *s, const struct name *n)
{
	const char *last = strrchr(n->path, '/');
	int r = -ENOENT;

	last = last ? last + 1 : n->path;
	if (n->path[0] == '/')
		r = try(s, "/", n->path, false);
	else if (!n->absolute)
		r = try_all(s, n->path, false);
	/* Images that were copied together lie in one folder, whatever they were told once. */
	if (r == -ENOENT && *last && strcmp(last, "..") && (n->absolute || last != n->path))
		r = try_all(s, last, true);
	if (r == -ENOENT && *last) {
		s->opener.open = places_open_named;
		r = try(s, "/", last, true);
		s->opener.open = places_open;
	}
	return r;
}

int source_open_beside(struct layer *by, const char *name, struct layer **l)
{
	const struct source *f = by->priv;
	struct search s = {.by = by};
	struct name n;
	int r;

	*l = NULL;
	if (by->ops != &source_ops || !f->places)
		return -ENOENT;
	s.opener = (struct opener){.open = places_open, .places = f->places};
	r = name_parse(name, true, &n);
	if (!r)
		r = search_name(&s, &n);
	/* On this system a backslash may be part of a file's name. */
	if (r == -ENOENT && strchr(name, '\\') && !name_parse(name, false, &n))
		r = search_name(&s, &n);
	*l = s.found;
	return r == -ENOENT && s.refused ? -EACCES : r;
}

/* File names of one folder, the FILES_MAX that sort first. */
struct names {
	char **v;
	size_t n;
};

static int name_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_cut(struct names *names, size_t max)
{
	if (names->n)
		qsort(names->v, names->n, sizeof(*names->v), name_cmp);
	while (names->n > max)
		free(names->v[--names->n]);
}

static int names_read(const struct places *p, const char *path, struct names *names)
{
	struct dirent *e;
	int fd = places_folder(p, path), r = 0;
	DIR *d;

	if (fd < 0)
		return 0; /* it can't be listed: nothing is found there */
	d = fdopendir(fd);
	names->v = calloc(2 * FILES_MAX, sizeof(*names->v));
	if (!d || !names->v) {
		r = -ENOMEM;
		goto out;
	}
	while ((e = readdir(d))) {
		if (e->d_type != DT_REG && e->d_type != DT_LNK && e->d_type != DT_UNKNOWN)
			continue;
		names->v[names->n] = strdup(e->d_name);
		if (!names->v[names->n]) {
			r = -ENOMEM;
			break;
		}
		if (++names->n == 2 * FILES_MAX)
			names_cut(names, FILES_MAX);
	}
out:
	if (d)
		closedir(d);
	else
		close(fd);
	names_cut(names, FILES_MAX);
	return r;
}

/* Every folder to look into, once: those of @by first. */
static size_t folders(const struct source *f, const char **out)
{
	size_t n = 0;

	for (size_t i = 0; i < 2 + f->places->n; i++) {
		const char *path = i < 2 ? f->dir[i] : f->places->v[i - 2].path;
		bool again = !path || (i >= 2 && f->places->v[i - 2].fd < 0);

		for (size_t k = 0; !again && k < n; k++)
			again = !strcmp(out[k], path);
		if (!again)
			out[n++] = path;
	}
	return n;
}

struct each {
	struct search s;
	int (*fn)(void *arg, struct layer *source);
	void *arg;
	size_t tried;
};

static int each_in(struct each *e, const char *folder, const struct names *names)
{
	int r = 0;

	for (size_t i = 0; !r && i < names->n && e->tried < FILES_MAX; i++) {
		r = try(&e->s, folder, names->v[i], true);
		if (r == -ENOMEM || r == -EINTR)
			return r;
		if (r) {
			r = 0;
			continue;
		}
		e->tried++;
		r = e->fn(e->arg, e->s.found);
		if (r != 1)
			layer_free(e->s.found);
		e->s.found = NULL;
	}
	return r;
}

int source_each_beside(struct layer *by, int (*fn)(void *arg, struct layer *source), void *arg)
{
	const struct source *f = by->priv;
	struct each e = {.s.by = by, .fn = fn, .arg = arg};
	const char **folder;
	size_t n;
	int r = 0;

	if (by->ops != &source_ops || !f->places)
		return 0;
	e.s.opener = (struct opener){.open = places_open, .places = f->places};
	folder = calloc(2 + f->places->n, sizeof(*folder));
	if (!folder)
		return -ENOMEM;
	n = folders(f, folder);
	for (size_t i = 0; !r && i < n; i++) {
		struct names names = {0};

		r = names_read(f->places, folder[i], &names);
		if (!r)
			r = each_in(&e, folder[i], &names);
		names_cut(&names, 0);
		free(names.v);
	}
	free(folder);
	return r;
}
