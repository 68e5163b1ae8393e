/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vdiskck/lock.h"

char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
}

int folder_sync(const char *path)
{
	char *dir = folder_of(path);
	int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int r = fd < 0 || fsync(fd) ? -errno : 0;

	if (fd >= 0)
		close(fd);
	free(dir);
	return r == -EINVAL ? 0 : r; /* some file systems can't */
}

static int write_all(int fd, const uint8_t *p, size_t len)
{
	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		p += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

int file_replace(const char *path, const void *bytes, size_t len, mode_t mode, int *lock)
{
	char *beside;
	int fd, r;

	if (asprintf(&beside, "%s.new", path) < 0)
		return -ENOMEM;
	fd = lock_take(beside, O_RDWR | O_CREAT | O_NOFOLLOW, false);
	r = fd < 0 ? fd : ftruncate(fd, 0) || fchmod(fd, mode) ? -errno : 0;
	if (!r)
		r = write_all(fd, bytes, len);
	if (!r && (fsync(fd) || rename(beside, path)))
		r = -errno;
	if (!r)
		r = folder_sync(path);
	else if (fd >= 0)
		unlink(beside);
	if (lock && !r) {
		if (*lock >= 0)
			close(*lock);
		*lock = fd;
	} else if (fd >= 0) {
		close(fd);
	}
	free(beside);
	return r;
}
