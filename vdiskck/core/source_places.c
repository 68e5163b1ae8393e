/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where files that an image names may lie: its own folders, and what --chain names. Whatever a name
 * says, only a file that really lies in (or below) one of them is opened, only if it is a regular
 * file, and nothing else is so much as opened: the kernel resolves it below the folder's descriptor
 * and refuses to leave it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vdiskck/core/session.h"
#include "vdiskck/core/source_internal.h"

static int place_add(struct places *p, const char *path)
{
	struct place *v = realloc(p->v, (p->n + 1) * sizeof(*v)), *new;
	char cwd[PATH_MAX], given[2 * PATH_MAX];
	struct stat st;

	if (!v)
		return -ENOMEM;
	p->v = v;
	new = &v[p->n];
	*new = (struct place){.fd = -1};
	if (stat(path, &st))
		return -errno;
	if (S_ISDIR(st.st_mode)) {
		new->fd = source_open_readonly(AT_FDCWD, path, O_DIRECTORY);
		if (new->fd == -EACCES) /* may be passed through, but not listed */
			new->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (new->fd < 0)
			return -errno;
	} else if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
		return -EINVAL;
	}
	if (path[0] == '/' || !getcwd(cwd, sizeof(cwd)))
		snprintf(given, sizeof(given), "%s", path);
	else
		snprintf(given, sizeof(given), "%s/%s", cwd, path);
	for (size_t n = strlen(given); n > 1 && given[n - 1] == '/'; n--)
		given[n - 1] = '\0';
	new->path = realpath(path, NULL);
	new->given = strdup(given);
	new->dev = st.st_dev;
	new->ino = st.st_ino;
	p->n++; /* from here on places_free() knows it */
	return new->path &&new->given ? 0 : -ENOMEM;
}

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

int places_new(struct session *s, const char *path, struct places **out)
{
	struct places *p = calloc(1, sizeof(*p));
	char *real = path ? realpath(path, NULL) : NULL;
	char *dir[2] = {path ? folder_of(path) : NULL, NULL};
	int r = -ENOMEM;

	if (!p || (path && !dir[0]))
		goto out;
	atomic_init(&p->refs, 1);
	r = path ? place_add(p, dir[0]) : 0;
	if (r) {
		session_err(s, r, "%s", dir[0]);
		goto out;
	}
	/* A link to an image: its parents lie where the image lies, as a rule. */
	if (real) {
		dir[1] = folder_of(real);
		r = dir[1] && strcmp(dir[1], p->v[0].path) ? place_add(p, dir[1]) : 0;
	}
	for (size_t i = 0; !r && s->opt.chain && s->opt.chain[i]; i++) {
		r = place_add(p, s->opt.chain[i]);
		if (r)
			session_err(s, r, "--chain %s", s->opt.chain[i]);
	}
out:
	free(real);
	free(dir[0]);
	free(dir[1]);
	if (r) {
		places_free(p);
		p = NULL;
	}
	*out = p;
	return r;
}

const char *source_folder(const struct layer *l, size_t i)
{
	const struct source *f = l && l->ops == &source_ops ? l->priv : NULL;

	return f && f->places && i < f->places->n ? f->places->v[i].path : NULL;
}

struct places *places_ref(struct places *p)
{
	if (p)
		atomic_fetch_add(&p->refs, 1);
	return p;
}

void places_free(struct places *p)
{
	if (!p || atomic_fetch_sub(&p->refs, 1) > 1)
		return;
	for (size_t i = 0; i < p->n; i++) {
		if (p->v[i].fd >= 0)
			close(p->v[i].fd);
		free(p->v[i].path);
		free(p->v[i].given);
	}
	free(p->v);
	free(p);
}

/* What is left of @path below the folder @dir, or NULL if it does not lie there. */
static const char *below(const char *dir, const char *path)
{
	size_t n = strlen(dir);

	if (!strcmp(dir, "/"))
		n = 0;
	return !strncmp(dir, path, n) && path[n] == '/' && path[n + 1] ? path + n + 1 : NULL;
}

/* openat2() for kernels before 5.6, or where a container's filter hides it. */
static int open_below_by_path(const struct place *in, const char *rest, int flags)
{
	char path[2 * PATH_MAX], *real, *again = NULL;
	int fd = -ENOENT;

	snprintf(path, sizeof(path), "%s/%s", in->path, rest);
	real = realpath(path, NULL);
	if (!real)
		return -errno;
	if (!below(in->path, real) && strcmp(in->path, real)) {
		fd = -EXDEV;
	} else if (!strncmp(real, "/proc/", 6)) {
		fd = -ELOOP;
	} else {
		fd = open(real, flags | O_NOFOLLOW);
		if (fd < 0)
			fd = -errno;
		/* Somebody may have moved a link into the way meanwhile. */
		again = realpath(path, NULL);
		if (fd >= 0 && (!again || strcmp(again, real))) {
			close(fd);
			fd = -EACCES;
		}
	}
	free(real);
	free(again);
	return fd;
}

