/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vdiskck/case_internal.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/text.h"
#include "vdiskck/out_text.h"

enum { NAME = 64 };

struct case_file {
	struct case_dir *c;
	FILE *f;
	char name[NAME], part[NAME];
	char buffer[1 << 17]; /* of @f: a timeline is a system call for each 4 KiB otherwise */
};

/* 0 when nothing lies in the folder @fd. */
static int is_empty(int fd)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;

	if (!d) {
		r = -errno;
		if (copy >= 0)
			close(copy);
		return r;
	}
	errno = 0;
	while (!r && (e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			r = -ENOTEMPTY;
	if (!r && errno)
		r = -errno;
	closedir(d);
	return r;
}

/* A file that did not exist, never through a link that somebody left there. */
static FILE *create(int dir, const char *name, int flags)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | flags,
			0666);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

	if (!f && fd >= 0)
		close(fd);
	return f;
}

/* A case that is there already: of which image, by the first record of its report. */
static bool complete_image(const struct case_dir *c, char image[256])
{
	int fd = openat(c->fd, "report.json", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char line[4096];
	ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof(line));
	const char *end = n > 0 ? memchr(line, '\n', (size_t)n) : NULL;
	struct json *j = end ? js_parse(line, (size_t)(end - line)) : NULL;
	const char *name = j ? js_text(js_get(j, "image")) : NULL;

	snprintf(image, 256, "%s", name ? name : "");
	js_free(j);
	if (fd >= 0)
		close(fd);
	return *image;
}

static int refuse(const struct case_dir *c)
{
	char image[256];

	if (complete_image(c, image))
		session_err(c->s, 0,
			    "%s: the case of %s is there, and is never overwritten; name a new "
			    "folder with -o",
			    c->path, image);
	else
		session_err(c->s, 0, "%s: the folder is not empty; name a new one with -o",
			    c->path);
	return -ENOTEMPTY;
}

/* The first thing in the case, and the last to go. It begins with what people should know. */
static int mark(struct case_dir *c, const char *image)
{
	char *id = case_image(image);
	int r = id ? 0 : -ENOMEM;

	if (!r &&
	    (ftruncate(c->marker, 0) ||
	     dprintf(c->marker,
		     "This case is not complete: vdiskck triage is still at work on it, or "
		     "was ended before its end.\nThe same command again starts over. The files "
		     "named below are its own.\nimage %s\n",
		     id) < 0))
		r = -errno;
	free(id);
	return r ? session_err(c->s, r, "%s/" CASE_MARKER, c->path) : 0;
}

static int open_marker(struct case_dir *c, const char *image)
{
	const int flags = O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC;
	int r = is_empty(c->fd);

	if (r && r != -ENOTEMPTY)
		return session_err(c->s, r, "%s", c->path);
	c->marker = openat(c->fd, CASE_MARKER, r ? flags : flags | O_CREAT | O_EXCL, 0666);
	if (c->marker < 0)
		return r && errno == ENOENT ? refuse(c)
					    : session_err(c->s, -errno, "%s/" CASE_MARKER, c->path);
	if (flock(c->marker, LOCK_EX | LOCK_NB)) {
		r = errno == EWOULDBLOCK ? -EBUSY : -errno;
		return session_err(c->s, r, "%s: another run is at work on this case", c->path);
	}
	return r ? case_again(c, image) : 0;
}

static int open_folder(struct case_dir *c, const char *image)
{
	int r;

	c->made = !mkdir(c->path, 0777);
	if (!c->made && errno != EEXIST)
		return session_err(c->s, -errno, "%s: can't make the case folder", c->path);
	c->fd = open(c->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->fd < 0)
		return session_err(c->s, -errno, "%s", c->path);
	r = open_marker(c, image);
	if (!r)
		r = mark(c, image);
	if (r)
		return r;
	case_made(c, "run.log");
	c->log = create(c->fd, "run.log", O_APPEND);
	if (!c->log)
		return session_err(c->s, -errno, "%s/run.log", c->path);
	setvbuf(c->log, NULL, _IOLBF, 0);
	return 0;
}

