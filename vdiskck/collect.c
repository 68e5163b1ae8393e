/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/collect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void collect_init(struct collect *c, struct session *s)
{
	*c = (struct collect){.s = s};
}

static void entry_free(struct entry *e)
{
	free((char *)(uintptr_t)e->message);
	free((char *)(uintptr_t)e->stored);
	free((char *)(uintptr_t)e->expected);
	free((char *)(uintptr_t)e->path);
	for (size_t i = 0; i < e->n_paths; i++)
		free(e->paths[i]);
	free(e->paths);
	free(e->where);
}

int entry_hits(struct entry *e, const char *path)
{
	/* Pieces of one file mostly come together. */
	for (size_t i = e->n_paths; i > 0; i--)
		if (!strcmp(e->paths[i - 1], path))
			return 0;
	if (e->n_paths == ENTRY_PATHS) {
		e->more_paths++;
		return 0;
	}
	if (!e->paths)
		e->paths = calloc(ENTRY_PATHS, sizeof(*e->paths));
	if (e->paths)
		e->paths[e->n_paths] = strdup(path);
	if (!e->paths || !e->paths[e->n_paths])
		return -ENOMEM;
	e->n_paths++;
	return 0;
}

void collect_free(struct collect *c)
{
	for (size_t i = 0; i < c->n; i++)
		entry_free(&c->v[i]);
	for (size_t i = 0; i < c->n_lost; i++)
		ranges_free(&c->lost[i].r);
	for (size_t i = 0; i < c->n_names; i++)
		free(c->name[i]);
	free(c->v);
	free(c->tally);
	free(c->lost);
	free(c->name);
	*c = (struct collect){0};
}

/* Room for one more element of @size bytes in an array that holds @n; false: no memory. */
static bool grow(void *array, size_t n, size_t *cap, size_t size)
{
	size_t more = *cap ? 2 * *cap : 16;
	void *p;

	if (n < *cap)
		return true;
	p = realloc(*(void **)array, more * size);
	if (!p)
		return false;
	*(void **)array = p;
	*cap = more;
	return true;
}

/* The one copy of a layer's path; layers are few, and findings come layer by layer. */
static const char *intern(struct collect *c, const char *path)
{
	char *copy;

	for (size_t i = c->n_names; i; i--)
		if (!strcmp(c->name[i - 1], path))
			return c->name[i - 1];
	copy = strdup(path);
	if (!copy || !grow(&c->name, c->n_names, &c->names_cap, sizeof(*c->name))) {
		free(copy);
		return NULL;
	}
	return c->name[c->n_names++] = copy;
}

static struct tally *tally(struct collect *c, enum finding_id id, const char *layer)
{
	struct tally *t = c->tally + c->tally_last;

	if (c->tally_last < c->n_tally && t->id == id && t->layer == layer)
		return t;
	for (size_t i = 0; i < c->n_tally; i++) {
		t = c->tally + i;
		if (t->id == id && t->layer == layer) {
			c->tally_last = i;
			return t;
		}
	}
	if (!grow(&c->tally, c->n_tally, &c->tally_cap, sizeof(*c->tally)))
		return NULL;
	c->tally_last = c->n_tally++;
	t = c->tally + c->tally_last;
	*t = (struct tally){.id = id, .layer = layer, .first = c->seen};
	return t;
}

struct ranges *collect_lost(struct collect *c, const char *path)
{
	for (size_t i = 0; i < c->n_lost; i++)
		if (!strcmp(c->lost[i].layer, path))
			return &c->lost[i].r;
	return NULL;
}

static bool lost_add(struct collect *c, const struct finding *f, const char *layer)
{
	struct ranges *r = collect_lost(c, layer);

	if (!r) {
		struct collect_lost *more = realloc(c->lost, (c->n_lost + 1) * sizeof(*more));

		if (!more)
			return false;
		c->lost = more;
		c->lost[c->n_lost] = (struct collect_lost){.layer = layer};
		r = &c->lost[c->n_lost++].r;
	}
	return !ranges_add(r, f->fact.off, f->fact.len, f->fact.lost ? GRADE_LOST : GRADE_DOUBTFUL,
			   f->id);
}

/*
 * The bytes that show a finding, in every layer below; then the bytes that it is about. A layer
 * that is just being opened can't be asked where it lies: only what it stands on is.
 */
