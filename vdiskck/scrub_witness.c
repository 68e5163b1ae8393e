/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/scrub_witness.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int by_id(const void *a, const void *b)
{
	const struct witness *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->generation < y->generation ? -1 : x->generation > y->generation;
}

static void release(void *p)
{
	struct witness *w = p;

	free(w->path);
	free(w);
}

static bool is_event_log(const char *path)
{
	size_t n = strlen(path);

	return n > 5 && !strcasecmp(path + n - 5, ".evtx");
}

struct witness *witness(void **all, const struct fs_entry *e)
{
	struct witness *w = witness_find(*all, e->id, e->generation);

	if (w)
		return w;
	w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	*w = (struct witness){.id = e->id,
			      .generation = e->generation,
			      .path = strdup(e->path),
			      .when = e->modified.sec,
			      .timeless = e->deleted || e->system || !e->modified.set,
			      .is_log = is_event_log(e->path)};
	if (e->changed.set && e->changed.sec > w->when)
		w->when = e->changed.sec;
	if (w->path && tsearch(w, all, by_id))
		return w;
	release(w);
	return NULL;
}

struct witness *witness_find(void *all, uint64_t id, uint64_t generation)
{
	struct witness key = {.id = id, .generation = generation}, **hit;

	hit = tfind(&key, &all, by_id);
	return hit ? *hit : NULL;
}

void witnesses_free(void *all)
{
	tdestroy(all, release);
}
