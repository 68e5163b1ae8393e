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

static int hash_file(struct manifest *m, int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	uint8_t sum[HASH];
	ssize_t n = 1;

	if (fd < 0)
		return -errno;
	while (n > 0) {
		n = read(fd, m->buf, BUFFER);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			prim_digest_add(m->digest, m->buf, (size_t)n);
	}
	close(fd);
	prim_digest_end(m->digest, sum);
	if (n < 0)
		return -errno;
	put_line(m->f, sum, m->path);
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
	       !(e->d_name[0] == '.' && n > 5 && !strcmp(e->d_name + n - 5, ".part"));
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
			} else if (S_ISDIR(st.st_mode) && depth < DEPTH) {
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

int case_manifest(struct case_dir *c)
{
	struct manifest m = {.c = c};
	struct case_file *f = case_file(c, "MANIFEST.sha256");
	int r = -ENOMEM;

	if (!f)
		return -EIO;
	fflush(c->log);
	m.f = case_stream(f);
	m.digest = prim_digest_open(PRIM_SHA256);
	m.buf = malloc(BUFFER);
	if (m.digest && m.buf)
		r = hash_folder(&m, c->fd, 0, 0);
	prim_digest_close(m.digest);
	free(m.buf);
	if (!r)
		return case_commit(f);
	case_drop(f);
	return session_err(c->s, r, "%s/MANIFEST.sha256: %s", c->path, m.path);
}
