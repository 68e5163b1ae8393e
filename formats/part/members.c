/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/part/members.h"

#include <errno.h>
#include <stdlib.h>

#include "formats/drivers.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/source.h"

enum {
	SURE = 60,
	IMAGES_MAX = 64, /* other disks of one array or group */
};

struct search {
	struct layer *l;
	bool (*wanted)(void *arg, struct layer *candidate);
	void *arg;
	struct members *m;
};

/* Open the best of these drivers on @below, as its child. NULL: none is sure. */
static struct layer *open_on(struct layer *below, const struct layer_ops *const *drivers)
{
	const struct layer_ops *ops = NULL;
	struct layer *l;
	int best = SURE - 1;

	for (size_t i = 0; drivers[i]; i++) {
		int score = drivers[i]->probe ? drivers[i]->probe(below) : 0;

		if (score > best) {
			best = score;
			ops = drivers[i];
		}
	}
	l = ops ? layer_new(below->s, ops, below, ops->name) : NULL;
	if (!l)
		return NULL;
	l->state = ops->open(l);
	if (l->state || l->locked) {
		layer_free(l);
		return NULL;
	}
	layer_attach(below, l);
	return l;
}

/* An array may lie on the whole disk, or in partitions; arrays of partitions on arrays do not. */
static bool look_in(struct search *s, struct layer *disk)
{
	static const struct layer_ops *const tables[] = {&gpt_ops, &mbr_ops, NULL};
	struct layer *table;
	bool found = s->wanted(s->arg, disk);

	table = found ? NULL : open_on(disk, tables);
	for (struct layer *c = table ? table->child : NULL; c; c = c->next)
		if (s->wanted(s->arg, c))
			found = true;
	return found;
}

static int look_at_image(void *arg, struct layer *source)
{
	struct search *s = arg;
	struct layer *disk;

	if (source_same(source, layer_source(s->l)))
		return 0;
	for (size_t i = 0; i < s->m->n; i++)
		if (source_same(source, s->m->source[i]))
			return 0;
	source->s = s->m->quiet;
	disk = open_on(source, container_drivers);
	return look_in(s, disk ? disk : source) ? (s->m->source[s->m->n++] = source, 1) : 0;
}

/* The same keys and options, and nobody who is told. */
static int start_quiet(struct layer *l, struct members *m)
{
	m->source = calloc(IMAGES_MAX, sizeof(*m->source));
	m->quiet = malloc(sizeof(*m->quiet));
	if (!m->source || !m->quiet) {
		free(m->quiet);
		m->quiet = NULL;
		return -ENOMEM;
	}
	session_init(m->quiet);
	m->quiet->opt = l->s->opt;
	m->quiet->keys = l->s->keys;
	return 0;
}

int members_find(struct layer *l, bool (*wanted)(void *arg, struct layer *candidate),
		 bool (*complete)(void *arg), void *arg, struct members *m)
{
	struct search s = {l, wanted, arg, m};
	struct layer *mine = l->below;
	int r;

	if (mine->ops->kind == LAYER_VOLUME && mine->below)
		for (struct layer *c = mine->below->child; c; c = c->next)
			if (c != mine && c->ops->kind == LAYER_VOLUME)
				wanted(arg, c);
	if (complete(arg))
		return 0;
	r = start_quiet(l, m);
	if (r)
		return r;
	/* A search ends with the first image that is kept: on to the next one. */
	do
		r = source_each_beside(layer_source(l), look_at_image, &s);
	while (r > 0 && m->n < IMAGES_MAX && !complete(arg));
	return r == -ENOMEM || r == -EINTR ? r : 0;
}

void members_free(struct members *m)
{
	for (size_t i = 0; i < m->n; i++)
		layer_free(m->source[i]);
	free(m->source);
	if (m->quiet)
		session_fini(m->quiet);
	free(m->quiet);
	m->quiet = NULL;
	m->source = NULL;
	m->n = 0;
}
