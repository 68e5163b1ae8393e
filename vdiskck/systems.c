/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/systems.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/drivers.h"
#include "formats/stack.h"
#include "vdiskck/core/json.h"
#include "vdiskck/mounts.h"
#include "vdiskck/out_text.h"

enum { SYSTEMS_MAX = 64 };

struct reading {
	struct run *r;
	bool all;
	struct systems *s;
};

static int visit(void *arg, struct layer *l)
{
	struct reading *x = arg;
	struct os_facts f;
	struct system *more;
	int err;

	if (l->ops->kind != LAYER_FILESYSTEM || l->ops == &regf_ops || l->state || !l->ops->fs ||
	    !layer_within(l, x->r->volume) || x->s->n == SYSTEMS_MAX)
		return 0;
	err = facts_read(l, x->all, &f);
	more = err || !*f.os ? NULL : realloc(x->s->v, (x->s->n + 1) * sizeof(*more));
	if (!more) {
		facts_free(&f);
		return err ? err : *f.os ? -ENOMEM : 0;
	}
	x->s->v = more;
	x->s->v[x->s->n++] = (struct system){l, f};
	return 0;
}

int systems_read(struct run *r, bool all, struct systems *s)
{
	struct reading x = {r, all, s};
	int err;

	*s = (struct systems){0};
	err = stack_walk(r->source, visit, &x);
	return err ? run_fail(r, err, "%s: what its systems say", r->a->image) : 0;
}

void systems_free(struct systems *s)
{
	for (size_t i = 0; i < s->n; i++)
		facts_free(&s->v[i].facts);
	free(s->v);
	*s = (struct systems){0};
}

void systems_records(struct run *r, const struct systems *s)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct os_facts *f = &s->v[i].facts;
		struct json *j = js_object(), *mounts = mounts_json(s->v[i].fs);

		js_str(j, "record", "system");
		js_str(j, "layer", s->v[i].fs->path);
		js_str(j, "os", f->os);
		if (*f->computer)
			js_str(j, "computer", f->computer);
		if (mounts)
			js_put(j, "mounts", mounts);
		run_record(r, j);
		for (size_t k = 0; k < f->n; k++)
			run_record(r, json_fact(&f->v[k]));
	}
}

static void put_name(FILE *f, const struct system *s)
{
	text_put(f, s->facts.os);
	if (*s->facts.computer) {
		fputs(" on ", f);
		text_put(f, s->facts.computer);
	}
	fputs(" (", f);
	text_put(f, s->fs->path);
	fputc(')', f);
}

void systems_names(FILE *f, const struct systems *s)
{
	for (size_t i = 0; i < s->n; i++) {
		fputs("system: ", f);
		put_name(f, &s->v[i]);
		fputc('\n', f);
		mounts_text(f, s->v[i].fs);
	}
}

void systems_text(FILE *f, const struct systems *s)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct os_facts *o = &s->v[i].facts;

		fputs("\nwhat it says about itself, ", f);
		put_name(f, &s->v[i]);
		fputs(":\n", f);
		for (size_t k = 0; k < o->n; k++) {
			fprintf(f, "  %-20s ", o->v[k].name);
			text_put(f, o->v[k].value);
			fputc('\n', f);
		}
	}
}

const struct os_fact *systems_fact(const struct systems *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		for (size_t k = 0; k < s->v[i].facts.n; k++)
			if (!strcmp(s->v[i].facts.v[k].name, name))
				return &s->v[i].facts.v[k];
	return NULL;
}
