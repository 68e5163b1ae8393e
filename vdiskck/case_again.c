/* SPDX-License-Identifier: Apache-2.0 */
/* A case that was not finished is begun again: what its marker lists is removed, and only that. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vdiskck/case_internal.h"

enum { TOP_MAX = 64, DEPTH = 256 };

struct again {
	struct case_dir *c;
	FILE *f; /* the marker */
	char *line;
	size_t cap;
	char *top[TOP_MAX]; /* what the run made in the folder itself */
	size_t n_top;
	char *dir; /* the folder of the last file that was removed, open as @fd */
	int fd;
};

char *case_image(const char *image)
{
	char *path = realpath(image, NULL);

	if (!path)
		path = strdup(image); /* nbd://... */
	/* One line of the marker. */
	for (char *p = path; p && *p; p++)
		*p = *p == '\n' ? ' ' : *p;
	return path;
}

/* The rest of the next line that begins with @word; NULL at the end. */
static const char *next(struct again *a, const char *word)
{
	size_t n = strlen(word);
	ssize_t len;

	while ((len = getline(&a->line, &a->cap, a->f)) > 0) {
		/* A line without its end was cut when the run died: what it names was not made. */
		if (a->line[len - 1] != '\n')
			continue;
		a->line[len - 1] = '\0';
		if (!strncmp(a->line, word, n))
			return a->line + n;
	}
	return NULL;
}

static int same_image(struct again *a, const char *image)
{
	const char *had = next(a, "image ");
	char *id = case_image(image);
	int r = 0;

	if (!id)
		r = session_err(a->c->s, -ENOMEM, "%s", a->c->path);
	else if (had && strcmp(had, id))
		r = session_err(a->c->s, -ENOTEMPTY,
				"%s: an incomplete case of %s is there; remove it, or name a new "
				"folder with -o",
				a->c->path, had);
	free(id);
	return r;
}

static bool in_top(const struct again *a, const char *name)
{
	for (size_t i = 0; i < a->n_top; i++)
		if (!strcmp(a->top[i], name))
			return true;
	return false;
}

static int foreign(struct again *a, const char *name)
{
	return session_err(a->c->s, -ENOTEMPTY,
			   "%s: beside an incomplete case there is %s, which no run made; move it "
			   "away, or name a new folder with -o",
			   a->c->path, name);
}

/* Nothing is removed while there is something that is not the run's. */
static int look(struct again *a)
{
	const char *made;
	struct dirent **v = NULL;
	int n, r = 0;

	while (!r && (made = next(a, "made "))) {
		if (strchr(made, '/') || in_top(a, made))
			continue;
		a->top[a->n_top] = a->n_top < TOP_MAX - 1 ? strdup(made) : NULL;
		if (!a->top[a->n_top++])
			r = session_err(a->c->s, -ENOMEM, "%s/" CASE_MARKER, a->c->path);
	}
	n = r ? 0 : scandirat(a->c->fd, ".", &v, NULL, NULL);
	if (n < 0)
		r = session_err(a->c->s, -errno, "%s", a->c->path);
	for (int i = 0; i < n; i++) {
		const char *name = v[i]->d_name;

		if (!r && strcmp(name, ".") && strcmp(name, "..") && strcmp(name, CASE_MARKER) &&
		    !in_top(a, name))
			r = foreign(a, name);
		free(v[i]);
	}
	free(v);
	return r;
}

/* The open folder of @path, entered name by name: no link leads out of the case. -1: none. */
static int folder_of_made(struct again *a, const char *path, size_t len)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

	if (a->dir && strlen(a->dir) == len && !memcmp(a->dir, path, len))
		return a->fd;
	free(a->dir);
	if (a->fd >= 0)
		close(a->fd);
	a->dir = strndup(path, len);
	a->fd = openat(a->c->fd, ".", flags);
	for (char *p = a->dir, *name; a->fd >= 0 && p && (name = strsep(&p, "/"));) {
		int in = *name && strcmp(name, "..") ? openat(a->fd, name, flags) : -1;

		close(a->fd);
		a->fd = in;
	}
	if (a->dir) /* strsep() has cut it */
		memcpy(a->dir, path, len);
	return a->fd;
}

static void remove_made(struct again *a, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	int dir = slash ? folder_of_made(a, path, (size_t)(slash - path)) : a->c->fd;

	/* A folder stays until it is known to be empty. */
	if (dir >= 0 && *name && strcmp(name, ".."))
		unlinkat(dir, name, 0);
}

/* Folders in which nothing is left. Returns 0, or -errno, said, when something is. */
static int remove_folders(struct again *a, int at, unsigned depth)
{
	struct dirent **v = NULL;
	int n = scandirat(at, ".", &v, NULL, NULL), r = n < 0 ? -errno : 0;

	for (int i = 0; i < n; i++) {
		const char *name = v[i]->d_name;
		int fd = -1;

		if (!r && strcmp(name, ".") && strcmp(name, "..") &&
		    (depth || strcmp(name, CASE_MARKER))) {
			fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			r = fd < 0 || depth == DEPTH ? foreign(a, name)
						     : remove_folders(a, fd, depth + 1);
			if (!r && unlinkat(at, name, AT_REMOVEDIR))
				r = session_err(a->c->s, -errno, "%s: %s", a->c->path, name);
		}
		if (fd >= 0)
			close(fd);
		free(v[i]);
	}
	free(v);
	return r;
}

int case_again(struct case_dir *c, const char *image)
{
	struct again a = {.c = c, .fd = -1};
	int copy = openat(c->fd, CASE_MARKER, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), r;
	const char *made;

	a.f = copy < 0 ? NULL : fdopen(copy, "r");
	if (!a.f) {
		r = session_err(c->s, -errno, "%s/" CASE_MARKER, c->path);
		if (copy >= 0)
			close(copy);
		return r;
	}
	r = same_image(&a, image);
	if (!r)
		r = look(&a);
	if (!r) {
		rewind(a.f);
		while ((made = next(&a, "made ")))
			remove_made(&a, made);
		r = remove_folders(&a, c->fd, 0);
	}
	while (a.n_top)
		free(a.top[--a.n_top]);
	if (a.fd >= 0)
		close(a.fd);
	free(a.dir);
	free(a.line);
	fclose(a.f);
	return r;
}
