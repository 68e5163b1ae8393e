/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/logs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/drivers.h"
#include "formats/stack.h"
#include "recover/providers.h"
#include "vdiskck/core/glob.h"
#include "vdiskck/core/session.h"
#include "vdiskck/filespec.h"

enum { JUMP = 60 /* seconds */ };

struct log_place *logs_place(struct logs *g, const char *layer, const char *path)
{
	struct log_place *more = realloc(g->place, (g->n_places + 1) * sizeof(*more));
	char *name;

	if (!more)
		return NULL;
	g->place = more;
	if (asprintf(&name, "%s%s%s", layer, path ? ":" : "", path ? path : "") < 0)
		return NULL;
	g->place[g->n_places] = (struct log_place){.name = name};
	g->before = (struct log_time){0};
	return &g->place[g->n_places++];
}

static bool wanted(const struct logs *g, const struct log_event *e)
{
	const struct logs_filter *w = &g->want;
	char channel[256];

	if ((w->since.known || w->until.known) && !e->time.known)
		return false;
	if (w->since.known && e->time.sec < w->since.sec)
		return false;
	if (w->until.known && e->time.sec > w->until.sec)
		return false;
	if (w->source && !glob_match(w->source, e->source, GLOB_NOCASE))
		return false;
	snprintf(channel, sizeof(channel), "%.*s",
		 (int)(e->channel.len < 255 ? e->channel.len : 255), e->channel.p);
	return !w->channel || glob_match(w->channel, channel, GLOB_NOCASE);
}

/* Each gap is a channel of its own in the ledger of what carving found. */
static struct log_text gap_name(const struct log_gap *p, const struct logs *g, char out[32])
{
	int n = snprintf(out, 32, "%zu", (size_t)(p - g->gap));

	return (struct log_text){out, (size_t)n};
}

/* A carved record may be one that a live log lost: then it is not missing any more. */
static int found_again(struct logs *g, const struct log_event *e)
{
	char name[32];
	int r = 0;

	for (size_t i = 0; i < g->n_gaps && e->has_record_id && !r; i++) {
		const struct log_gap *p = &g->gap[i];

		if (e->record_id >= p->first && e->record_id <= p->last &&
		    strlen(p->channel) == e->channel.len &&
		    !memcmp(p->channel, e->channel.p, e->channel.len))
			r = ledger_seen(g->regained, gap_name(p, g, name), e->record_id, e->state);
	}
	return r;
}

/* On a worker thread: a key and a line for each event that is wanted. */
int logs_render(void *arg, const struct log_event *e, struct buf *out)
{
	struct logs *g = arg;
	struct log_event with = *e;
	struct event_key k = event_sort_key(e);
	size_t at = out->len;
	int r = e->state == LOG_CARVED || g->older ? found_again(g, e) : 0;

	if (r || !wanted(g, e))
		return r;
	with.path = g->path;
	k.mark = g->mark ? g->mark(e) : 0;
	buf_put(out, &k, sizeof(k));
	log_json(out, &with);
	if (out->failed)
		return -ENOMEM;
	k.len = (uint32_t)(out->len - at - sizeof(k));
	memcpy(out->p + at, &k, sizeof(k));
	return 0;
}

static void count(struct logs *g, struct log_place *p, const struct event_key *k)
{
	struct log_time t = {k->sec, k->nsec, k->known};

	p->n[k->state]++;
	if (!t.known)
		return;
	if (!p->first.known || t.sec < p->first.sec)
		p->first = t;
	if (!p->last.known || t.sec > p->last.sec)
		p->last = t;
	if (k->state != LOG_INTACT || g->unordered)
		return;
	p->jumps += g->before.known && t.sec < g->before.sec - JUMP;
	g->before = t;
}

/* One at a time, in file order: events as render() made them. */
int logs_text(void *arg, const char *p, size_t len)
{
	struct logs *g = arg;
	struct event_key k;
	int r = 0;

	while (len >= sizeof(k) && !r) {
		memcpy(&k, p, sizeof(k));
		count(g, &g->place[g->n_places - 1], &k);
		r = g->on_event(g->arg, &k, p + sizeof(k));
		p += sizeof(k) + k.len;
		len -= sizeof(k) + k.len;
	}
	return r;
}

static int keep_gap(void *arg, const struct ledger_channel *c, uint64_t first, uint64_t last)
{
	struct logs *g = arg;
	struct log_gap *more = realloc(g->gap, (g->n_gaps + 1) * sizeof(*more));
	char name[32];

	if (!more)
		return -ENOMEM;
	g->gap = more;
	more += g->n_gaps;
	*more = (struct log_gap){strdup(c->name), g->n_places - 1, first, last};
	if (!more->channel)
		return -ENOMEM;
	g->n_gaps++;
	return ledger_claim(g->regained, gap_name(more, g, name), first, last);
}

struct sums {
	uint64_t seen, missing;
};