static bool places(struct collect *c, const struct finding *f, struct entry *e)
{
	const struct fact *fact = &f->fact;
	struct where w[WHERE_MAX];
	size_t n = 0;
	bool own = fact->len > 0;

	if (fact->at_len) {
		if (fact->in != f->layer || fact->in->ops->kind == LAYER_SOURCE)
			n = layer_where(fact->in, fact->at, fact->at_len, w, WHERE_MAX);
		else
			w[n++] = (struct where){fact->in, fact->at, fact->at_len};
	}
	if (own && n && w[n - 1].l == f->layer && w[n - 1].off == fact->off)
		own = false;
	e->where = calloc(n + 1, sizeof(*e->where));
	if (!e->where)
		return false;
	for (size_t i = 0; i < n; i++)
		e->where[e->n_where++] =
			(struct place){intern(c, w[i].l->path), w[i].off, w[i].len};
	if (own)
		e->where[e->n_where++] = (struct place){e->layer, fact->off, fact->len};
	for (size_t i = 0; i < e->n_where; i++)
		if (!e->where[i].layer)
			return false;
	return true;
}

static bool copy(const char *from, const char **to)
{
	*to = from ? strdup(from) : NULL;
	return !from || *to;
}

static bool entry_make(struct collect *c, const struct finding *f, struct entry *e)
{
	*e = (struct entry){
		.id = f->id,
		.layer = intern(c, f->layer->path),
		.at = {intern(c, f->fact.in->path), f->fact.at, f->fact.at_len},
		.off = f->fact.off,
		.len = f->fact.len,
		.lost = f->fact.lost && f->fact.len,
		.doubtful = f->fact.doubtful && f->fact.len,
		.path_off = f->fact.path_off,
	};
	/* Texts first: asking for places may report findings of its own, and reuse strf(). */
	return e->layer && e->at.layer && copy(f->message, &e->message) &&
	       copy(f->fact.stored, &e->stored) && copy(f->fact.expected, &e->expected) &&
	       copy(f->fact.path, &e->path) && places(c, f, e);
}

void collect_finding(struct collect *c, const struct finding *f)
{
	struct entry e;
	struct tally *t;

	if (!entry_make(c, f, &e))
		goto no_memory;
	if ((e.lost || e.doubtful) && !lost_add(c, f, e.layer))
		goto no_memory;
	t = tally(c, e.id, e.layer);
	if (!t)
		goto no_memory;
	e.number = c->seen++;
	t->count++;
	t->lost += e.lost ? e.len : 0;
	e.kept = t->kept < COLLECT_KEEP && grow(&c->v, c->n, &c->cap, sizeof(*c->v));
	if (c->on_entry)
		c->on_entry(c->arg, &e);
	if (t->kept < COLLECT_KEEP && !e.kept)
		goto no_memory;
	if (!e.kept) {
		entry_free(&e);
		return;
	}
	t->kept++;
	c->v[c->n++] = e;
	return;
no_memory:
	/* The session has counted it, so the verdict holds. */
	c->no_memory = true;
	entry_free(&e);
}

const struct tally *collect_tally(const struct collect *c, const struct entry *e)
{
	for (size_t i = 0; i < c->n_tally; i++)
		if (c->tally[i].id == e->id && c->tally[i].layer == e->layer)
			return &c->tally[i];
	return NULL;
}

static int rank(enum finding_id id)
{
	static const int by_severity[] = {[DAMAGE] = 0, [UNDECIDED] = 1, [BLEMISH] = 2, [INFO] = 3};

	return by_severity[finding_severity(id)];
}

struct sort_key {
	struct entry e;
	uint64_t lost, first; /* of its tally */
};

static int by_importance(const void *a, const void *b)
{
	const struct sort_key *x = a, *y = b;
	int d = rank(x->e.id) - rank(y->e.id);

	if (d)
		return d;
	if (x->lost != y->lost)
		return x->lost > y->lost ? -1 : 1;
	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return x->e.number < y->e.number ? -1 : x->e.number > y->e.number;
}

void collect_sort(struct collect *c)
{
	struct sort_key *k = c->n ? malloc(c->n * sizeof(*k)) : NULL;

	if (!k)
		return; /* unsorted is worse to read, not wrong */
	for (size_t i = 0; i < c->n; i++) {
		const struct tally *t = tally(c, c->v[i].id, c->v[i].layer);

		k[i] = (struct sort_key){c->v[i], t ? t->lost : 0, t ? t->first : 0};
	}
	qsort(k, c->n, sizeof(*k), by_importance);
	for (size_t i = 0; i < c->n; i++)
		c->v[i] = k[i].e;
	free(k);
}

enum verdict collect_verdict(const struct collect *c)
{
	if (c->s->count[DAMAGE])
		return DAMAGED;
	if (c->s->count[UNDECIDED] || c->undecided)
		return UNDECIDABLE;
	return c->s->count[BLEMISH] ? BLEMISHED : INTACT;
}

const char *verdict_name(enum verdict v)
{
	static const char *const name[] = {"intact", "blemished", "damaged", "undecided"};

	return name[v];
}

bool collect_has(const struct collect *c, enum finding_id id)
{
	for (size_t i = 0; i < c->n_tally; i++)
		if (c->tally[i].id == id)
			return true;
	return false;
}
