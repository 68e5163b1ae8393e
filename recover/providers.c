/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources: [MS-EVEN6] 1.3 and winmeta (publishers, by GUID, in SOFTWARE); "Eventlog Key" of the
 * Windows SDK (sources, by log and name, in SYSTEM); "MUI Resource Management" for *.mui.
 */
#include "recover/providers.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "formats/fs/fs.h"
#include "formats/log/msgtable.h"
#include "recover/hive.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

enum {
	NAMES = 2048,	/* bytes of a list of programs */
	FILES_MAX = 16, /* programs of a provider */
	RELATIVES = 8,	/* other keys of the same provider */
	PROGRAMS_MAX = 4096,
	LOCALES = 64,
};

struct provider {
	char *name;
	char *log; /* its source's; NULL: a publisher */
	uint8_t id[16];
	bool has_id, loaded;
	char *messages, *parameters; /* programs, ";" between them */
	struct msgtable *own[2];
	struct log_provider tables;
};

/* A program that was read; @t NULL: nothing was to be had. */
struct program {
	char *path;
	struct msgtable *t;
};

struct providers {
	struct log_words words; /* first */
	struct layer *fs;
	struct provider *v; /* by name, then log */
	size_t n, cap;
	struct provider **by_id;
	size_t n_ids;
	char locale[LOCALES][16]; /* folders of .mui files, English first */
	size_t n_locales;
	struct program *program;
	size_t n_programs;
	size_t bytes;
	pthread_mutex_t lock;
	int err;
};

#define CONFIG "/Windows/System32/config/"

/* "a;b" and "c" become "a;b;c". */
static void add_names(struct providers *s, char **list, const char *more)
{
	char *all;

	if (!*more)
		return;
	if (asprintf(&all, "%s%s%s", *list ? *list : "", *list ? ";" : "", more) < 0) {
		s->err = -ENOMEM;
		return;
	}
	free(*list);
	*list = all;
}

static struct provider *add(struct providers *s, const char *name, const char *log)
{
	struct provider *p;

	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 512;

		p = cap <= PROVIDERS_MAX ? realloc(s->v, cap * sizeof(*p)) : NULL;
		if (!p)
			return NULL;
		s->v = p;
		s->cap = cap;
	}
	p = &s->v[s->n];
	*p = (struct provider){.name = strdup(name), .log = log ? strdup(log) : NULL};
	if (!p->name || (log && !p->log)) {
		s->err = -ENOMEM;
		free(p->name);
		return NULL;
	}
	s->n++;
	return p;
}

struct reading {
	struct providers *s;
	const struct regf *h;
	const char *log; /* EventLog's key in hand */
};

static void add_value(struct reading *r, uint32_t key, const char *name, char **list)
{
	char text[NAMES];

	if (!regf_key_text(r->h, key, name, text, sizeof(text)))
		add_names(r->s, list, text);
}

/* WINEVT\Publishers\{GUID}: the name is the default value. */
static int publisher(void *arg, uint32_t key)
{
	struct reading *r = arg;
	char id[REGF_NAME_MAX], name[REGF_NAME_MAX] = "";
	size_t len = regf_key_name(r->h, key, id);
	uint8_t guid[16];
	struct provider *p;

	if (!guid_parse_le(id, len, guid))
		return 0;
	regf_key_text(r->h, key, "", name, sizeof(name));
	p = add(r->s, name, NULL);
	if (!p)
		return r->s->err;
	memcpy(p->id, guid, sizeof(p->id));
	p->has_id = true;
	add_value(r, key, "MessageFileName", &p->messages);
	add_value(r, key, "ResourceFileName", &p->messages);
	add_value(r, key, "ParameterFileName", &p->parameters);
	return r->s->err;
}

/* Services\EventLog\LOG\SOURCE */
static int source(void *arg, uint32_t key)
{
	struct reading *r = arg;
	char name[REGF_NAME_MAX], id[64] = "";
	struct provider *p;

	regf_key_name(r->h, key, name);
	p = add(r->s, name, r->log);
	if (!p)
		return r->s->err;
	regf_key_text(r->h, key, "ProviderGuid", id, sizeof(id));
	p->has_id = guid_parse_le(id, strlen(id), p->id);
	add_value(r, key, "EventMessageFile", &p->messages);
	add_value(r, key, "ParameterMessageFile", &p->parameters);
	return r->s->err;
}

static int event_log(void *arg, uint32_t key)
{
	struct reading *r = arg;
	char name[REGF_NAME_MAX];

	regf_key_name(r->h, key, name);
	r->log = name;
	return regf_each_subkey(r->h, key, source, r);
}

