/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine that stops, or a disk that is full, at a point that can be chosen, for a test: stands in
 * front of what writes, as LD_PRELOAD=build/fault_shim.so before the program. The environment says:
 *
 *	FAULT_AT=N	what happens instead of the Nth call (from 1) of pwrite, write, fsync,
 *			fdatasync, rename, ftruncate, mkdir or unlink; standard output does not count
 *	FAULT_ERRNO=N	it and all that follow fail with that; else the process is killed
 *	FAULT_COUNT=1	say on standard error at the end how many calls there were
 *	FAULT_HURRY=1	each look at the monotonic clock finds a second gone, so that what is
 *			done once in a while is done every time
 *	FAULT_TIME=N	what time() says, seconds since 1970
 *
 * Nothing here depends on how fast anything is: the Nth call is the same one in every run, if the
 * program is run with --jobs 1.
 */
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static unsigned long calls;

static void *next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

static int refused(void)
{
	const char *at = getenv("FAULT_AT"), *code = getenv("FAULT_ERRNO");
	unsigned long n = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);

	if (!at || n < strtoul(at, NULL, 10))
		return 0;
	if (!code)
		kill(getpid(), SIGKILL);
	errno = code ? atoi(code) : EIO;
	return -1;
}

static void __attribute__((destructor)) tell(void)
{
	if (getenv("FAULT_COUNT"))
		dprintf(2, "calls: %lu\n", calls);
}

ssize_t write(int fd, const void *buf, size_t len)
{
	ssize_t (*real)(int, const void *, size_t);

	*(void **)&real = next("write");
	return fd > 2 && refused() ? -1 : real(fd, buf, len);
}

ssize_t pwrite64(int fd, const void *buf, size_t len, off64_t off)
{
	ssize_t (*real)(int, const void *, size_t, off64_t);

	*(void **)&real = next("pwrite64");
	return refused() ? -1 : real(fd, buf, len, off);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t off)
{
	return pwrite64(fd, buf, len, off);
}

int fsync(int fd)
{
	int (*real)(int);

	*(void **)&real = next("fsync");
	return refused() ? -1 : real(fd);
}

int fdatasync(int fd)
{
	int (*real)(int);

	*(void **)&real = next("fdatasync");
	return refused() ? -1 : real(fd);
}

int rename(const char *from, const char *to)
{
	int (*real)(const char *, const char *);

	*(void **)&real = next("rename");
	return refused() ? -1 : real(from, to);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	int (*real)(int, const char *, int, const char *);

	*(void **)&real = next("renameat");
	return refused() ? -1 : real(from_dir, from, to_dir, to);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
	int (*real)(int, const char *, mode_t);

	*(void **)&real = next("mkdirat");
	return refused() ? -1 : real(dir, path, mode);
}

int mkdir(const char *path, mode_t mode)
{
	int (*real)(const char *, mode_t);

	*(void **)&real = next("mkdir");
	return refused() ? -1 : real(path, mode);
}

int ftruncate64(int fd, off64_t len)
{
	int (*real)(int, off64_t);

	*(void **)&real = next("ftruncate64");
	return refused() ? -1 : real(fd, len);
}

int ftruncate(int fd, off_t len)
{
	return ftruncate64(fd, len);
}

/* Clearing up is not what a full disk hinders. */
int unlink(const char *path)
{
	int (*real)(const char *);

	*(void **)&real = next("unlink");
	return !getenv("FAULT_ERRNO") && refused() ? -1 : real(path);
}

int unlinkat(int dir, const char *path, int flags)
{
	int (*real)(int, const char *, int);

	*(void **)&real = next("unlinkat");
	return !getenv("FAULT_ERRNO") && refused() ? -1 : real(dir, path, flags);
}

int clock_gettime(clockid_t id, struct timespec *t)
{
	static unsigned long gone;
	int (*real)(clockid_t, struct timespec *), r;

	*(void **)&real = next("clock_gettime");
	r = real(id, t);
	if (!r && id == CLOCK_MONOTONIC && getenv("FAULT_HURRY"))
		t->tv_sec += (time_t)__atomic_add_fetch(&gone, 1, __ATOMIC_RELAXED);
	return r;
}

time_t time(time_t *t)
{
	const char *now = getenv("FAULT_TIME");
	struct timespec ts;
	time_t sec;

	clock_gettime(CLOCK_REALTIME, &ts);
	sec = now ? (time_t)strtoll(now, NULL, 10) : ts.tv_sec;
	if (t)
		*t = sec;
	return sec;
}
