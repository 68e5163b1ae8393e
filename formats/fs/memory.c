/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/fs/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int memory_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	const struct fs_memory *m = l->priv;
	uint64_t end = off + len;
	int r = 0;

	memcpy(buf, m->buf + off, len);
	for (size_t i = ranges_find(&m->bad, off); i < m->bad.n && !r; i++) {
		const struct range *b = &m->bad.v[i];
		uint64_t lo = b->off > off ? b->off : off;
		uint64_t hi = b->off + b->len < end ? b->off + b->len : end;

		if (b->off >= end)
			break;
		r = ranges_add(bad, lo, hi - lo, b->grade, b->why);
	}
	return r;
}

static int map_run(struct layer *l, uint64_t off, struct extent *run)
{
	const struct fs_memory *m = l->priv;
	uint64_t end = l->size;

	for (size_t i = 0; i < m->runs; i++) {
		const struct fs_memory_run *r = &m->run[i];

		if (off >= r->off && off - r->off < r->len) {
			*run = (struct extent){.off = off,
					       .len = r->len - (off - r->off),
					       .kind = EXTENT_DATA,
					       .in = l->below,
					       .at = r->at + (off - r->off)};
			return 0;
		}
		if (r->off > off && r->off < end)
			end = r->off;
	}
	*run = (struct extent){.off = off, .len = end - off, .kind = EXTENT_LOST, .why = m->why};
	return 0;
}

static int memory_map(struct layer *l, uint64_t off, struct extent *run)
{
	const struct fs_memory *m = l->priv;

	if (m->run)
		return map_run(l, off, run);
	*run = (struct extent){.len = l->size, .kind = EXTENT_ZERO};
	if (m->at_len) {
		run->kind = EXTENT_DATA;
		run->in = l->below;
		run->at = m->at;
		run->packed = m->at_len;
	}
	return 0;
}

static void memory_close(struct layer *l)
{
	struct fs_memory *m = l->priv;

	free(m->buf);
	free(m->run);
	ranges_free(&m->bad);
	free(m);
}

static const struct layer_ops memory_ops = {
	.name = "file",
	.kind = LAYER_FILE,
	.read = memory_read,
	.map = memory_map,
	.close = memory_close,
};

int fs_memory_new(struct layer *fs, const char *path, struct fs_memory *m, struct layer **file)
{
	struct fs_memory *own = malloc(sizeof(*own));

	*file = own ? layer_file_new(&memory_ops, fs, path) : NULL;
	if (!*file) {
		free(own);
		free(m->buf);
		free(m->run);
		ranges_free(&m->bad);
		return -ENOMEM;
	}
	ranges_sort(&m->bad);
	*own = *m;
	*m = (struct fs_memory){0};
	(*file)->priv = own;
	(*file)->size = own->len;
	return 0;
}
