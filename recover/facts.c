/* SPDX-License-Identifier: Apache-2.0 */
#include "recover/facts.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"

int fact_key(const struct fact_source *s, const char *key, char *out, size_t cap, uint32_t *cell)
{
	snprintf(out, cap, "%s%s%s", s->set, *s->set && *key ? "\\" : "", key);
	return regf_find(s->h, s->h->root, out, cell);
}

void fact_add(struct fact_source *s, const char *name, const char *key, const char *value,
	      const char *fmt, ...)
{
	struct os_fact *more =
		s->f->n < FACTS_MAX ? realloc(s->f->v, (s->f->n + 1) * sizeof(*more)) : NULL;
	char text[FACT_VALUE];
	va_list ap;

	if (!more) {
		s->err = s->f->n < FACTS_MAX ? -ENOMEM : s->err;
		return;
	}
	s->f->v = more;
	more += s->f->n;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	*more = (struct os_fact){.name = name, .value = strdup(text)};
	if (asprintf(&more->place, "%s%s%s%s%s", s->file, *key ? ":\\" : "", key, value ? ":" : "",
		     value ? value : "") < 0)
		more->place = NULL;
	if (!more->value || !more->place) {
		s->err = -ENOMEM;
		free(more->value);
		free(more->place);
		return;
	}
	s->f->n++;
}

int facts_read(struct layer *fs, bool all, struct os_facts *f)
{
	int r;

	*f = (struct os_facts){0};
	/* Who checks the volume reports what is wrong with these files. */
	session_mute(true);
	r = facts_windows(fs, all, f);
	if (!r && !*f->os)
		r = facts_linux(fs, all, f);
	session_mute(false);
	return r;
}

void facts_free(struct os_facts *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->v[i].value);
		free(f->v[i].place);
	}
	free(f->v);
	f->v = NULL;
	f->n = 0;
}

struct json *json_fact(const struct os_fact *f)
{
	struct json *j = js_object();

	js_str(j, "record", "fact");
	js_str(j, "fact", f->name);
	js_str(j, "value", f->value);
	js_str(j, "place", f->place);
	return j;
}
