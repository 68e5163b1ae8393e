/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/core/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vdiskck/core/session.h"

struct source {
	int fd;
	struct stat st;
};

static int source_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	struct source *f = l->priv;
	char *p = buf;

	while (len) {
		ssize_t n = pread(f->fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			memset(p, 0, len);
			return ranges_add(bad, off, len, GRADE_LOST, SOURCE_UNREADABLE);
		}
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int source_map(struct layer *l, uint64_t off, struct extent *run)
{
	run->kind = EXTENT_DATA;
	run->in = l;
	run->at = off;
	run->len = l->size - off;
	return 0;
}

static void source_close(struct layer *l)
{
	struct source *f = l->priv;

	if (f) {
		close(f->fd);
		free(f);
	}
}

const struct layer_ops source_ops = {
	.name = "file",
	.kind = LAYER_SOURCE,
	.read = source_read,
	.map = source_map,
	.close = source_close,
};

int source_open(struct session *s, const char *path, struct layer **l)
{
	const char *base = strrchr(path, '/');
	struct source *f;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOATIME);

	*l = NULL;
	if (fd < 0)
		return session_err(s, -errno, "%s", path);
	f = calloc(1, sizeof(*f));
	*l = layer_new(s, &source_ops, NULL, base ? base + 1 : path);
	if (!f || !*l || fstat(fd, &f->st))
		return -ENOMEM;
	f->fd = fd;
	(*l)->priv = f;
	(*l)->size = (uint64_t)f->st.st_size;
	return 0;
}

int source_open_beside(struct layer *by, const char *name, struct layer **l)
{
	return source_open(by->s, name, l);
}

int source_each_beside(struct layer *by, int (*fn)(void *arg, struct layer *source), void *arg)
{
	(void)by, (void)fn, (void)arg;
	return 0;
}

bool source_same(const struct layer *a, const struct layer *b)
{
	const struct source *x = a->priv, *y = b->priv;

	return a->ops == &source_ops && b->ops == &source_ops && x->st.st_dev == y->st.st_dev &&
	       x->st.st_ino == y->st.st_ino;
}

bool source_mtime(const struct layer *l, int64_t *sec)
{
	const struct source *f = l->priv;

	if (l->ops != &source_ops)
		return false;
	*sec = f->st.st_mtim.tv_sec;
	return true;
}

void source_changed(struct layer *l)
{
	(void)l;
}