int case_create(struct session *s, const char *path, const char *image, struct case_dir **to)
{
	struct case_dir *c = calloc(1, sizeof(*c));
	int r = -ENOMEM;

	*to = NULL;
	if (!c)
		return session_err(s, r, "%s", path);
	c->s = s;
	c->fd = c->marker = -1;
	c->path = strdup(path);
	r = c->path ? open_folder(c, image) : session_err(s, -ENOMEM, "%s", path);
	if (r)
		case_close(c);
	else
		*to = c;
	return r;
}

int case_done(struct case_dir *c)
{
	/* What the manifest lists must be there before the word that it may not be goes. */
	if (fsync(c->fd) && errno != EINVAL && errno != EROFS)
		return session_err(c->s, -errno, "%s", c->path);
	if (unlinkat(c->fd, CASE_MARKER, 0))
		return session_err(c->s, -errno, "%s/" CASE_MARKER, c->path);
	return 0;
}

char *case_path(const struct case_dir *c, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", c->path, name) < 0 ? NULL : path;
}

void case_made(struct case_dir *c, const char *path)
{
	dprintf(c->marker, "made %s\n", path);
}

void case_tree_made(void *tree, const char *path)
{
	const struct case_tree *t = tree;

	dprintf(t->c->marker, "made %s/%s\n", t->name, path);
}

void case_close(struct case_dir *c)
{
	if (!c)
		return;
	case_drop(c->manifest);
	if (c->log)
		fclose(c->log);
	if (c->marker >= 0)
		close(c->marker);
	if (c->fd >= 0)
		close(c->fd);
	free(c->path);
	free(c);
}

void case_abandon(struct case_dir *c)
{
	unlinkat(c->fd, "run.log", 0);
	unlinkat(c->fd, CASE_MARKER, 0);
	if (c->made)
		rmdir(c->path);
	case_close(c);
}

struct case_file *case_file(struct case_dir *c, const char *name)
{
	struct case_file *f = calloc(1, sizeof(*f));

	if (!f) {
		session_err(c->s, -ENOMEM, "%s/%s", c->path, name);
		return NULL;
	}
	f->c = c;
	snprintf(f->name, sizeof(f->name), "%s", name);
	snprintf(f->part, sizeof(f->part), ".%.50s.part", name);
	case_made(c, f->part);
	case_made(c, f->name);
	f->f = create(c->fd, f->part, 0);
	if (f->f)
		setvbuf(f->f, f->buffer, _IOFBF, sizeof(f->buffer));
	if (!f->f) {
		session_err(c->s, -errno, "%s/%s", c->path, name);
		free(f);
		return NULL;
	}
	return f;
}

FILE *case_stream(struct case_file *f)
{
	return f->f;
}

int case_commit(struct case_file *f)
{
	struct case_dir *c = f->c;
	int r = 0;

	/* A write that failed earlier may have left no errno: the usual reason is a full disk. */
	errno = 0;
	if (fflush(f->f) || ferror(f->f))
		r = errno ? -errno : -ENOSPC;
	else if (fsync(fileno(f->f)) && errno != EINVAL && errno != EROFS)
		r = -errno;
	if (fclose(f->f) && !r)
		r = -errno;
	f->f = NULL;
	if (!r && renameat(c->fd, f->part, c->fd, f->name))
		r = -errno;
	if (r)
		session_err(c->s, r, "%s/%s could not be written", c->path, f->name);
	if (r)
		unlinkat(c->fd, f->part, 0);
	free(f);
	return r;
}

void case_drop(struct case_file *f)
{
	if (!f)
		return;
	fclose(f->f);
	unlinkat(f->c->fd, f->part, 0);
	free(f);
}

void case_log(struct case_dir *c, const char *fmt, ...)
{
	char when[TIME_TEXT], *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	fprintf(c->log, "%s ", time_text((int64_t)time(NULL), 0, when));
	/* Names from disk and from the command line: nobody else writes a line here. */
	text_put(c->log, text ? text : "no memory");
	fputc('\n', c->log);
	free(text);
}
