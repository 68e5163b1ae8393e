/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/scrub_layer.h"

#include <string.h>

#include "formats/stack.h"
#include "vdiskck/core/source.h"
#include "vdiskck/image_id.h"

/*
 * What speaks for a layer. A qcow2 does not say who it is: what stands on it may, but that is the
 * same in each link of a chain. So the file counts most: its name, and whether it is as it was.
 */
enum { BY_FILE = 16, BY_TIME = 8, BY_ID = 4, BY_PATH = 1 };

struct wanted {
	const struct seal_head *h;
	const struct seal_generation *g; /* the newest */
	struct layer *best;
	int score;
	bool other; /* a layer of that path is there, but it is another image's */
};

/* The path of an ancestor, but for which one it is: what it has when it is opened itself. */
static bool same_path(const struct layer *l, const char *path)
{
	size_t n = l->chain_child ? strcspn(l->path, "~") : strlen(l->path);

	return !strncmp(l->path, path, n) && !path[n];
}

static int match(void *arg, struct layer *l)
{
	struct wanted *w = arg;
	struct layer *source = layer_source(l);
	int64_t mtime;
	char id[SEAL_ID];
	int score = 0;

	if (l->state || l->size != w->h->size)
		return 0;
	image_id(l, id);
	if (*id && *w->h->id && strcmp(id, w->h->id)) {
		w->other |= !strcmp(l->path, w->h->layer);
		return 0;
	}
	if (*id && *w->h->id)
		score += BY_ID;
	if (!strcmp(l->path, w->h->layer))
		score += BY_PATH;
	if (!score && !same_path(l, w->h->layer))
		return 0;
	if (*w->h->file && !strcmp(source->path, w->h->file))
		score += BY_FILE;
	if (source->size == w->g->image_size && source_mtime_ns(source, &mtime) &&
	    mtime == w->g->image_mtime)
		score += BY_TIME;
	if (score > w->score) {
		w->score = score;
		w->best = l;
	}
	return 0;
}

struct layer *scrub_layer(struct layer *source, const struct seal *to, bool *other)
{
	size_t n;
	const struct seal_generation *g = seal_generations(to, &n);
	struct wanted w = {.h = seal_head(to), .g = &g[n - 1]};

	stack_walk(source, match, &w);
	*other = w.other;
	return w.best;
}
