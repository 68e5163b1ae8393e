/* SPDX-License-Identifier: Apache-2.0 */
/* The shards of a plan put together: into a seal, or into the verdict of a scrub. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vdiskck/commands.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/text.h"
#include "vdiskck/lock.h"
#include "vdiskck/plan.h"
#include "vdiskck/scrub_image.h"
#include "vdiskck/scrub_state.h"

struct merging {
	struct run r;
	struct plan p;
	const char *dir;
};

/* The part of the layer @seal that begins at leaf @first; p->n: none. */
static size_t part_at(const struct plan *p, const char *seal, uint64_t first)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].first == first && p->v[i].end > first && !strcmp(p->v[i].seal, seal))
			return i;
	return p->n;
}

static int missing(struct run *r, const char *seal, uint64_t leaf)
{
	return run_fail(r, -ENODATA, "%s: leaf %" PRIu64 " is in no complete shard", seal, leaf);
}

static bool same_image(const struct seal *a, const struct seal *b)
{
	const struct seal_head *x = seal_head(a), *y = seal_head(b);
	size_t n;
	const struct seal_generation *g = seal_generations(a, &n), *h = seal_generations(b, &n);

	return x->size == y->size && !strcmp(x->id, y->id) && !strcmp(x->layer, y->layer) &&
	       g->image_size == h->image_size && g->image_mtime == h->image_mtime;
}

/* A new seal, or one more generation of the one that is there. */
static int begin(struct run *r, const char *path, const struct seal *first, struct seal **old,
		 struct seal_writer **w)
{
	const struct seal_head *h = seal_head(first);

	if (r->a->force || access(path, F_OK))
		return seal_create(&r->s, path, r->a->force, h, w);
	if (seal_open(&r->s, path, old))
		return -EBADMSG;
	if (seal_head(*old)->size != h->size || strcmp(seal_head(*old)->id, h->id))
		return run_fail(r, -EINVAL, "%s: the seal of another image", path);
	return seal_append(&r->s, path, *old, w);
}

static int copy_parts(struct merging *m, const struct plan_part *whole, const char *path)
{
	uint64_t at = 0, leaves = whole->size / SEAL_LEAF + (whole->size % SEAL_LEAF != 0);
	struct seal *part = NULL, *first = NULL, *old = NULL;
	struct seal_generation g = {.made = m->p.time};
	struct seal_writer *w = NULL;
	int err = 0;

	while (at < leaves && !err) {
		size_t i = part_at(&m->p, whole->seal, at);
		char *name = i < m->p.n ? plan_result(&m->p, i, m->dir) : NULL;

		if (!name || access(name, F_OK)) {
			err = missing(&m->r, whole->seal, at);
		} else if (seal_open(&m->r.s, name, &part)) {
			err = -EBADMSG;
		} else if (!first) {
			size_t n;
			const struct seal_generation *one = seal_generations(part, &n);

			g.image_size = one->image_size;
			g.image_mtime = one->image_mtime;
			first = part;
			err = begin(&m->r, path, first, &old, &w);
		} else if (!same_image(first, part)) {
			err = run_fail(&m->r, -ESTALE,
				       "%s: the image was written to between the shards",
				       whole->image);
		}
		if (!err)
			err = seal_copy(w, part, at, m->p.v[i].end);
		if (err == -ENODATA)
			missing(&m->r, whole->seal, at);
		at = i < m->p.n ? m->p.v[i].end : leaves;
		if (part != first)
			seal_close(part);
		part = NULL;
		free(name);
	}
	if (!err)
		err = seal_commit(w, &g);
	else
		seal_drop(w);
	seal_close(first);
	seal_close(old);
	if (!err && !m->r.a->json && !m->r.a->quiet)
		printf("%s: generation %" PRIu64 " of %" PRIu64 " leaves, %" PRIu64 " lost\n", path,
		       g.number, leaves, g.lost);
	m->r.lost += g.lost * SEAL_LEAF;
	return err;
}

static int merge_seals(struct merging *m, const char *output)
{
	int status = INTACT;

	for (size_t i = 0; i < m->p.n; i++) {
		const struct plan_part *v = &m->p.v[i];
		const char *path = output ? output : v->seal;
		int lock, err;

		if (v->first)
			continue;
		lock = lock_take(path, O_RDONLY, false);
		if (lock == -EWOULDBLOCK)
			err = run_fail(&m->r, -EBUSY, "%s: another run uses this seal", path);
		else
			err = copy_parts(m, v, path);
		if (lock >= 0)
			close(lock);
		if (err)
			status = UNDECIDABLE;
	}
	return status == INTACT && m->r.lost ? DAMAGED : status;
}

