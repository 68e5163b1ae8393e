/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/moments.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/log/log.h"
#include "formats/stack.h"
#include "recover/hive.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/source.h"
#include "vdiskck/core/text.h"
#include "vdiskck/filespec.h"
#include "vdiskck/out_entry.h"
#include "vdiskck/out_json.h"

enum what { MODIFIED, CHANGED, BORN, ACCESSED, KEY_WRITTEN, STATED };

/* As Timesketch's users know them from other tools. */
static const char *const description[] = {
	[MODIFIED] = "Content Modification Time",
	[CHANGED] = "Metadata Modification Time",
	[BORN] = "Creation Time",
	[ACCESSED] = "Last Access Time",
	[KEY_WRITTEN] = "Registry Key Written",
	[STATED] = "Stated by the format",
};

struct finding_times {
	struct moments *m;
	struct run *r;
	const char *source, *layer;
	bool hive;
};

static uint64_t distance(const struct moments *m, const struct moment *a)
{
	if (m->last == INT64_MIN)
		return (uint64_t)(INT64_MAX - a->sec);
	return a->sec < m->last ? (uint64_t)m->last - (uint64_t)a->sec
				: (uint64_t)a->sec - (uint64_t)m->last;
}

static int by_distance(const void *pa, const void *pb, void *arg)
{
	uint64_t a = distance(arg, pa), b = distance(arg, pb);

	return a < b ? -1 : a > b;
}

static int by_time(const void *pa, const void *pb)
{
	const struct moment *a = pa, *b = pb;

	if (a->sec != b->sec)
		return a->sec < b->sec ? -1 : 1;
	if (a->nsec != b->nsec)
		return a->nsec < b->nsec ? -1 : 1;
	return strcmp(a->path, b->path);
}

