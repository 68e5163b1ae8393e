/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static bool has_name(int fd, const char *path)
{
	struct stat mine, there;

	return !fstat(fd, &mine) && !stat(path, &there) && mine.st_dev == there.st_dev &&
	       mine.st_ino == there.st_ino;
}

int lock_take(const char *path, int flags, bool shared)
{
	for (;;) {
		int fd = open(path, flags | O_CLOEXEC, 0600), r;

		if (fd < 0)
			return -errno;
		if (flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB)) {
			r = -errno;
			close(fd);
			return r;
		}
		if (has_name(fd, path))
			return fd;
		close(fd);
	}
}

int lock_wait(struct session *s, const char *path)
{
	bool said = false;

	for (;;) {
		int fd = lock_take(path, O_RDWR | O_CREAT | O_NOFOLLOW, false);

		if (fd != -EWOULDBLOCK)
			return fd;
		if (session_stopped(s))
			return -EINTR;
		if (!said && s->on_error)
			session_err(s, 0, "%s: another job has the lock: waiting for it", path);
		said = true;
		nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
	}
}
