/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/stack.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/reads.h"
#include "vdiskck/core/source.h"
#include "vdiskck/core/sum.h"

/* A finding that outlives its report. */
struct met {
	enum finding_id id;
	struct layer *l;
	struct fact fact; /* its texts are ours */
	char *message;
};

/* A finding that was reported for an earlier run. */
struct said {
	uint64_t hash;
	bool again; /* this run came to it, too */
};

struct part {
	char *what;
	struct layer *l;
	size_t met;	  /* findings up to its end */
	uint64_t checked; /* bytes, in it */
	struct ranges bad;
	struct reads reads; /* what was read in it */
};

struct parts {
	struct run *r;
	struct met *met;
	size_t n_met, final; /* the first @final are those of finished parts, or of none */
	struct part *v;
	size_t n, replayed; /* the first @replayed are of an earlier run */
	bool within;	    /* a part was begun, and is not done */
	uint64_t checked;   /* when it was begun */
	size_t reads;
	struct said *said; /* by hash */
	size_t n_said;
	bool too_many, replaying;
	void (*on_end)(void *arg);
	void *arg;
};

static char *copy(const char *s)
{
	return s ? strdup(s) : NULL;
}

static void met_free(struct met *m)
{
	free((char *)(uintptr_t)m->fact.path);
	free((char *)(uintptr_t)m->fact.stored);
	free((char *)(uintptr_t)m->fact.expected);
	free(m->message);
}

static uint64_t hash_of(const struct finding *f)
{
	uint64_t number[] = {f->id,
			     (uint64_t)(uintptr_t)f->layer,
			     (uint64_t)(uintptr_t)f->fact.in,
			     f->fact.at,
			     f->fact.at_len,
			     f->fact.off,
			     f->fact.len};

	return sum_xxh64(number, sizeof(number), f->message, strlen(f->message));
}

static bool keep(struct parts *p, const struct finding *f)
{
	struct met *more = realloc(p->met, (p->n_met + 1) * sizeof(*more)), *m;

	if (!more)
		return false;
	p->met = more;
	m = &p->met[p->n_met++];
	*m = (struct met){.id = f->id, .l = f->layer, .fact = f->fact};
	m->fact.path = copy(f->fact.path);
	m->fact.stored = copy(f->fact.stored);
	m->fact.expected = copy(f->fact.expected);
	m->message = copy(f->message);
	return m->message && !m->fact.path == !f->fact.path && !m->fact.stored == !f->fact.stored &&
	       !m->fact.expected == !f->fact.expected;
}

static int said_cmp(const void *a, const void *b)
{
	const struct said *x = a, *y = b;

	return x->hash < y->hash ? -1 : x->hash > y->hash;
}

/* Was it reported for an earlier run? As often as that was. */
static bool said_before(struct parts *p, const struct finding *f)
{
	struct said key = {.hash = hash_of(f)}, *end = p->said + p->n_said, *s;

	s = p->n_said ? bsearch(&key, p->said, p->n_said, sizeof(key), said_cmp) : NULL;
	while (s && s > p->said && s[-1].hash == key.hash)
		s--;
	while (s && s < end && s->hash == key.hash && s->again)
		s++;
	if (!s || s == end || s->hash != key.hash)
		return false;
	s->again = true;
	return true;
}

/* The run's on_fact. */
static bool on_fact(void *arg, const struct finding *f)
{
	struct parts *p = arg;

	if (p->replaying)
		p->said[p->n_said++].hash = hash_of(f);
	else if (said_before(p, f))
		return true;
	if (p->n_met == PARTS_FINDINGS || !keep(p, f))
		p->too_many = true;
	return false;
}

struct parts *parts_new(struct run *r)
{
	struct parts *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->r = r;
	r->parts = p;
	r->on_fact = on_fact;
	r->fact_arg = p;
	return p;
}

