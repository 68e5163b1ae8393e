/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/out_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "vdiskck/core/session.h"
#include "vdiskck/core/sum.h"

enum {
	HOLE = 64 << 10, /* zeros are looked for in pieces of this size, at its multiples */
	ZEROS = 1 << 20,
};

static const uint8_t zeros[ZEROS];

static bool same_file(const struct stat *a, const struct stat *b)
{
	if (S_ISBLK(a->st_mode) && S_ISBLK(b->st_mode))
		return a->st_rdev == b->st_rdev;
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/*
 * Is @st a file that this process has open, other than as @fd? All evidence is open by the time
 * an output is: the image, its parts and parents, data files that nothing else knows of.
 * 1, 0, or -errno when it can't be told.
 */
static int is_open(const struct stat *st, int fd)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	int found = 0;

	if (!d)
		return -errno;
	while (!found && (e = readdir(d))) {
		struct stat other;
		int n = atoi(e->d_name);

		if (e->d_name[0] == '.' || n == fd || n == dirfd(d) || n <= STDERR_FILENO)
			continue;
		found = !fstat(n, &other) && same_file(st, &other);
	}
	closedir(d);
	return found;
}

/* Standard output: its offset may be anywhere, so holes are left only in a pipe's own way. */
static int use_stdout(struct out_file *o, struct stat *st)
{
	o->fd = dup(STDOUT_FILENO);
	o->name = "standard output";
	return o->fd < 0 || fstat(o->fd, st) ? -errno : 0;
}

static int use_path(struct out_file *o, const char *path, bool force, struct stat *st)
{
	int flags = O_WRONLY | O_CLOEXEC | O_NOCTTY, open_already;
	bool there = !stat(path, st);

	if (!there && errno != ENOENT)
		return session_err(o->s, -errno, "%s", path);
	if (there && !force && (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode)))
		return session_err(o->s, -EEXIST, "%s (--force overwrites it)", path);
	/* Without --force it is a new file or none: a link laid meanwhile is not followed. */
	if (!there || S_ISREG(st->st_mode))
		flags |= O_CREAT | (force ? 0 : O_EXCL);
	o->fd = open(path, flags, 0666);
	if (o->fd < 0 || fstat(o->fd, st))
		return session_err(o->s, -errno, "%s", path);
	open_already = S_ISREG(st->st_mode) || S_ISBLK(st->st_mode) ? is_open(st, o->fd) : 0;
	if (open_already)
		return session_err(o->s, open_already < 0 ? open_already : -EPERM,
				   "%s is evidence of this run and stays as it is", path);
	if (S_ISREG(st->st_mode) && ftruncate(o->fd, 0))
		return session_err(o->s, -errno, "%s", path);
	return 0;
}

int out_file_open(struct out_file *o, struct session *s, const char *path, bool force)
{
	struct stat st;
	int r;

	*o = (struct out_file){.s = s, .name = path, .fd = -1};
	if (!strcmp(path, "-")) {
		r = use_stdout(o, &st);
		if (r)
			return session_err(s, r, "standard output");
	} else {
		r = use_path(o, path, force, &st);
		o->sparse = !r && S_ISREG(st.st_mode);
	}
	o->nowhere = !r && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
	return r;
}

static int wait_writable(struct out_file *o)
{
	struct pollfd p = {.fd = o->fd, .events = POLLOUT};

	poll(&p, 1, 200);
	return session_stopped(o->s) ? -EINTR : 0;
}

static int put(struct out_file *o, const uint8_t *p, uint64_t len)
{
	while (len) {
		size_t n = len < (1u << 30) ? (size_t)len : 1u << 30;
		ssize_t done = o->sparse ? pwrite(o->fd, p, n, (off_t)o->at) : write(o->fd, p, n);
		int r = 0;

		if (done < 0 && errno == EINTR)
			r = session_stopped(o->s) ? -EINTR : 0;
		else if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			r = wait_writable(o);
		else if (done < 0)
			r = -errno;
		if (done > 0) {
			p += done;
			len -= (uint64_t)done;
			o->at += (uint64_t)done;
			r = len && session_stopped(o->s) ? -EINTR : 0;
		}
		if (r)
			return r;
	}
	return 0;
}

int out_file_write(struct out_file *o, const uint8_t *p, uint64_t len)
{
	int r = 0;

	if (o->nowhere) {
		o->at += len;
		return 0;
	}
	if (!o->sparse)
		return put(o, p, len);
	while (!r && len) {
		/* As much as can be written at once: up to the next piece that is all zeros. */
		uint64_t n = 0, first = 0;
		bool hole = false;

		while (n < len && !hole) {
			uint64_t piece = HOLE - (o->at + n) % HOLE;

			if (piece > len - n)
				piece = len - n;
			hole = all_zero(p + n, (size_t)piece);
			if (hole)
				first = piece;
			else
				n += piece;
		}
		r = put(o, p, n);
		o->at += r ? 0 : first;
		p += n + first;
		len -= n + first;
	}
	return r;
}

int out_file_zeros(struct out_file *o, uint64_t len)
{
	int r = 0;

	if (o->nowhere || o->sparse) {
		o->at += len;
		return 0;
	}
	while (!r && len) {
		uint64_t n = len < ZEROS ? len : ZEROS;

		r = session_stopped(o->s) ? -EINTR : put(o, zeros, n);
		len -= n;
	}
	return r;
}

int out_file_close(struct out_file *o)
{
	int r = 0;

	if (o->fd < 0)
		return 0;
	if (o->sparse && ftruncate(o->fd, (off_t)o->at))
		r = -errno;
	if (close(o->fd) && !r)
		r = -errno;
	o->fd = -1;
	return r;
}
