/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/scrub_layer.h"

#include <string.h>

#include "formats/stack.h"
#include "vdiskck/image_id.h"

struct wanted {
	const struct seal_head *h;
	struct layer *by_id, *by_path;
	bool other; /* a layer of that path is there, but it is another image's */
};

static int match(void *arg, struct layer *l)
{
	struct wanted *w = arg;
	char id[SEAL_ID];

	if (l->state || l->size != w->h->size)
		return 0;
	image_id(l, id);
	if (*id && *w->h->id) {
		if (!strcmp(id, w->h->id) && !w->by_id)
			w->by_id = l;
		else if (!strcmp(l->path, w->h->layer))
			w->other = true;
		return 0;
	}
	if (!strcmp(l->path, w->h->layer))
		w->by_path = l;
	return 0;
}

struct layer *scrub_layer(struct layer *source, const struct seal *to, bool *other)
{
	struct wanted w = {.h = seal_head(to)};
	struct layer *l = stack_find(source, w.h->layer);

	*other = false;
	/* The path says it best, unless another image lies there: a parent is "vhd" on its own. */
	if (l && !match(&w, l) && (w.by_id || w.by_path))
		return l;
	stack_walk(source, match, &w);
	*other = w.other;
	return w.by_id ? w.by_id : w.by_path;
}