/* Twice as many as are kept fit: then the farther half goes, so that each costs little. */
static int add(struct moments *m, const struct moment *in)
{
	if (m->n == m->cap && m->cap < 2 * MOMENTS_KEPT) {
		size_t cap = m->cap ? 2 * m->cap : 1024;
		struct moment *more;

		if (cap > 2 * MOMENTS_KEPT)
			cap = 2 * MOMENTS_KEPT;
		more = realloc(m->v, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		m->v = more;
		m->cap = cap;
	}
	if (m->n == m->cap) {
		qsort_r(m->v, m->n, sizeof(*m->v), by_distance, m);
		for (; m->n > MOMENTS_KEPT; m->left++)
			free(m->v[--m->n].path);
	}
	m->v[m->n] = *in;
	m->v[m->n].path = strdup(in->path);
	if (!m->v[m->n].path)
		return -ENOMEM;
	m->n++;
	return 0;
}

static int add_time(struct finding_times *t, const struct fs_entry *e, const struct fs_time *at,
		    enum what what)
{
	const struct moment in = {at->sec,   at->nsec, (uint32_t)what,
				  t->source, t->layer, (char *)(uintptr_t)e->path,
				  e->deleted};

	if (!at->set || (t->m->last != INT64_MIN && at->sec < t->m->last - MOMENTS_BEFORE))
		return 0;
	return add(t->m, &in);
}

static int on_entry(void *arg, const struct fs_entry *e)
{
	struct finding_times *t = arg;
	int err;

	if (session_stopped(&t->r->s))
		return -EINTR;
	if (t->hive) /* a value has no time of its own */
		return e->kind == FS_DIR ? add_time(t, e, &e->modified, KEY_WRITTEN) : 0;
	err = add_time(t, e, &e->modified, MODIFIED);
	if (!err)
		err = add_time(t, e, &e->changed, CHANGED);
	if (!err)
		err = add_time(t, e, &e->born, BORN);
	return err ? err : add_time(t, e, &e->accessed, ACCESSED);
}

static int walk(struct finding_times *t, struct layer *fs)
{
	const struct fs_query all = {.recursive = true, .deleted = true};
	int err = fs->ops->fs->walk(fs, &all, on_entry, t);

	/* What can't be walked has a finding. */
	return err == -EINTR || err == -ENOMEM ? err : 0;
}

/* The keys of the hives that every Windows has. */
static int hives(struct moments *m, struct run *r, struct layer *fs)
{
	static const char *const name[] = {"SYSTEM", "SOFTWARE", "SAM", "SECURITY", "DEFAULT"};
	int err = 0;

	for (size_t i = 0; i < sizeof(name) / sizeof(*name) && !err; i++) {
		struct layer *file = NULL, *hive = NULL;
		char path[64], **more;

		snprintf(path, sizeof(path), "/Windows/System32/config/%s", name[i]);
		if (hive_open(fs, path, &file, &hive) || !hive) {
			layer_free(file);
			continue;
		}
		more = realloc(m->hive, (m->n_hives + 1) * sizeof(*more));
		if (more)
			m->hive = more;
		/* The layer goes; its name is needed until the end. */
		if (!more || asprintf(&m->hive[m->n_hives], "%s:%s", fs->path, path) < 0) {
			err = -ENOMEM;
		} else {
			struct finding_times t = {m, r, "regf", m->hive[m->n_hives++], true};

			err = walk(&t, hive);
		}
		layer_free(file);
	}
	return err;
}

/* A fact that is a time: "created 2026-01-01T00:00:00Z". */
static void on_fact(void *arg, const char *key, struct json *v)
{
	struct finding_times *t = arg;
	struct log_time at;
	const char *text = js_kind(v) == JSON_STRING ? js_text(v) : "";
	size_t len = strlen(text);
	struct moment in = {0, 0, STATED, t->source, t->layer, (char *)(uintptr_t)key, false};

	if (len < 20 || text[len - 1] != 'Z' || !log_time_parse(text, len, &at) || !at.known)
		return;
	in.sec = at.sec;
	in.nsec = at.nsec;
	add(t->m, &in);
}

static int on_layer(void *arg, struct layer *l)
{
	struct finding_times *t = arg;
	struct json *facts = js_object();
	int64_t mtime;

	if (!layer_within(l, t->r->volume)) {
		js_free(facts);
		return 0;
	}
	t->source = l->ops->name;
	t->layer = l->path;
	layer_info(l, facts);
	js_each(facts, on_fact, t);
	js_free(facts);
	if (l->ops->kind == LAYER_SOURCE && source_mtime(l, &mtime))
		return add(t->m, &(struct moment){mtime, 0, STATED, t->source, t->layer,
						  (char *)(uintptr_t) "modified", false});
	return 0;
}

/* Without a log, the newest time is what the last hours are counted from. */
static void cut_front(struct moments *m)
{
	size_t keep = 0;

	while (m->n && keep < m->n && m->v[keep].sec < m->v[m->n - 1].sec - MOMENTS_BEFORE) {
		if (m->v[keep].what == STATED)
			break;
		free(m->v[keep++].path);
	}
	m->n -= keep;
	if (keep)
		memmove(m->v, m->v + keep, m->n * sizeof(*m->v));
}

int moments_find(struct moments *m, struct run *r, int64_t last, bool known)
{
	struct finding_times t = {m, r, NULL, NULL, false};
	struct volumes vs = {0};
	int err;

	*m = (struct moments){.last = known ? last : INT64_MIN};
	err = volumes_find(r, &vs);
	for (size_t i = 0; i < vs.n && !err; i++) {
		t.source = vs.v[i].l->ops->name;
		t.layer = vs.v[i].l->path;
		err = walk(&t, vs.v[i].l);
		if (!err && vs.v[i].windows)
			err = hives(m, r, vs.v[i].l);
	}
	/* What layers state, however old it is: but alone it makes no timeline. */
	if (!err && (m->n || known))
		err = stack_walk(r->source, on_layer, &t);
	volumes_free(&vs);
	if (m->n > MOMENTS_KEPT) {
		qsort_r(m->v, m->n, sizeof(*m->v), by_distance, m);
		for (; m->n > MOMENTS_KEPT; m->left++)
			free(m->v[--m->n].path);
	}
	if (m->n)
		qsort(m->v, m->n, sizeof(*m->v), by_time);
	if (!known)
		cut_front(m);
	return err;
}

static void put(FILE *f, const struct moment *a)
{
	char when[TIME_TEXT];
	struct line l = {0};

	line_text(&l, "{\"datetime\":");
	line_json(&l, time_text(a->sec, a->nsec, when));
	line_text(&l, ",\"timestamp_desc\":");
	line_json(&l, description[a->what]);
	line_text(&l, ",\"message\":");
	if (a->what == STATED) {
		struct line text = {0};

		line_text(&text, a->layer);
		line_text(&text, ": ");
		line_text(&text, a->path);
		line_bytes(&text, "", 1);
		line_json(&l, text.failed ? a->path : text.p);
		free(text.p);
	} else {
		line_json(&l, a->path);
	}
	line_text(&l, ",\"record\":\"time\",\"source\":");
	line_json(&l, a->source);
	line_text(&l, ",\"layer\":");
	line_json(&l, a->layer);
	if (a->what != STATED) {
		line_text(&l, ",\"path\":");
		line_json(&l, a->path);
	}
	if (a->deleted)
		line_text(&l, ",\"deleted\":true");
	line_text(&l, "}\n");
	if (!l.failed)
		fwrite(l.p, 1, l.len, f);
	free(l.p);
}

void moments_until(struct moments *m, FILE *f, int64_t sec)
{
	for (; m->next < m->n && m->v[m->next].sec < sec; m->next++)
		put(f, &m->v[m->next]);
}

void moments_free(struct moments *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->v[i].path);
	for (size_t i = 0; i < m->n_hives; i++)
		free(m->hive[i]);
	free(m->v);
	free(m->hive);
	*m = (struct moments){0};
}
