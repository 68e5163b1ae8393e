/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk with bad sectors, for a test: stands in front of pread() and its kin, either linked into
 * a test program or as LD_PRELOAD=build/eio_shim.so before the program. The environment says:
 *
 *	EIO_PATH=FILE			the file that fails
 *	EIO_RANGES=OFF+LEN[*N],...	where; with *N only the first N reads that touch it
 *	EIO_ERRNO=N			how (5, EIO)
 *	EIO_SHORT=1			a read that begins before a bad range ends there, as through
 *					the page cache; else all of it fails, as from a device
 *	EIO_NO_OPENAT2=1		the kernel knows no openat2()
 */
#undef _FILE_OFFSET_BITS /* with it the headers would give pread() the name of pread64() */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { RANGES = 64 };

unsigned long eio_calls; /* reads of EIO_PATH, failed or not: for tests that count the cost */

static struct {
	char text[4096];
	size_t n;
	struct {
		uint64_t off, len;
		long times; /* -1: for ever */
	} v[RANGES];
} bad;

static void parse(const char *text)
{
	if (!strncmp(text, bad.text, sizeof(bad.text)))
		return;
	memset(&bad, 0, sizeof(bad));
	strncpy(bad.text, text, sizeof(bad.text) - 1);
	for (const char *p = bad.text; *p && bad.n < RANGES; bad.n++) {
		char *end;

		bad.v[bad.n].off = strtoull(p, &end, 0);
		bad.v[bad.n].len = *end == '+' ? strtoull(end + 1, &end, 0) : 1;
		bad.v[bad.n].times = *end == '*' ? strtol(end + 1, &end, 0) : -1;
		p = *end ? end + 1 : end;
	}
}

/* How much of a read may go through: @len, less, or -1 with errno set. */
static ssize_t allowed(int fd, uint64_t off, size_t len)
{
	const char *path = getenv("EIO_PATH"), *ranges = getenv("EIO_RANGES");
	const char *code = getenv("EIO_ERRNO");
	struct stat a, b;

	if (!path || !ranges || fstat(fd, &a) || stat(path, &b) || a.st_dev != b.st_dev ||
	    a.st_ino != b.st_ino)
		return (ssize_t)len;
	__atomic_fetch_add(&eio_calls, 1, __ATOMIC_RELAXED);
	parse(ranges);
	for (size_t i = 0; i < bad.n; i++) {
		if (!bad.v[i].times || off >= bad.v[i].off + bad.v[i].len ||
		    bad.v[i].off >= off + len)
			continue;
		if (getenv("EIO_SHORT") && off < bad.v[i].off) {
			len = bad.v[i].off - off;
			continue;
		}
		if (bad.v[i].times > 0)
			bad.v[i].times--;
		errno = code ? atoi(code) : EIO;
		return -1;
	}
	return (ssize_t)len;
}

static void *next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

ssize_t pread(int fd, void *buf, size_t len, off_t off)
{
	ssize_t n = allowed(fd, (uint64_t)off, len);
	ssize_t (*real)(int, void *, size_t, off_t);

	*(void **)&real = next("pread64");
	return n < 0 ? n : real(fd, buf, (size_t)n, off);
}

ssize_t splice(int in, off64_t *in_off, int out, off64_t *out_off, size_t len, unsigned flags)
{
	ssize_t n = in_off ? allowed(in, (uint64_t)*in_off, len) : (ssize_t)len;
	ssize_t (*real)(int, off64_t *, int, off64_t *, size_t, unsigned);

	*(void **)&real = next("splice");
	return n < 0 ? n : real(in, in_off, out, out_off, (size_t)n, flags);
}

ssize_t pread64(int fd, void *buf, size_t len, off_t off)
{
	return pread(fd, buf, len, off);
}

/* One buffer at a time: a short count is a legal answer. */
ssize_t preadv(int fd, const struct iovec *v, int count, off_t off)
{
	return count > 0 ? pread(fd, v[0].iov_base, v[0].iov_len, off) : 0;
}

ssize_t preadv64(int fd, const struct iovec *v, int count, off_t off)
{
	return preadv(fd, v, count, off);
}

long syscall(long number, ...)
{
	long (*real)(long, long, long, long, long, long, long);
	long a[6];
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_openat2 && getenv("EIO_NO_OPENAT2")) {
		errno = ENOSYS;
		return -1;
	}
	*(void **)&real = next("syscall");
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