static int open_below(const struct place *in, const char *rest, int flags)
{
	struct open_how how = {.flags = (uint64_t)(unsigned)flags,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	long fd = -1;

	/* EAGAIN: something was renamed on the way, and ".." in a link can't be trusted. */
	for (int tries = 0; tries < 8; tries++) {
		fd = syscall(SYS_openat2, in->fd, rest, &how, sizeof(how));
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	if (fd >= 0)
		return (int)fd;
	if (errno == ENOSYS)
		return open_below_by_path(in, rest, flags);
	return -errno;
}

/*
 * Open the file @rest below @in if it is a regular one. It is looked at through O_PATH first:
 * opening a FIFO or a device, even without reading it, does something.
 */
static int open_file_below(const struct place *in, const char *rest, int *out, struct stat *st)
{
	const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	int fd = open_below(in, rest, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return fd;
	if (fstat(fd, st) || !S_ISREG(st->st_mode)) {
		close(fd);
		return -EACCES;
	}
	close(fd);
	fd = open_below(in, rest, flags | O_NOATIME);
	if (fd == -EPERM)
		fd = open_below(in, rest, flags);
	if (fd < 0)
		return fd;
	if (fstat(fd, st) || !S_ISREG(st->st_mode)) {
		close(fd);
		return -EACCES;
	}
	*out = fd;
	return 0;
}

/* The errors that path resolution gives, as the three that source_open_beside() promises. */
static int refused_or_missing(int r)
{
	switch (-r) {
	case ENOENT:
	case ENOTDIR:
	case ENAMETOOLONG:
	case EINVAL: return -ENOENT;
	case EXDEV:
	case ELOOP:
	case EPERM:
	case EACCES:
	case ENXIO: return -EACCES;
	default: return r;
	}
}

int places_open(const struct opener *o, const char *path, int *fd, struct stat *st)
{
	const struct places *p = o->places;
	char *real;
	int r = -ENOENT;

	for (size_t i = 0; i < p->n; i++) {
		const struct place *in = &p->v[i];
		const char *rest = below(in->path, path);

		if (!rest)
			rest = below(in->given, path);
		if (in->fd < 0 || !rest)
			continue;
		r = open_file_below(in, rest, fd, st);
		if (r != -EXDEV && r != -ENOENT && r != -ENOTDIR)
			return refused_or_missing(r);
		if (r == -EXDEV)
			break;
	}
	if (r != -EXDEV) {
		/* In no place, or not there: a name that exists elsewhere is refused, not missing. */
		return fstatat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) ? -ENOENT
											  : -EACCES;
	}
	/* A link that somebody put beside the image: it may lead to another of the places. */
	real = realpath(path, NULL);
	r = -EXDEV;
	for (size_t i = 0; real && r == -EXDEV && i < p->n; i++) {
		const char *rest = below(p->v[i].path, real);

		if (p->v[i].fd >= 0 && rest)
			r = open_file_below(&p->v[i], rest, fd, st);
	}
	free(real);
	return refused_or_missing(r);
}

int places_open_named(const struct opener *o, const char *path, int *fd, struct stat *st)
{
	const char *base = strrchr(path, '/');

	base = base ? base + 1 : path;
	for (size_t i = 0; i < o->places->n; i++) {
		const struct place *in = &o->places->v[i];

		if (in->fd >= 0 || (strcmp(strrchr(in->path, '/') + 1, base) &&
				    strcmp(strrchr(in->given, '/') + 1, base)))
			continue;
		*fd = source_open_readonly(AT_FDCWD, in->path, 0);
		if (*fd < 0)
			return *fd;
		if (!fstat(*fd, st) && st->st_dev == in->dev && st->st_ino == in->ino)
			return 0;
		close(*fd);
		return -EACCES;
	}
	return -ENOENT;
}

int places_folder(const struct places *p, const char *path)
{
	int fd = -ENOENT;

	for (size_t i = 0; fd == -ENOENT && i < p->n; i++) {
		const char *rest = strcmp(p->v[i].path, path) ? below(p->v[i].path, path) : ".";

		if (p->v[i].fd < 0 || !rest)
			continue;
		fd = open_below(&p->v[i], rest, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOATIME);
		if (fd == -EPERM)
			fd = open_below(&p->v[i], rest, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	return fd;
}
