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
	PAGE = 4096,
	PASS = 1 << 20, /* what a pipe may hold without privileges */
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

/* Bytes go from a file to /dev/null through a pipe. A large one may be refused: more calls, then. */
static int drain_make(struct out_file *o)
{
	if (pipe2(o->drain, O_CLOEXEC))
		return -errno;
	fcntl(o->drain[1], F_SETPIPE_SZ, PASS);
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
	o->passes = !r && (S_ISFIFO(st.st_mode) || (o->nowhere && !drain_make(o)));
	if (o->passes && !o->nowhere)
		fcntl(o->fd, F_SETPIPE_SZ, PASS);
	return r;
}

int out_file_lane(const struct out_file *o, struct out_file *lane)
{
	*lane = *o;
	lane->at = 0;
	lane->passes = false;
	lane->fd = fcntl(o->fd, F_DUPFD_CLOEXEC, 0);
	if (lane->fd < 0)
		return -errno;
	lane->passes = !drain_make(lane);
	return 0;
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

/* Empty the pipe between: @n bytes. */
static int drain(struct out_file *o, size_t n)
{
	while (n) {
		ssize_t done = splice(o->drain[0], NULL, o->fd, NULL, n, 0);

		if (done <= 0 && errno != EINTR)
			return done ? -errno : -EIO;
		n -= done > 0 ? (size_t)done : 0;
	}
	return 0;
}

int out_file_pass(struct out_file *o, int fd, uint64_t at, uint64_t len, uint64_t *passed)
{
	int to = o->nowhere ? o->drain[1] : o->fd, r = 0;
	off64_t from = (off64_t)at;

	*passed = 0;
	while (!r && *passed < len) {
		/* Up to the end of a page: the pipe holds that many pages, not bytes. */
		size_t most = PASS - (size_t)(from % PAGE);
		size_t want = len - *passed < most ? (size_t)(len - *passed) : most;
		ssize_t n = splice(fd, &from, to, NULL, want, 0);

		if (session_stopped(o->s))
			r = -EINTR;
		if (n > 0) {
			*passed += (uint64_t)n;
			o->at += (uint64_t)n;
			if (o->nowhere && !r)
				r = drain(o, (size_t)n);
		} else if (n < 0 && errno == EAGAIN) {
			r = wait_writable(o);
		} else if (n < 0 && errno == EPIPE) {
			r = -EPIPE;
		} else if (!n || errno != EINTR) {
			break;
		}
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
	if (o->nowhere && o->passes) {
		close(o->drain[0]);
		close(o->drain[1]);
	}
	return r;
}