void parts_free(struct parts *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n_met; i++)
		met_free(&p->met[i]);
	for (size_t i = 0; i < p->n; i++) {
		free(p->v[i].what);
		ranges_free(&p->v[i].bad);
		reads_free(&p->v[i].reads);
	}
	p->r->parts = NULL;
	p->r->on_fact = NULL;
	free(p->said);
	free(p->met);
	free(p->v);
	free(p);
}

bool parts_begin(struct parts *p, const char *what, struct layer *l, struct ranges *bad)
{
	struct session *s = l->s;

	for (size_t i = 0; p && i < p->replayed; i++) {
		struct part *v = &p->v[i];

		if (v->l != l || strcmp(v->what, what))
			continue;
		for (size_t k = 0; s->reads && k < v->reads.n; k++)
			reads_note(s->reads, v->reads.v[k].l, v->reads.v[k].off, v->reads.v[k].len);
		return !bad || !ranges_append(bad, &v->bad);
	}
	if (p && !p->within) {
		p->final = p->n_met;
		p->within = true;
		p->checked = atomic_load(&s->checked);
		p->reads = s->reads ? s->reads->n : 0;
	}
	return false;
}

void parts_end(struct parts *p, const char *what, struct layer *l, const struct ranges *bad)
{
	struct part *more = p ? realloc(p->v, (p->n + 1) * sizeof(*more)) : NULL, *v;
	struct reads *reads = l->s->reads;

	if (!more)
		return; /* not kept: it is done again then */
	p->v = more;
	v = &p->v[p->n];
	*v = (struct part){.what = copy(what),
			   .l = l,
			   .met = p->n_met,
			   .checked = atomic_load(&l->s->checked) - p->checked};
	/* The last run that was noted before may have grown. */
	for (size_t i = p->reads ? p->reads - 1 : 0; reads && i < reads->n; i++)
		reads_note(&v->reads, reads->v[i].l, reads->v[i].off, reads->v[i].len);
	p->n += v->what && (!bad || !ranges_append(&v->bad, bad));
	p->final = p->n_met;
	p->within = false;
	if (p->on_end)
		p->on_end(p->arg);
}

void parts_close(struct parts *p)
{
	if (p && !p->within)
		p->final = p->n_met;
	if (p)
		p->within = true;
}

void parts_on_end(struct parts *p, void (*fn)(void *arg), void *arg)
{
	p->on_end = fn;
	p->arg = arg;
}

/* Two sources may have one name: the layer is the @nth of its path, in the order of a walk. */
struct naming {
	const char *path;
	const struct layer *l;
	uint64_t nth;
	struct layer *found;
};

static int count(void *arg, struct layer *l)
{
	struct naming *n = arg;

	if (l == n->l)
		return 1;
	n->nth += !strcmp(l->path, n->path);
	return 0;
}

static int find(void *arg, struct layer *l)
{
	struct naming *n = arg;

	if (strcmp(l->path, n->path) || n->nth-- > 0)
		return 0;
	n->found = l;
	return 1;
}

static void put_layer(struct parts *p, struct json *j, const char *key, struct layer *l)
{
	struct naming n = {.path = l->path, .l = l};
	struct json *v = js_object();

	stack_walk(p->r->source, count, &n);
	js_str(v, "path", l->path);
	if (n.nth)
		js_u64(v, "nth", n.nth);
	js_put(j, key, v);
}

static struct layer *get_layer(struct parts *p, const struct json *j, const char *key)
{
	const struct json *v = js_get(j, key);
	struct naming n = {.path = js_text(js_get(v, "path"))};

	js_to_u64(js_get(v, "nth"), &n.nth);
	if (n.path)
		stack_walk(p->r->source, find, &n);
	return n.found;
}

static struct json *json_met(struct parts *p, const struct met *m)
{
	struct json *j = js_object();