static int add_up(void *arg, const struct ledger_channel *c)
{
	struct sums *s = arg;

	s->seen += c->n[LOG_INTACT] + c->n[LOG_DOUBTFUL];
	s->missing += c->missing;
	return 0;
}

/*
 * Ids that are missing. Those of a journal have gaps, for users' journals count with the system's: only
 * if as many are missing as it says it has more than it does, it is known which.
 */
static int note_gaps(struct logs *g, struct layer *l, struct log_ledger *ledger)
{
	const struct log_driver *d = log_format(l);
	struct log_place *p = &g->place[g->n_places - 1];
	struct sums s = {0};
	int r;

	if (!d->stated)
		return ledger_walk(ledger, NULL, keep_gap, g);
	p->stated = d->stated(l);
	r = ledger_walk(ledger, add_up, NULL, &s);
	if (r || p->stated <= s.seen)
		return r;
	if (p->stated - s.seen == s.missing)
		return ledger_walk(ledger, NULL, keep_gap, g);
	p->missing = p->stated - s.seen;
	return 0;
}

static int read_log(struct logs *g, struct layer *l)
{
	const struct log_driver *d = log_format(l);
	struct log_place *p;
	struct log_sink sink = {.arg = g,
				.render = logs_render,
				.text = logs_text,
				.slack = g->carve,
				.run = g->run,
				.words = g->words,
				.modified = g->modified};
	int r;

	p = &g->place[g->n_places - 1];
	p->source = d->ops->name;
	g->unordered = d->unordered;
	/* What an older link misses was not written then, or is in a newer one. */
	if (!g->older) {
		sink.ledger = ledger_new();
		if (!sink.ledger)
			return -ENOMEM;
	}
	r = d->records(l, &sink);
	if (!r && sink.ledger)
		r = note_gaps(g, l, sink.ledger);
	p->no_news = d->no_news && !(p->n[LOG_INTACT] + p->n[LOG_DOUBTFUL] + p->n[LOG_CARVED]);
	ledger_free(sink.ledger);
	return r;
}

/* The log layer on a file; NULL: none can be opened. */
static struct layer *log_on(struct layer *f)
{
	struct layer *l = f->child;

	while (l && (l->state || !log_format(l)))
		l = l->next;
	return l;
}

void logs_close_words(struct logs *g)
{
	providers_close(g->words);
	g->words = NULL;
}

static bool fits(const struct log_driver *d, const char *path)
{
	for (const char *const *w = d->where; w && *w; w++)
		if (glob_match(*w, path, GLOB_NOCASE))
			return true;
	return false;
}

/* Whose files are read only where --source names them: that driver, if the file at @path is one. */
static const struct log_driver *asked_for(const struct logs *g, const char *path)
{
	for (size_t i = 0; log_formats[i] && g->want.source; i++)
		if (log_formats[i]->asked &&
		    glob_match(g->want.source, log_formats[i]->ops->name, GLOB_NOCASE) &&
		    fits(log_formats[i], path))
			return log_formats[i];
	return NULL;
}

/* Is the file at @path a log by its place? Not if only those are there which are few among others. */
static bool expected(const char *path)
{
	for (size_t i = 0; log_formats[i]; i++)
		if (!log_formats[i]->rare && fits(log_formats[i], path))
			return true;
	return false;
}

static int read_file(struct logs *g, struct layer *fs, const struct fs_entry *e)
{
	const struct log_driver *d = asked_for(g, e->path);
	const struct layer_ops *const only[] = {d ? d->ops : NULL, NULL};
	struct log_place *p = logs_place(g, fs->path, e->path);
	struct layer *f = NULL;
	int r = p ? fs->ops->fs->open_file(fs, e, &f) : -ENOMEM;

	if (!r)
		r = stack_discover_as(f, d ? only : log_drivers);
	if (p)
		p->deleted = e->deleted;
	if (!r && !log_on(f) && !expected(e->path)) {
		free(p->name);
		g->n_places--;
		layer_free(f);
		return 0;
	}
	if (!r && !g->tree && g->make_tree) {
		g->tree = g->make_tree(g->arg);
		g->dirs.t = g->tree;
		r = g->tree ? 0 : -EIO;
	}
	if (!r && g->tree && !(log_on(f) && log_format(log_on(f))->large))
		r = logs_copy(g, f, fs->path, e->path, &p->lost);
	if (!r && log_on(f)) {
		g->path = e->path;
		g->modified = (struct log_time){e->modified.sec, e->modified.nsec, e->modified.set};
		/* What was deleted may be overwritten since: that is no damage. */
		if (g->check && !g->older && !e->deleted && log_on(f)->ops->check)
			r = log_on(f)->ops->check(log_on(f));
		if (!r)
			r = read_log(g, log_on(f));
		g->path = NULL;
		g->modified = (struct log_time){0};
	} else if (!r) {
		p->unread = true;
	}
	layer_free(f);
	/* What stops one log is no reason to leave the others alone. */
	return r == -EBADMSG || r == -EOPNOTSUPP ? 0 : r;
}

