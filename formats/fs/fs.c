/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/fs/fs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	LINKS_MAX = 16,	      /* symbolic links on one path */
	PATH_MAX_LEN = 65536, /* of a path with its links put in */
};

/* The texts of a copy lie behind it in one piece of memory. */
static const char *put(char **to, const char *text)
{
	char *p = *to;

	if (!text)
		return NULL;
	*to = stpcpy(p, text) + 1;
	return p;
}

static size_t room(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

struct fs_entry *fs_entry_copy(const struct fs_entry *e)
{
	size_t len = room(e->path) + room(e->stream) + room(e->target) + room(e->remark);
	struct fs_entry *c = malloc(sizeof(*c) + len);
	char *to = (char *)(c + 1);

	if (!c)
		return NULL;
	*c = *e;
	c->path = put(&to, e->path);
	c->stream = put(&to, e->stream);
	c->target = put(&to, e->target);
	c->remark = put(&to, e->remark);
	return c;
}

void fs_entry_free(struct fs_entry *e)
{
	free(e);
}

int fs_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	return layer_read(l->below, off, buf, len, bad);
}

int fs_map(struct layer *l, uint64_t off, struct extent *run)
{
	return layer_map_below(l, off, 0, run);
}

/* The entry of the first @len bytes of @path. */
static int look(struct layer *l, const char *path, size_t len, struct fs_entry **e)
{
	char *part = strndup(path, len);
	int r = part ? l->ops->fs->lookup(l, len ? part : "/", e) : -ENOMEM;

	free(part);
	return r;
}

/*
 * The path with the link that ends at @end replaced by its target: a relative one counts from the
 * folder of the link. "." and ".." are taken out by walk_parts().
 */
static char *redirect(const char *path, size_t end, const char *target)
{
	size_t dir = end;
	char *out;

	if (*target == '/')
		dir = 0;
	else
		while (dir && path[dir - 1] != '/')
			dir--;
	if (strlen(path) + strlen(target) > PATH_MAX_LEN ||
	    asprintf(&out, "%.*s%s%s", (int)dir, path, target, path + end) < 0)
		return NULL;
	return out;
}

/* Take "." and ".." and empty parts out, in place. */
static void tidy(char *path)
{
	char *to = path;

	for (const char *p = path; *p;) {
		size_t n;

		p += strspn(p, "/");
		n = strcspn(p, "/");
		if (n == 2 && !strncmp(p, "..", 2)) {
			while (to > path && *--to != '/')
				;
		} else if (n && !(n == 1 && *p == '.')) {
			*to++ = '/';
			memmove(to, p, n);
			to += n;
		}
		p += n;
	}
	*to = '\0';
}

int fs_find(struct layer *l, const char *path, struct fs_entry **e)
{
	char *now = malloc(strlen(path) + 2), *next;
	int r = now ? 0 : -ENOMEM;
	size_t end = 0;

	*e = NULL;
	if (now) {
		sprintf(now, "/%s", path);
		tidy(now);
	}
	for (unsigned links = 0; !r;) {
		end += now[end] == '/';
		end += strcspn(now + end, "/");
		fs_entry_free(*e);
		*e = NULL;
		r = look(l, now, end, e);
		if (r || ((*e)->kind != FS_SYMLINK && !now[end]))
			break;
		if ((*e)->kind != FS_SYMLINK || !(*e)->target)
			continue;
		if (++links > LINKS_MAX) {
			r = -ELOOP;
			break;
		}
		next = redirect(now, end, (*e)->target);
		free(now);
		now = next;
		end = 0;
		if (now)
			tidy(now);
		else
			r = -ENAMETOOLONG;
	}
	if (r) {
		fs_entry_free(*e);
		*e = NULL;
	}
	free(now);
	return r;
}

size_t fs_name_put(const char *name, size_t len, char *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		bool special = name[i] == '/' || name[i] == '\0';

		if (n + (special ? 3 : 1) >= cap)
			break;
		if (special) { /* U+F02F, U+F000 */
			out[n++] = (char)0xef;
			out[n++] = (char)(0x80 | (name[i] >> 6));
			out[n++] = (char)(0x80 | (name[i] & 0x3f));
		} else {
			out[n++] = name[i];
		}
	}
	if (cap)
		out[n] = '\0';
	return n;
}