	js_str(j, "id", finding_name(m->id));
	put_layer(p, j, "layer", m->l);
	put_layer(p, j, "in", m->fact.in);
	js_u64(j, "at", m->fact.at);
	js_u64(j, "at_length", m->fact.at_len);
	js_u64(j, "offset", m->fact.off);
	js_u64(j, "length", m->fact.len);
	js_u64(j, "lost", m->fact.lost);
	js_u64(j, "doubtful", m->fact.doubtful);
	js_u64(j, "path_offset", m->fact.path_off);
	js_str(j, "message", m->message);
	if (m->fact.path)
		js_str(j, "path", m->fact.path);
	if (m->fact.stored)
		js_str(j, "stored", m->fact.stored);
	if (m->fact.expected)
		js_str(j, "expected", m->fact.expected);
	return j;
}

static struct json *json_bad(const struct ranges *bad)
{
	struct json *list = js_array();

	for (size_t i = 0; i < bad->n; i++) {
		struct json *v = js_object();

		js_u64(v, "offset", bad->v[i].off);
		js_u64(v, "length", bad->v[i].len);
		js_u64(v, "lost", bad->v[i].grade == GRADE_LOST);
		js_str(v, "why", finding_name(bad->v[i].why));
		js_add(list, v);
	}
	return list;
}

static struct json *json_part(struct parts *p, const struct part *v)
{
	struct json *j = js_object(), *reads = js_array();

	js_str(j, "what", v->what);
	put_layer(p, j, "layer", v->l);
	js_u64(j, "findings", v->met);
	js_u64(j, "checked", v->checked);
	js_put(j, "bad", json_bad(&v->bad));
	for (size_t i = 0; i < v->reads.n; i++) {
		struct json *one = js_object();

		put_layer(p, one, "layer", v->reads.v[i].l);
		js_u64(one, "offset", v->reads.v[i].off);
		js_u64(one, "length", v->reads.v[i].len);
		js_add(reads, one);
	}
	js_put(j, "reads", reads);
	return j;
}

/* What a source could not give, so that it is neither tried nor missed when it is gone on with. */
struct putting {
	struct parts *p;
	struct json *list;
};

static int put_unreadable(void *arg, struct layer *l)
{
	struct putting *to = arg;
	struct ranges bad = {0};
	struct json *j;

	if (source_unreadable(l, &bad) || !bad.n) {
		ranges_free(&bad);
		return 0;
	}
	j = js_object();
	put_layer(to->p, j, "layer", l);
	js_put(j, "bad", json_bad(&bad));
	js_add(to->list, j);
	ranges_free(&bad);
	return 0;
}

void parts_put(struct parts *p, struct json *j)
{
	struct json *met = js_array(), *done = js_array(), *unreadable = js_array();

	/* Layers that were read say things, too, while nothing is examined. */
	if (!p->within)
		p->final = p->n_met;
	for (size_t i = 0; i < p->final; i++)
		js_add(met, json_met(p, &p->met[i]));
	for (size_t i = 0; i < p->n; i++)
		js_add(done, json_part(p, &p->v[i]));
	stack_walk(p->r->source, put_unreadable, &(struct putting){p, unreadable});
	js_put(j, "met", met);
	js_put(j, "parts", done);
	js_put(j, "unreadable", unreadable);
	if (p->too_many)
		js_bool(j, "too_many", true);
}

static bool get(const struct json *j, const char *key, uint64_t *v)
{
	return js_to_u64(js_get(j, key), v);
}

static bool say_again(struct parts *p, const struct json *j)
{
	const char *id = js_text(js_get(j, "id")), *message = js_text(js_get(j, "message"));
	struct layer *l = get_layer(p, j, "layer");
	struct fact f = {.in = get_layer(p, j, "in"),
			 .path = js_text(js_get(j, "path")),
			 .stored = js_text(js_get(j, "stored")),
			 .expected = js_text(js_get(j, "expected"))};
	enum finding_id known = id ? finding_lookup(id) : FINDING_COUNT;
	uint64_t lost, doubtful;

	if (known == FINDING_COUNT || !l || !f.in || !message || !get(j, "at", &f.at) ||
	    !get(j, "at_length", &f.at_len) || !get(j, "offset", &f.off) ||
	    !get(j, "length", &f.len) || !get(j, "lost", &lost) || !get(j, "doubtful", &doubtful) ||
	    !get(j, "path_offset", &f.path_off))
		return false;
	f.lost = lost;
	f.doubtful = doubtful;
	finding_fact(l, known, &f, "%s", message);
	return true;
}

