/* SPDX-License-Identifier: Apache-2.0 */
/* Making a plan: which layers, how much each of them stores and where, and so where to cut. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "vdiskck/core/text.h"
#include "vdiskck/plan.h"
#include "vdiskck/scrub_layer.h"

enum { BUCKETS = 4096 };

/* A layer to be cut, and how its data is spread. */
struct measured {
	struct plan_part part;
	uint64_t bucket[BUCKETS], bucket_leaves;
	size_t n;
};

struct making {
	const struct args *a;
	struct measured *v;
	size_t n;
	bool *planned; /* of the seals: once each, however many children a parent has */
};

static int measure(struct layer *l, struct measured *m)
{
	uint64_t size = SEAL_NODE, off = 0;

	while (l->size / size >= BUCKETS)
		size *= 2;
	m->bucket_leaves = size / SEAL_LEAF;
	m->n = (size_t)(l->size / size + 1);
	while (off < l->size) {
		struct extent run;
		int r = session_stopped(l->s) ? -EINTR : layer_resolve(l, off, &run);
		uint64_t end = run.off + run.len;

		if (r)
			return r;
		end = end > off ? end : off + 1;
		while (off < end) {
			uint64_t to = off - off % size + size;

			to = to < end ? to : end;
			if (run.kind == EXTENT_DATA) {
				m->bucket[off / size] += to - off;
				m->part.data += to - off;
			}
			off = to;
		}
	}
	return 0;
}

static int add(struct making *m, struct run *r, struct layer *l, const char *seal)
{
	struct measured *more = realloc(m->v, (m->n + 1) * sizeof(*more)), *to;
	int err;

	if (!more)
		return run_fail(r, -ENOMEM, "%s", r->a->image);
	m->v = more;
	to = &m->v[m->n];
	memset(to, 0, sizeof(*to));
	err = measure(l, to);
	if (err)
		return run_fail(r, err, "%s: map", r->a->image);
	to->part.image = strdup(r->a->image);
	to->part.layer = strdup(l->path);
	to->part.seal = strdup(seal);
	to->part.size = l->size;
	to->part.end = l->size / SEAL_LEAF + (l->size % SEAL_LEAF != 0);
	m->n++;
	return to->part.image && to->part.layer && to->part.seal ? 0 : -ENOMEM;
}

/* The name of the seal to make: -o, or a file in that folder. */
static int plan_seal(struct making *m, struct run *r)
{
	const char *out = m->a->output, *slash = strrchr(r->a->image, '/');
	struct layer *l = r->a->at ? run_layer(r, r->a->at) : disk_layer(r->source);
	struct stat st;
	char *name;
	int err;

	if (!l || l->state)
		return run_fail(r, -EINVAL, "%s: can't be read", r->a->image);
	if (!m->a->n_rest && (stat(out, &st) || !S_ISDIR(st.st_mode)))
		return add(m, r, l, out);
	if (asprintf(&name, "%s/%s.seal", out, slash ? slash + 1 : r->a->image) < 0)
		return run_fail(r, -ENOMEM, "%s", r->a->image);
	err = 0;
	for (size_t i = 0; i < m->n && !err; i++)
		if (!strcmp(m->v[i].part.seal, name))
			err = run_fail(r, -EEXIST, "%s: two images would be sealed there", name);
	if (!err)
		err = add(m, r, l, name);
	free(name);
	return err;
}

static int plan_scrub(struct making *m, struct run *r)
{
	bool any = false;
	int err = 0;

	for (size_t i = 0; m->a->seal[i] && !err; i++) {
		struct layer *l = NULL;
		struct seal *to;
		bool other;

		if (seal_open(&r->s, m->a->seal[i], &to)) {
			r->failed = true;
			return -EBADMSG;
		}
		l = scrub_layer(r->source, to, &other);
		any |= l != NULL;
		if (l && !m->planned[i]) {
			m->planned[i] = true;
			err = add(m, r, l, m->a->seal[i]);
		}
		seal_close(to);
	}
	return !err && !any ? run_fail(r, -ENOENT, "%s: no seal is of it", r->a->image) : err;
}

static int plan_image(struct making *m, const char *image)
{
	struct args a = *m->a;
	struct run r;
	int err;

	a.image = image;
	a.json = false;
	run_init(&r, &a);
	err = run_open(&r);
	if (!err)
		err = a.seal ? plan_scrub(m, &r) : plan_seal(m, &r);
	run_end(&r, 0);
	return err;
}

static int cut(const struct making *m, struct plan *p)
{
	uint64_t all = 0;
	int r = 0;

	for (size_t i = 0; i < m->n; i++)
		all += m->v[i].part.data;
	for (size_t i = 0; i < m->n && !r; i++)
		r = plan_cut(p, &m->v[i].part, m->v[i].bucket, m->v[i].n, m->v[i].bucket_leaves,
			     (all + p->shards - 1) / p->shards);
	return r ? r : plan_assign(p);
}

int plan_make(const struct args *a)
{
	struct plan p = {.scrub = a->seal != NULL, .time = a->time ? a->time : (int64_t)time(NULL)};
	struct making m = {.a = a};
	size_t seals = 0;
	int err;

	if (number_parse(a->plan, &p.shards, NULL) || !p.shards || p.shards > PLAN_SHARDS_MAX)
		return usage_hint(a, "--plan %s: 1 to %d shards", a->plan, PLAN_SHARDS_MAX);
	while (a->seal && a->seal[seals])
		seals++;
	m.planned = calloc(seals + 1, sizeof(*m.planned));
	err = m.planned ? plan_image(&m, a->image) : -ENOMEM;
	for (size_t i = 0; i < a->n_rest && !err; i++)
		err = plan_image(&m, a->rest[i]);
	for (size_t i = 0; i < seals && !err; i++)
		if (!m.planned[i])
			err = usage_hint(a, "%s: the seal of none of these images", a->seal[i]);
	if (!err)
		err = cut(&m, &p);
	if (!err)
		plan_print(&p);
	for (size_t i = 0; i < m.n; i++) {
		free(m.v[i].part.image);
		free(m.v[i].part.layer);
		free(m.v[i].part.seal);
	}
	free(m.v);
	free(m.planned);
	plan_free(&p);
	return err ? UNDECIDABLE : INTACT;
}