static int read_hive(struct providers *s, const char *path, bool sources)
{
	static const char publishers[] = "Microsoft\\Windows\\CurrentVersion\\WINEVT\\Publishers";
	struct layer *file, *hive;
	int r = hive_open(s->fs, path, &file, &hive);
	struct reading read = {.s = s};
	uint32_t at, set = 1;
	char key[64];

	if (hive) {
		read.h = regf_of(hive);
		regf_u32(read.h, "Select", "Current", &set);
		snprintf(key, sizeof(key), "ControlSet%03u\\Services\\EventLog", set % 1000);
		if (!regf_find(read.h, read.h->root, sources ? key : publishers, &at))
			r = regf_each_subkey(read.h, at, sources ? event_log : publisher, &read);
	}
	layer_free(file);
	return r == -ENOMEM ? r : 0;
}

static int compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int r = strncasecmp(a, b, a_len < b_len ? a_len : b_len);

	return r ? r : a_len < b_len ? -1 : a_len > b_len;
}

/* Publishers first, then sources, in the order of logs. */
static int by_name(const void *a, const void *b)
{
	const struct provider *x = a, *y = b;
	int r = compare(x->name, strlen(x->name), y->name, strlen(y->name));

	return r ? r : strcasecmp(x->log ? x->log : "", y->log ? y->log : "");
}

static int by_id(const void *a, const void *b)
{
	const struct provider *x = *(struct provider *const *)a, *y = *(struct provider *const *)b;

	return memcmp(x->id, y->id, sizeof(x->id));
}

/* en-US, de-DE, sr-Latn-RS: where the system's own .mui files are. */
static int locale(void *arg, const struct fs_entry *e)
{
	struct providers *s = arg;
	const char *name = strrchr(e->path, '/') + 1, *dash = strchr(name, '-');

	if (e->kind != FS_DIR || e->deleted || !dash || dash - name < 2 || dash - name > 3 ||
	    strlen(name) >= sizeof(s->locale[0]) || s->n_locales == LOCALES)
		return 0;
	strcpy(s->locale[s->n_locales++], name);
	return 0;
}

static int by_language(const void *a, const void *b)
{
	const char *x = a, *y = b;
	bool x_english = !strncasecmp(x, "en-", 3), y_english = !strncasecmp(y, "en-", 3);

	return x_english != y_english ? (int)y_english - (int)x_english : strcasecmp(x, y);
}

/* The tables of the program at @path, if there is one. -ENOMEM, or 0. */
static int read_program(struct providers *s, const char *path, struct msgtable *t)
{
	struct fs_entry *e;
	struct layer *f = NULL;
	int r = fs_find(s->fs, path, &e);

	if (!r && e->kind == FS_FILE)
		r = s->fs->ops->fs->open_file(s->fs, e, &f);
	if (!r && f)
		r = msgtable_add(t, f);
	layer_free(f);
	fs_entry_free(e);
	return r == -ENOMEM ? r : 0;
}

/* The program and its .mui files. Any of them may have what is asked for. */
static struct msgtable *program(struct providers *s, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct program *more;
	struct msgtable *t;
	char *mui;

	for (size_t i = 0; i < s->n_programs; i++)
		if (!strcasecmp(s->program[i].path, path))
			return s->program[i].t;
	more = realloc(s->program, (s->n_programs + 1) * sizeof(*more));
	t = s->bytes < PROVIDERS_BYTES && s->n_programs < PROGRAMS_MAX ? msgtable_new() : NULL;
	if (!more || !t) {
		s->program = more ? more : s->program;
		msgtable_free(t);
		return NULL;
	}
	s->program = more;
	more += s->n_programs++;
	*more = (struct program){strdup(path), t};
	if (!more->path) {
		s->n_programs--;
		msgtable_free(t);
		return NULL;
	}
	s->err = read_program(s, path, t);
	for (size_t i = 0; i < s->n_locales && !s->err; i++) {
		if (asprintf(&mui, "%.*s/%s/%s.mui", (int)(slash - path), path, s->locale[i],
			     slash + 1) < 0)
			break;
		s->err = read_program(s, mui, t);
		free(mui);
	}
	s->bytes += msgtable_bytes(t);
	return t;
}

static void add_programs(struct providers *s, const char *list, struct msgtable **t)
{
	unsigned budget = FILES_MAX;

	for (const char *p = list; p && *p && budget--;) {
		size_t len = strcspn(p, ";");
		char named[NAMES], path[NAMES + 64];
		const struct msgtable *of;

		snprintf(named, sizeof(named), "%.*s", (int)len, p);
		p += len + (p[len] == ';');
		of = *named ? program(s, providers_path(named, path, sizeof(path))) : NULL;
		if (of && !*t)
			*t = msgtable_new();
		if (of && *t)
			msgtable_also(*t, of);
	}
}

