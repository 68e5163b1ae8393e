/* SPDX-License-Identifier: Apache-2.0 */
/* MANIFEST.sha256: what was in the case when it was closed, for `sha256sum -c`. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/prim.h"
#include "vdiskck/case_internal.h"

enum { BUFFER = 1 << 20, DEPTH = 256, HASH = 32 };

struct manifest {
	struct case_dir *c;
	FILE *f;
	void (*fn)(void *arg, const char *path, uint64_t size, const char *sha256);
	void *arg;
	struct prim_digest *digest;
	uint8_t *buf;
	char path[8192]; /* of what is in hand, below the case */
};

/* As sha256sum does it: a name with a backslash or a newline is escaped, and the line marked. */
static void put_line(FILE *f, const uint8_t sum[HASH], const char *path)
{
	if (strpbrk(path, "\\\n\r"))
		fputc('\\', f);
	for (int i = 0; i < HASH; i++)
		fprintf(f, "%02x", sum[i]);
	fputs("  ", f);
	for (; *path; path++) {
		if (*path == '\\' || *path == '\n' || *path == '\r')
			fprintf(f, "\\%c", *path == '\n' ? 'n' : *path == '\r' ? 'r' : '\\');
		else
			fputc(*path, f);
	}
	fputc('\n', f);
}

static void tell(struct manifest *m, const uint8_t sum[HASH], uint64_t size)
{
	char hex[2 * HASH + 1];

	for (size_t i = 0; i < HASH; i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	m->fn(m->arg, m->path, size, hex);
}

static int hash_file(struct manifest *m, int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	uint8_t sum[HASH];
	uint64_t size = 0;
	ssize_t n = 1;

	if (fd < 0)
		return -errno;
	while (n > 0) {
		n = read(fd, m->buf, BUFFER);
		if (n < 0 && errno == EINTR) {
			n = 1;
		} else if (n > 0) {
			prim_digest_add(m->digest, m->buf, (size_t)n);
			size += (uint64_t)n;
		}
	}
	close(fd);
	prim_digest_end(m->digest, sum);
	if (n < 0)
		return -errno;
	put_line(m->f, sum, m->path);
	if (m->fn)
		tell(m, sum, size);
	return ferror(m->f) ? -EIO : 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* Our own files that are being written begin with a dot and end in ".part". */
static int is_ours(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
	       strcmp(e->d_name, CASE_MARKER) &&
	       !(e->d_name[0] == '.' && n > 5 && !strcmp(e->d_name + n - 5, ".part"));
}

/* Folders of the case that were hashed when they were complete. */
static bool is_tree(const char *name, size_t len)
{
	return !len && (!strcmp(name, "logs") || !strcmp(name, "files"));
}

static int hash_folder(struct manifest *m, int fd, size_t len, unsigned depth)
{
	struct dirent **v = NULL;
	int n = scandirat(fd, ".", &v, is_ours, by_name), r = n < 0 ? -errno : 0;

	for (int i = 0; i < n; i++) {
		const char *name = v[i]->d_name;
		size_t add = strlen(name);
		struct stat st;

		if (!r && len + add + 2 > sizeof(m->path))
			r = -ENAMETOOLONG;
		if (!r && fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW))
			r = -errno;
		if (!r) {
			memcpy(m->path + len, name, add + 1);
			if (S_ISREG(st.st_mode)) {
				r = hash_file(m, fd, name);
			} else if (S_ISDIR(st.st_mode) && depth < DEPTH && !is_tree(name, len)) {
				int sub = openat(fd, name,
						 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

				strcpy(m->path + len + add, "/");
				r = sub < 0 ? -errno
					    : hash_folder(m, sub, len + add + 1, depth + 1);
				if (sub >= 0)
					close(sub);
			}
		}
		free(v[i]);
	}
	free(v);
	return r;
}

/* The files below @name, or of the case itself (""), as lines of the manifest. */
static int add(struct manifest *m, const char *name)
{
	struct case_dir *c = m->c;
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(c->fd, *name ? name : ".", flags), r = -ENOMEM;

	if (fd < 0)
		return *name && errno == ENOENT ? 0 : session_err(c->s, -errno, "%s", c->path);
	if (!c->manifest)
		c->manifest = case_file(c, "MANIFEST.sha256");
	if (!c->manifest) {
		close(fd);
		return -EIO;
	}
	m->f = case_stream(c->manifest);
	m->digest = prim_digest_open(PRIM_SHA256);
	m->buf = malloc(BUFFER);
	if (*name)
		snprintf(m->path, sizeof(m->path), "%s/", name);
	if (m->digest && m->buf)
		r = hash_folder(m, fd, strlen(m->path), *name != '\0');
	prim_digest_close(m->digest);
	free(m->buf);
	close(fd);
	return r ? session_err(c->s, r, "%s/MANIFEST.sha256: %s", c->path, m->path) : 0;
}

int case_manifest_tree(struct case_dir *c, const char *name,
		       void (*fn)(void *arg, const char *path, uint64_t size, const char *sha256),
		       void *arg)
{
	return add(&(struct manifest){.c = c, .fn = fn, .arg = arg}, name);
}

int case_manifest(struct case_dir *c)
{
	struct case_file *f;
	int r;

	fflush(c->log);
	r = add(&(struct manifest){.c = c}, "");
	f = c->manifest;
	c->manifest = NULL;
	if (!r)
		return case_commit(f);
	case_drop(f);
	return r;
}
