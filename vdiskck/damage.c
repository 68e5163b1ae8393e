/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/damage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/stack.h"
#include "recover/locate.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/text.h"
#include "vdiskck/out_entry.h"
#include "vdiskck/out_json.h"
#include "vdiskck/out_text.h"

enum {
	SHOWN = 8,	   /* files of one rank before "and N more" */
	LOOKS = 1000000,   /* pieces that are followed down to findings */
	OVERLAPPING = 256, /* findings of one layer that may claim one piece */
	LAYERS = 32,
};

/* The bytes of its layer that a finding is about. */
struct claim {
	const char *layer; /* as collect has it: one pointer for each layer */
	uint64_t off, end;
	uint64_t reach; /* the highest end of this and all before it in the layer */
	struct entry *e;
};

struct naming {
	struct run *r;
	struct claim *v;
	size_t n;
	uint64_t looks;
	/* Names of layers that were met already. */
	struct known {
		const struct layer *l;
		const char *name; /* NULL: no finding is about it */
	} known[LAYERS];
	size_t n_known;
};

static int by_place(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;

	if (x->layer != y->layer)
		return (uintptr_t)x->layer < (uintptr_t)y->layer ? -1 : 1;
	if (x->off != y->off)
		return x->off < y->off ? -1 : 1;
	return x->e->number < y->e->number ? -1 : x->e->number > y->e->number;
}

static int make_claims(struct naming *n)
{
	struct collect *c = &n->r->found;

	n->v = malloc((c->n + 1) * sizeof(*n->v));
	if (!n->v)
		return -ENOMEM;
	for (size_t i = 0; i < c->n; i++) {
		struct entry *e = &c->v[i];

		if ((e->lost || e->doubtful) && !e->path)
			n->v[n->n++] = (struct claim){e->layer, e->off, e->off + e->len, 0, e};
	}
	qsort(n->v, n->n, sizeof(*n->v), by_place);
	for (size_t i = 0; i < n->n; i++) {
		struct claim *p = i && n->v[i - 1].layer == n->v[i].layer ? &n->v[i - 1] : NULL;

		n->v[i].reach = p && p->reach > n->v[i].end ? p->reach : n->v[i].end;
	}
	return 0;
}

/* The pointer that claims on @l have. */
static const char *claimed_name(struct naming *n, const struct layer *l)
{
	const char *name = NULL;

	for (size_t i = 0; i < n->n_known; i++)
		if (n->known[i].l == l)
			return n->known[i].name;
	for (size_t i = 0; i < n->n && !name; i++)
		if ((!i || n->v[i].layer != n->v[i - 1].layer) && !strcmp(n->v[i].layer, l->path))
			name = n->v[i].layer;
	if (n->n_known < LAYERS)
		n->known[n->n_known++] = (struct known){l, name};
	return name;
}

/* Findings about bytes of @w get the path. */
static void claim_all(struct naming *n, const struct where *w, const char *path)
{
	const char *name = claimed_name(n, w->l);
	size_t lo = 0, hi = n->n;

	if (!name)
		return;
	while (lo < hi) { /* the first in this layer that may reach the bytes */
		size_t mid = lo + (hi - lo) / 2;
		const struct claim *c = &n->v[mid];

		if ((uintptr_t)c->layer < (uintptr_t)name ||
		    (c->layer == name && c->reach <= w->off))
			lo = mid + 1;
		else
			hi = mid;
	}
	for (size_t k = 0; lo < n->n && n->v[lo].layer == name && n->v[lo].off < w->off + w->len &&
			   k < OVERLAPPING;
	     lo++, k++)
		if (n->v[lo].end > w->off && entry_hits(n->v[lo].e, path))
			n->r->found.no_memory = true;
}

/* What lies below a piece of a file, and which findings are about it. */
static int on_owner(void *arg, struct layer *fs, const struct fs_owner *o)
{
	struct naming *n = arg;
	char *path = NULL;
	uint64_t done = 0;
	int err = 0;

	if (!o->file || !n->n)
		return 0;
	if (asprintf(&path, "%s:%s", fs->path, o->file->path) < 0)
		return -ENOMEM;
	while (done < o->len && !err && n->looks < LOOKS) {
		struct location loc;

		n->looks++;
		err = locate_down(fs, o->off + done, o->len - done, &loc);
		for (size_t i = 0; i < loc.n && !err; i++)
			claim_all(n, &loc.w[i], path);
		done += err ? 0 : loc.w[loc.n - 1].len;
	}
	free(path);
	return err;
}

static int seed(struct run *r, struct impact *im, const struct ranges *bad)
{
	int err = bad && bad->n ? impact_seed(im, disk_layer(r->source), bad) : 0;

	for (size_t i = 0; i < r->found.n_lost && !err; i++) {
		struct layer *l = stack_find(r->source, r->found.lost[i].layer);

		if (l && !l->state)
			err = impact_seed(im, l, &r->found.lost[i].r);
	}
	return err;
}