struct search {
	struct logs *g;
	struct layer *fs;
	struct fs_entry *
		*e; /* opening files while the walk goes on is the driver's business, not ours */
	size_t n, cap;
};

static int keep_log(struct search *s, const struct fs_entry *e)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 64;
		struct fs_entry **more = realloc(s->e, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->e = more;
		s->cap = cap;
	}
	s->e[s->n] = fs_entry_copy(e);
	return s->e[s->n++] ? 0 : -ENOMEM;
}

static int is_log(void *arg, const struct fs_entry *e)
{
	struct search *s = arg;

	if (session_stopped(s->fs->s))
		return -EINTR;
	if (e->kind != FS_FILE || !e->size)
		return 0;
	for (size_t i = 0; log_formats[i]; i++)
		if (!log_formats[i]->asked && fits(log_formats[i], e->path))
			return keep_log(s, e);
	return asked_for(s->g, e->path) ? keep_log(s, e) : 0;
}

static int read_volume(struct logs *g, struct layer *fs)
{
	const struct fs_query q = {.recursive = true, .deleted = true, .system = true};
	struct search s = {.g = g, .fs = fs};
	int r = fs->ops->fs->walk(fs, &q, is_log, &s);

	if (!r && s.n)
		r = providers_open(fs, &g->words);
	for (size_t i = 0; i < s.n; i++) {
		if (!r && s.e[i])
			r = read_file(g, fs, s.e[i]);
		fs_entry_free(s.e[i]);
	}
	free(s.e);
	logs_close_words(g);
	return r;
}

static int visit(void *arg, struct layer *l)
{
	struct logs *g = arg;

	if (!layer_within(l, g->r->volume) || l->state || l->chain_child)
		return 0;
	if (log_format(l))
		return logs_place(g, l->below->path, NULL) ? read_log(g, l) : -ENOMEM;
	return l->ops->kind == LAYER_FILESYSTEM ? read_volume(g, l) : 0;
}

struct links {
	struct layer **v;
	size_t n;
};

static int find_link(void *arg, struct layer *l)
{
	struct links *k = arg;
	struct layer **more;

	if (!l->chain_child || l->state || l->child)
		return 0;
	more = realloc(k->v, (k->n + 1) * sizeof(struct layer *));
	if (!more)
		return -ENOMEM;
	k->v = more;
	k->v[k->n++] = l;
	return 0;
}

/*
 * Older links of a chain are the disk as it was: their logs may have what was overwritten since. What
 * is wrong with them is no news, and nobody is asked for their keys.
 */
static int read_older(struct logs *g)
{
	struct session *s = &g->r->s;
	bool (*on_locked)(void *, struct layer *) = s->on_locked;
	struct links k = {0};
	int r = stack_walk(g->r->source, find_link, &k);

	s->on_locked = NULL;
	g->older = true;
	session_mute(true);
	for (size_t i = k.n; i > 0 && !r; i--) {
		struct layer *l = k.v[i - 1];

		r = stack_discover(l);
		if (!r)
			r = stack_walk(l, visit, g);
		for (struct layer *c = l->child, *next; c; c = next) {
			next = c->next;
			layer_free(c);
		}
		l->child = NULL;
	}
	session_mute(false);
	g->older = false;
	s->on_locked = on_locked;
	free(k.v);
	return r;
}

int logs_read(struct logs *g)
{
	int r;

	g->regained = ledger_new();
	g->run = log_run_new();
	g->dirs.t = g->tree;
	r = g->regained && g->run ? stack_walk(g->r->source, visit, g) : -ENOMEM;
	if (!r && g->carve)
		r = read_older(g);
	if (!r && g->carve)
		r = logs_carve(g);
	if (r == -EINTR)
		run_interrupted(g->r, "events so far stand", "the rest was not read");
	else if (r && !g->r->failed)
		run_fail(g->r, r, "%s: logs", g->r->a->image);
	return r;
}

void logs_free(struct logs *g)
{
	for (size_t i = 0; i < g->n_places; i++)
		free(g->place[i].name);
	for (size_t i = 0; i < g->n_gaps; i++)
		free(g->gap[i].channel);
	free(g->place);
	free(g->gap);
	ledger_free(g->regained);
	log_run_free(g->run);
	out_dirs_close(&g->dirs);
}

struct missing {
	struct logs *g;
	int (*fn)(void *arg, const struct log_gap *in, uint64_t first, uint64_t last);
	void *arg;
};

static int still_missing(void *arg, const struct ledger_channel *c, uint64_t first, uint64_t last)
{
	const struct missing *m = arg;

	return m->fn(m->arg, &m->g->gap[strtoul(c->name, NULL, 10)], first, last);
}

int logs_missing(struct logs *g,
		 int (*fn)(void *arg, const struct log_gap *in, uint64_t first, uint64_t last),
		 void *arg)
{
	struct missing m = {g, fn, arg};

	return g->regained ? ledger_walk(g->regained, NULL, still_missing, &m) : 0;
}
