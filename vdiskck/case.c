/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vdiskck/case_internal.h"
#include "vdiskck/core/text.h"
#include "vdiskck/out_text.h"

enum { NAME = 64 };

struct case_file {
	struct case_dir *c;
	FILE *f;
	char name[NAME], part[NAME];
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

static int open_folder(struct case_dir *c)
{
	int r;

	c->made = !mkdir(c->path, 0777);
	if (!c->made && errno != EEXIST)
		return session_err(c->s, -errno, "%s: can't make the case folder", c->path);
	c->fd = open(c->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->fd < 0)
		return session_err(c->s, -errno, "%s", c->path);
	r = is_empty(c->fd);
	if (r == -ENOTEMPTY)
		session_err(c->s, 0, "%s: the folder is not empty; name a new one with -o",
			    c->path);
	else if (r)
		session_err(c->s, r, "%s", c->path);
	if (r)
		return r;
	c->log = create(c->fd, "run.log", O_APPEND);
	if (!c->log)
		return session_err(c->s, -errno, "%s/run.log", c->path);
	setvbuf(c->log, NULL, _IOLBF, 0);
	return 0;
}

int case_create(struct session *s, const char *path, struct case_dir **to)
{
	struct case_dir *c = calloc(1, sizeof(*c));
	int r = -ENOMEM;

	*to = NULL;
	if (!c)
		return session_err(s, r, "%s", path);
	c->s = s;
	c->fd = -1;
	c->path = strdup(path);
	r = c->path ? open_folder(c) : session_err(s, -ENOMEM, "%s", path);
	if (r)
		case_close(c);
	else
		*to = c;
	return r;
}

void case_close(struct case_dir *c)
{
	if (!c)
		return;
	if (c->log)
		fclose(c->log);
	if (c->fd >= 0)
		close(c->fd);
	free(c->path);
	free(c);
}

void case_abandon(struct case_dir *c)
{
	unlinkat(c->fd, "run.log", 0);
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
	f->f = create(c->fd, f->part, 0);
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
