/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that an image names. The name is hostile: whatever it says, only a file that really lies
 * in (or below) a folder of the image or of --chain is opened, only if it is a regular file, and
 * nothing else is so much as opened. Names are resolved as text ("..", both slashes), then the
 * kernel resolves the rest below the folder's descriptor and refuses to leave it.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vdiskck/core/session.h"
#include "vdiskck/core/source_internal.h"

enum {
	NAME_LEN = PATH_MAX,
	FILES_MAX = 4096, /* of source_each_beside() */
};

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
	char *real = realpath(path, NULL), *dir[2] = {folder_of(path), NULL};
	int r = -ENOMEM;

	if (!p || !dir[0])
		goto out;
	atomic_init(&p->refs, 1);
	r = place_add(p, dir[0]);
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

/* Open an absolute path without ".." from the place that holds it. */
static int places_open(const struct opener *o, const char *path, int *fd, struct stat *st)
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

/* A file or device that --chain names itself. */
static int places_open_named(const struct opener *o, const char *path, int *fd, struct stat *st)
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

/* The folder at @path, which is a place or lies below one, for reading. */
static int folder_open(const struct places *p, const char *path)
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

static int names_read(const struct places *p, const char *path, struct names *names)
{
	struct dirent *e;
	int fd = folder_open(p, path), r = 0;
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