/* One part into the whole: what it met, behind what those before met. */
static int join(struct scrub *s, struct scrub *part)
{
	int r = ranges_append(&s->bad, &part->bad);

	if (s->n + part->n > s->cap) {
		struct scrub_leaf *more = realloc(s->v, (s->n + part->n) * sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->v = more;
		s->cap = s->n + part->n;
	}
	for (size_t i = 0; i < part->n; i++) {
		if (s->n < SCRUB_KEPT)
			s->v[s->n++] = part->v[i];
		else
			s->beyond++;
	}
	for (size_t i = 0; i < part->lost.n && !r; i++)
		r = scrub_spans_add(&s->lost, part->lost.v[i].first, part->lost.v[i].n);
	for (size_t i = 0; i < part->once.n && !r; i++)
		r = scrub_spans_add(&s->once, part->once.v[i].first, part->once.v[i].n);
	s->lost.beyond += part->lost.beyond;
	s->once.beyond += part->once.beyond;
	s->beyond += part->beyond;
	s->intact += part->intact;
	s->unsealed += part->unsealed;
	s->next = part->end;
	return r;
}

static int load(void *arg, struct scrub *s)
{
	struct merging *m = arg;

	while (s->next < s->end) {
		size_t i = part_at(&m->p, s->path, s->next);
		char *name = i < m->p.n ? plan_result(&m->p, i, m->dir) : NULL;
		struct json *j = name ? state_load(name) : NULL;
		struct scrub part;
		int err = 0;

		scrub_init(&part, s->r, s->l, s->to);
		part.path = s->path;
		part.first = s->next;
		part.end = i < m->p.n ? m->p.v[i].end : s->end;
		if (!j || !state_is_of(j, &part) || !state_get_pass(j, &part) ||
		    part.next != part.end)
			err = missing(s->r, s->path, s->next);
		/* The bound of since when is ours to know: shards have no state. */
		for (size_t k = 0; k < part.n && !err; k++)
			part.v[k].good = scrub_good(s, part.v[k].index, part.v[k].since);
		if (!err)
			err = join(s, &part);
		scrub_free(&part);
		js_free(j);
		free(name);
		if (err)
			return err;
	}
	return 0;
}

/* All seals of one image, in a process of its own: the sandbox closes it for others. */
static int merge_image(struct merging *m, const char *image)
{
	const char **seal = calloc(m->p.n + 1, sizeof(*seal));
	struct args a = *m->r.a;
	size_t n = 0;
	int status = 0;
	pid_t child;

	for (size_t i = 0; seal && i < m->p.n; i++)
		if (!m->p.v[i].first && !strcmp(m->p.v[i].image, image))
			seal[n++] = m->p.v[i].seal;
	a.image = image;
	a.seal = seal;
	a.out = m->dir; /* what the sandbox lets it read */
	fflush(stdout);
	child = seal ? fork() : -1;
	if (!child) {
		status = scrub_image(&a, load, m);
		fflush(stdout);
		_exit(status);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0 || !WIFEXITED(status))
		status = UNDECIDABLE;
	else
		status = WEXITSTATUS(status);
	free(seal);
	return status;
}

/* Damage is worse than what is not decided, that than a blemish. */
static int worse(int a, int b)
{
	static const int rank[] = {[INTACT] = 0, [BLEMISHED] = 1, [UNDECIDABLE] = 2, [DAMAGED] = 3};

	return rank[a & 3] > rank[b & 3] ? a : b;
}

static int merge_scrubs(struct merging *m)
{
	int status = INTACT;

	for (size_t i = 0; i < m->p.n; i++) {
		bool first = true;

		for (size_t k = 0; k < i && first; k++)
			first = strcmp(m->p.v[i].image, m->p.v[k].image) != 0;
		if (first)
			status = worse(status, merge_image(m, m->p.v[i].image));
	}
	return status;
}

int cmd_merge(const struct args *a)
{
	struct merging m = {.dir = a->image};
	char *path = NULL;
	int status = UNDECIDABLE;

	if (a->n_rest)
		return usage_hint(a, "one DIR, not also %s", a->rest[0]);
	if (!a->plan && asprintf(&path, "%s/plan.jsonl", a->image) < 0)
		return status;
	run_init(&m.r, a);
	if (plan_load(&m.r.s, a->plan ? a->plan : path, &m.p))
		m.r.failed = true;
	else if (m.p.scrub)
		status = merge_scrubs(&m);
	else
		status = merge_seals(&m, a->output);
	/* Each image has its own summary by now. */
	if (m.p.scrub)
		m.r.on_record = NULL;
	plan_free(&m.p);
	free(path);
	return run_end(&m.r, status);
}