static bool get_bad(const struct json *list, const struct layer *l, struct ranges *bad)
{
	for (size_t i = 0; i < js_len(list); i++) {
		const struct json *j = js_at(list, i);
		const char *why = js_text(js_get(j, "why"));
		enum finding_id id = why ? finding_lookup(why) : FINDING_COUNT;
		uint64_t off, len, lost;

		if (!get(j, "offset", &off) || !get(j, "length", &len) || !get(j, "lost", &lost) ||
		    id == FINDING_COUNT || off > l->size || len > l->size - off ||
		    ranges_add(bad, off, len, lost ? GRADE_LOST : GRADE_DOUBTFUL, id))
			return false;
	}
	return true;
}

static bool get_part(struct parts *p, const struct json *j)
{
	struct part *more = realloc(p->v, (p->n + 1) * sizeof(*more)), *v;
	const char *what = js_text(js_get(j, "what"));
	const struct json *reads = js_get(j, "reads");
	uint64_t met;

	if (!more)
		return false;
	p->v = more;
	v = &p->v[p->n];
	*v = (struct part){.what = copy(what), .l = get_layer(p, j, "layer")};
	p->n++;
	if (!v->what || !v->l || !get(j, "findings", &met) || met > p->n_met ||
	    !get(j, "checked", &v->checked) || !get_bad(js_get(j, "bad"), v->l, &v->bad))
		return false;
	v->met = (size_t)met;
	session_checked(v->l->s, v->checked);
	for (size_t i = 0; i < js_len(reads); i++) {
		const struct json *one = js_at(reads, i);
		struct layer *l = get_layer(p, one, "layer");
		uint64_t off, len;

		if (!l || !get(one, "offset", &off) || !get(one, "length", &len) || off > l->size ||
		    len > l->size - off)
			return false;
		reads_note(&v->reads, l, off, len);
	}
	return true;
}

static bool get_unreadable(struct parts *p, const struct json *j)
{
	struct layer *l = get_layer(p, j, "layer");
	struct ranges bad = {0};
	bool good = l && get_bad(js_get(j, "bad"), l, &bad);

	for (size_t i = 0; i < bad.n && good; i++)
		good = !source_unreadable_add(l, bad.v[i].off, bad.v[i].len);
	ranges_free(&bad);
	return good;
}

int parts_get(struct parts *p, const struct json *j)
{
	const struct json *met = js_get(j, "met"), *done = js_get(j, "parts"), *too_many;
	const struct json *unreadable = js_get(j, "unreadable");
	bool good = js_len(met) <= PARTS_FINDINGS;

	too_many = js_get(j, "too_many");
	if (too_many)
		return -ENOBUFS;
	p->said = calloc(js_len(met) + 1, sizeof(*p->said));
	if (!p->said)
		return -ENOMEM;
	p->replaying = true;
	for (size_t i = 0; i < js_len(met) && good; i++)
		good = say_again(p, js_at(met, i));
	p->replaying = false;
	qsort(p->said, p->n_said, sizeof(*p->said), said_cmp);
	for (size_t i = 0; i < js_len(done) && good; i++)
		good = get_part(p, js_at(done, i));
	for (size_t i = 0; i < js_len(unreadable) && good; i++)
		good = get_unreadable(p, js_at(unreadable, i));
	p->final = p->n_met;
	p->replayed = p->n;
	return good ? 0 : -EBADMSG;
}
