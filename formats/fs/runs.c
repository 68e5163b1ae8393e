/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/fs/runs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int fs_runs_add(struct fs_runs *r, const struct fs_run *run)
{
	struct fs_run *last = r->n ? &r->v[r->n - 1] : NULL;

	if (!run->len)
		return 0;
	if (run->off + run->len < run->off || (last && run->off < last->off + last->len))
		return -EINVAL;
	if (last && last->kind == run->kind && last->off + last->len == run->off &&
	    (run->kind == EXTENT_DATA ? last->at + last->len == run->at : last->why == run->why)) {
		last->len += run->len;
		return 0;
	}
	if (r->n == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 8;
		struct fs_run *more = realloc(r->v, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		r->v = more;
		r->cap = cap;
	}
	r->v[r->n++] = *run;
	return 0;
}

const struct fs_run *fs_runs_at(const struct fs_runs *r, uint64_t off)
{
	size_t lo = 0, hi = r->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (r->v[mid].off + r->v[mid].len <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < r->n ? &r->v[lo] : NULL;
}

void fs_runs_free(struct fs_runs *r)
{
	free(r->v);
	ranges_free(&r->doubtful);
	*r = (struct fs_runs){0};
}

static int file_map(struct layer *l, uint64_t off, struct extent *run)
{
	const struct fs_runs *runs = l->priv;
	const struct fs_run *f = fs_runs_at(runs, off);

	run->kind = EXTENT_ZERO;
	if (!f || f->off > off) {
		run->len = (f && f->off < l->size ? f->off : l->size) - off;
		return 0;
	}
	run->len = f->off + f->len - off;
	run->kind = f->kind;
	run->why = f->why;
	run->in = l->below;
	run->at = f->at + (off - f->off);
	if (f->kind == EXTENT_DATA && run->at >= l->below->size) {
		run->kind = EXTENT_LOST;
		run->why = LAYER_READ_PAST_END;
	} else if (f->kind == EXTENT_DATA && run->len > l->below->size - run->at) {
		run->len = l->below->size - run->at;
	}
	return 0;
}

/* The bytes are there; whether they are this file's is another matter. */
static int file_read_doubtful(struct layer *l, uint64_t off, void *buf, size_t len,
			      struct ranges *bad)
{
	const struct ranges *d = &((const struct fs_runs *)l->priv)->doubtful;
	int r = layer_read_mapped(l, off, buf, len, bad);

	for (size_t i = ranges_find(d, off); !r && i < d->n && d->v[i].off < off + len; i++) {
		uint64_t from = d->v[i].off > off ? d->v[i].off : off;
		uint64_t end = d->v[i].off + d->v[i].len;

		r = ranges_add(bad, from, (end < off + len ? end : off + len) - from,
			       GRADE_DOUBTFUL, d->v[i].why);
	}
	return r;
}

static void file_close(struct layer *l)
{
	fs_runs_free(l->priv);
	free(l->priv);
}

static const struct layer_ops file_ops = {
	.name = "file",
	.kind = LAYER_FILE,
	.read = layer_read_mapped,
	.map = file_map,
	.close = file_close,
};

static const struct layer_ops file_doubtful_ops = {
	.name = "file",
	.kind = LAYER_FILE,
	.read = file_read_doubtful,
	.map = file_map,
	.close = file_close,
};

int fs_file_new(struct layer *fs, const char *path, uint64_t size, struct fs_runs *runs,
		struct layer **file)
{
	struct fs_runs *own = malloc(sizeof(*own));
	bool doubtful = runs->doubtful.n != 0;

	ranges_sort(&runs->doubtful);
	*file = own ? layer_file_new(doubtful ? &file_doubtful_ops : &file_ops, fs, path) : NULL;
	if (!*file) {
		free(own);
		fs_runs_free(runs);
		return -ENOMEM;
	}
	*own = *runs;
	*runs = (struct fs_runs){0};
	(*file)->priv = own;
	(*file)->size = size;
	return 0;
}

/* ---- bytes at hand ---- */

struct held {
	struct fs_runs runs; /* first: file_map() knows nothing else */
	uint8_t bytes[];
};

static int held_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	const struct held *h = l->priv;

	(void)bad;
	memcpy(buf, h->bytes + off, len);
	return 0;
}

static const struct layer_ops held_ops = {
	.name = "file",
	.kind = LAYER_FILE,
	.read = held_read,
	.map = file_map,
	.close = file_close,
};

int fs_file_held(struct layer *fs, const char *path, const void *bytes, size_t size,
		 struct fs_runs *runs, struct layer **file)
{
	struct held *h = malloc(sizeof(*h) + size);

	*file = h ? layer_file_new(&held_ops, fs, path) : NULL;
	if (!*file) {
		free(h);
		fs_runs_free(runs);
		return -ENOMEM;
	}
	h->runs = *runs;
	*runs = (struct fs_runs){0};
	memcpy(h->bytes, bytes, size);
	(*file)->priv = h;
	(*file)->size = size;
	return 0;
}