/* Findings of file systems that name a file, whatever bytes they know of. */
static int named(struct run *r)
{
	int err = 0;

	for (size_t i = 0; i < r->found.n && !err; i++) {
		const struct entry *e = &r->found.v[i];
		struct layer *l = e->path ? stack_find(r->source, e->layer) : NULL;

		if (l && finding_severity(e->id) == DAMAGE)
			err = files_hit_named(&r->hit, l, e->path, e->id);
	}
	return err;
}

int damage_by_name(struct run *r, const struct ranges *bad)
{
	struct naming n = {.r = r};
	struct impact im = {0};
	int err = seed(r, &im, bad);

	if (!err && im.n)
		err = impact_run(&im, r->source);
	if (!err && im.n)
		err = make_claims(&n);
	r->hit.on_owner = on_owner;
	r->hit.arg = &n;
	if (!err && im.n)
		err = files_hit_run(&r->hit, &im);
	if (!err)
		err = named(r);
	if (!err)
		err = damage_structures(r);
	files_hit_sort(&r->hit);
	r->hit.on_owner = NULL;
	free(n.v);
	impact_free(&im);
	if (err && err != -EINTR)
		return run_fail(r, err, "%s: which files the damage hit", r->a->image);
	return 0;
}

static void put_file(FILE *f, const struct file_hit *h)
{
	char name[1024], size[SIZE_TEXT], of[SIZE_TEXT];

	fputs("    ", f);
	text_put(f, h->fs->path);
	if (h->path)
		fprintf(f, ":%s", name_escape(h->path, strlen(h->path), name, sizeof(name)));
	else
		fprintf(f, ": %s",
			name_escape(h->structure, strlen(h->structure), name, sizeof(name)));
	if (h->lost)
		fprintf(f, "  %s", size_text(h->lost, size));
	if (h->lost && h->path)
		fprintf(f, " of %s", size_text(h->size, of));
	if (h->lost)
		fputs(" lost", f);
	if (h->doubtful)
		fprintf(f, "%s %s doubtful", h->lost ? "," : " ", size_text(h->doubtful, size));
	if (h->path && h->first != UINT64_MAX)
		fprintf(f, ", from 0x%" PRIx64 " on", h->first);
	if (h->path && h->structure) {
		fputs(h->lost || h->doubtful ? ", and its " : "  its ", f);
		text_put(f, h->structure);
	}
	for (unsigned i = 0; i < h->n_why; i++)
		fprintf(f, "%s%s", i ? ", " : "  [", finding_name(h->why[i]));
	fputs(h->n_why ? "]\n" : "\n", f);
}

static size_t in_rank(const struct files_hit *h, size_t from)
{
	size_t n = from;

	while (n < h->n && h->v[n].rank == h->v[from].rank)
		n++;
	return n - from;
}

void damage_text(FILE *f, const struct run *r)
{
	const struct files_hit *h = &r->hit;
	char size[SIZE_TEXT];

	if (!h->n && !h->free_lost && !h->free_doubtful)
		return;
	fputs("files hit, worst first:\n", f);
	for (size_t i = 0, n; i < h->n; i += n) {
		size_t shown;

		n = in_rank(h, i);
		shown = r->a->verbose || n <= SHOWN ? n : SHOWN;
		fprintf(f, "  %s: %zu\n", rank_name(h->v[i].rank), n);
		for (size_t k = 0; k < shown; k++)
			put_file(f, &h->v[i + k]);
		if (shown < n)
			fprintf(f, "    ... and %zu more (-v or --json lists them)\n", n - shown);
	}
	if (h->more)
		fprintf(f, "  more than is listed: another %s of files\n",
			size_text(h->more_bytes, size));
	if (h->free_lost + h->free_doubtful)
		fprintf(f, "  %s: %s\n", rank_name(RANK_FREE),
			size_text(h->free_lost + h->free_doubtful, size));
}

static void record(struct run *r, struct file_hit *h)
{
	struct json *j = js_object(), *why = js_array();

	js_str(j, "record", "file");
	js_str(j, "layer", h->fs->path);
	if (h->path) {
		js_str(j, "path", h->path);
		js_u64(j, "size", h->size);
		js_u64(j, "id", h->id);
		js_bool(j, "deleted", h->deleted);
	}
	if (h->structure)
		js_str(j, "structure", h->structure);
	js_str(j, "rank", rank_name(h->rank));
	js_u64(j, "lost", h->lost);
	js_u64(j, "doubtful", h->doubtful);
	if (h->structure_lost)
		js_u64(j, "structure_lost", h->structure_lost);
	if (h->first != UINT64_MAX)
		js_u64(j, "file_offset", h->first);
	for (unsigned i = 0; i < h->n_why; i++)
		js_add_str(why, finding_name(h->why[i]));
	js_put(j, "why", why);
	run_record(r, j);
	h->told = true;
}

void damage_records(struct run *r)
{
	for (size_t i = 0; i < r->hit.n && r->on_record; i++)
		if (!r->hit.v[i].told)
			record(r, &r->hit.v[i]);
}