/*
 * A publisher may be a source as well, under its name or with its GUID in the source's key: then its
 * classic events have their texts in the source's programs.
 */
static void add_from(struct providers *s, struct provider *p, const struct provider *of)
{
	add_programs(s, of->messages, &p->own[0]);
	add_programs(s, of->parameters, &p->own[1]);
}

/* Where providers with that GUID begin, or would. */
static size_t first_with(const struct providers *s, const uint8_t *id)
{
	size_t lo = 0, hi = s->n_ids;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (memcmp(s->by_id[mid]->id, id, sizeof(s->by_id[mid]->id)) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void load(struct providers *s, struct provider *p)
{
	unsigned budget = RELATIVES;
	size_t i = 0;

	p->loaded = true;
	session_mute(true);
	add_from(s, p, p);
	for (struct provider *o = p; o > s->v && !strcasecmp(o[-1].name, p->name) && budget;
	     budget--)
		add_from(s, p, --o);
	for (struct provider *o = p + 1; o < s->v + s->n && !strcasecmp(o->name, p->name) && budget;
	     o++, budget--)
		add_from(s, p, o);
	for (i = p->has_id ? first_with(s, p->id) : s->n_ids;
	     i < s->n_ids && !memcmp(s->by_id[i]->id, p->id, sizeof(p->id)) && budget;
	     i++, budget--)
		if (s->by_id[i] != p && strcasecmp(s->by_id[i]->name, p->name))
			add_from(s, p, s->by_id[i]);
	session_mute(false);
	p->tables = (struct log_provider){p->own[0], p->own[1]};
}

static struct provider *named(struct providers *s, struct log_text name, struct log_text channel)
{
	struct provider *found = NULL;
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (compare(s->v[mid].name, strlen(s->v[mid].name), name.p, name.len) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < s->n && name.len; lo++) {
		struct provider *p = &s->v[lo];

		if (compare(p->name, strlen(p->name), name.p, name.len))
			break;
		if (!found || (p->log && !compare(p->log, strlen(p->log), channel.p, channel.len)))
			found = p;
	}
	return found;
}

static const struct log_provider *find(struct log_words *w, struct log_text channel,
				       struct log_text name, const uint8_t *id)
{
	struct providers *s = (struct providers *)w;
	size_t i = id ? first_with(s, id) : s->n_ids;
	struct provider *p;

	p = i < s->n_ids && !memcmp(s->by_id[i]->id, id, sizeof(p->id)) ? s->by_id[i]
									: named(s, name, channel);
	if (!p)
		return NULL;
	pthread_mutex_lock(&s->lock);
	if (!p->loaded)
		load(s, p);
	pthread_mutex_unlock(&s->lock);
	return &p->tables;
}

static int index_ids(struct providers *s)
{
	s->by_id = calloc(s->n, sizeof(*s->by_id));
	if (!s->by_id)
		return -ENOMEM;
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].has_id)
			s->by_id[s->n_ids++] = &s->v[i];
	qsort(s->by_id, s->n_ids, sizeof(*s->by_id), by_id);
	return 0;
}

int providers_open(struct layer *fs, struct log_words **w)
{
	struct providers *s = calloc(1, sizeof(*s));
	int r;

	*w = NULL;
	if (!s)
		return -ENOMEM;
	s->words.find = find;
	s->fs = fs;
	pthread_mutex_init(&s->lock, NULL);
	session_mute(true);
	r = read_hive(s, CONFIG "SOFTWARE", false);
	if (!r)
		r = read_hive(s, CONFIG "SYSTEM", true);
	if (!r && s->n) {
		qsort(s->v, s->n, sizeof(*s->v), by_name);
		r = index_ids(s);
		fs->ops->fs->walk(fs, &(struct fs_query){.dir = "/Windows/System32"}, locale, s);
		qsort(s->locale, s->n_locales, sizeof(s->locale[0]), by_language);
	}
	session_mute(false);
	if (r || !s->n) {
		providers_close(&s->words);
		return r;
	}
	*w = &s->words;
	return 0;
}

void providers_close(struct log_words *w)
{
	struct providers *s = (struct providers *)w;

	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++) {
		struct provider *p = &s->v[i];

		free(p->name);
		free(p->log);
		free(p->messages);
		free(p->parameters);
		msgtable_free(p->own[0]);
		msgtable_free(p->own[1]);
	}
	for (size_t i = 0; i < s->n_programs; i++) {
		free(s->program[i].path);
		msgtable_free(s->program[i].t);
	}
	free(s->program);
	free(s->v);
	free(s->by_id);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
