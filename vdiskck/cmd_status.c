/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of scheduled scrubs, for a monitoring system: one line and an exit status as the
 * Monitoring Plugins Development Guidelines have them. Reads states and seals, never an image.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "vdiskck/commands.h"
#include "vdiskck/core/json.h"
#include "vdiskck/out_text.h"
#include "vdiskck/scrub_state.h"

enum { DAYS = 7, DAY = 86400, NAMES = 400 };
enum { OK, WARNING, CRITICAL, UNKNOWN };

struct summary {
	struct session s;
	int64_t now, limit;
	uint64_t images, damaged, leaves, overdue, late, never, broken;
	uint64_t sealed, covered; /* leaves */
	int64_t oldest;		  /* seconds since the oldest verification */
	char damaged_names[NAMES], overdue_names[NAMES];
};

static uint64_t number(const struct json *j, const char *key)
{
	uint64_t v = 0;

	js_to_u64(js_get(j, key), &v);
	return v;
}

static void add_name(char names[NAMES], const char *name)
{
	size_t n = strlen(names);

	snprintf(names + n, NAMES - n, "%s%s", n ? ", " : "", name ? name : "?");
}

static void add_age(struct summary *m, int64_t verified, const char *name)
{
	int64_t age = m->now - verified;

	if (verified && age <= m->limit && age >= -DAY) {
		m->oldest = age > m->oldest ? age : m->oldest;
		return;
	}
	/* A time that is more than a day to come is no time: a clock was wrong. */
	m->overdue++;
	if (!verified || age < -DAY)
		m->never++;
	else
		m->oldest = age > m->oldest ? age : m->oldest;
	m->late += verified && age > 2 * m->limit;
	add_name(m->overdue_names, name);
}

static void add_state(struct summary *m, const struct json *j)
{
	const struct json *last = js_get(j, "last"), *passes = js_get(j, "passes");
	const char *name = js_text(js_get(j, "name"));
	uint64_t bad = number(last, "bad_leaves"), all = 0, open = 0;

	m->images++;
	m->leaves += bad;
	if (number(last, "exit") == DAMAGED) {
		m->damaged++;
		add_name(m->damaged_names, name);
	}
	for (size_t i = 0; i < js_len(passes); i++) {
		const struct json *p = js_at(passes, i);

		all += number(p, "end") - number(p, "first");
		open += number(p, "unsealed") + number(p, "unreadable");
	}
	m->sealed += all;
	m->covered += all - (open < all ? open : all);
	add_age(m, (int64_t)number(j, "verified"), name);
}

static bool is_seal(const char *path)
{
	struct seal_page p;
	FILE *f = fopen(path, "re");
	bool is = f && fread(&p, sizeof(p), 1, f) == 1 && !memcmp(p.body, "VDCKSEAL", 8);

	if (f)
		fclose(f);
	return is;
}

/* A seal that no state speaks of: it was verified when it was made. */
static void add_seal(struct summary *m, const char *path, const char *name)
{
	struct seal *to;
	size_t n;

	if (seal_open(&m->s, path, &to)) {
		m->broken++;
		return;
	}
	m->images++;
	m->sealed += seal_leaves(to);
	m->covered += seal_leaves(to) - seal_generations(to, &n)->lost;
	add_age(m, seal_generations(to, &n)[n - 1].made, name);
	seal_close(to);
}

struct list {
	char **path;
	struct json **state;
	size_t n;
};

static const char *base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool spoken_of(const struct list *l, const char *path)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct json *passes = js_get(l->state[i], "passes");

		for (size_t k = 0; k < js_len(passes); k++) {
			const char *seal = js_text(js_get(js_at(passes, k), "seal"));

			if (seal && !strcmp(base(seal), base(path)))
				return true;
		}
	}
	return false;
}

static int read_folder(const char *dir, struct list *l)
{
	struct dirent **entry;
	int n = scandir(dir, &entry, NULL, alphasort);

	if (n < 0)
		return -errno;
	l->path = calloc((size_t)n + 1, sizeof(*l->path));
	l->state = calloc((size_t)n + 1, sizeof(*l->state));
	for (int i = 0; i < n; i++) {
		size_t len = strlen(entry[i]->d_name);
		/* What a crash left half written is no state. */
		bool beside = len > 4 && !strcmp(entry[i]->d_name + len - 4, ".new");

		if (l->path && l->state && entry[i]->d_name[0] != '.' && !beside &&
		    asprintf(&l->path[l->n], "%s/%s", dir, entry[i]->d_name) > 0) {
			struct stat st;

			if (stat(l->path[l->n], &st) || !S_ISREG(st.st_mode))
				free(l->path[l->n]);
			else
				l->n++;
		}
		free(entry[i]);
	}
	free(entry);
	return l->path && l->state ? 0 : -ENOMEM;
}

static bool ends_in(const char *path, const char *end)
{
	size_t n = strlen(path), k = strlen(end);

	return n > k && !strcmp(path + n - k, end);
}

static void add_all(struct summary *m, struct list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		l->state[i] = state_load(l->path[i]);
		if (state_is(l->state[i]))
			add_state(m, l->state[i]);
		else if (ends_in(l->path[i], ".state"))
			m->broken++;
	}
	for (size_t i = 0; i < l->n; i++)
		if (!l->state[i] && is_seal(l->path[i]) && !spoken_of(l, l->path[i]))
			add_seal(m, l->path[i], base(l->path[i]));
}

static int verdict(const struct summary *m)
{
	if (m->damaged || m->late)
		return CRITICAL;
	if (m->overdue)
		return WARNING;
	return m->broken || !m->images ? UNKNOWN : OK;
}

static void print(const struct summary *m, int status)
{
	static const char *const word[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};
	double coverage = m->sealed ? 100.0 * (double)m->covered / (double)m->sealed : 100;
	char text[3 * NAMES];
	size_t n = 0;

	n += (size_t)snprintf(text, sizeof(text), "VDISKCK %s - %" PRIu64 " images", word[status],
			      m->images);
	if (m->damaged)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
				      "; %" PRIu64 " damaged, %" PRIu64 " leaves: %s", m->damaged,
				      m->leaves, m->damaged_names);
	if (m->overdue)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "; %" PRIu64 " overdue: %s",
				      m->overdue, m->overdue_names);
	if (m->broken)
		snprintf(text + n, sizeof(text) - n, "; %" PRIu64 " files can't be read",
			 m->broken);
	/* What stands behind a bar is data to a monitoring system. */
	for (char *p = text; *p; p++)
		*p = *p == '|' ? '_' : *p;
	text_put(stdout, text);
	printf(" | 'images'=%" PRIu64 ";;;0 'damaged'=%" PRIu64 ";;0;0 'leaves'=%" PRIu64
	       ";;0;0 'overdue'=%" PRIu64 ";0;;0 'never'=%" PRIu64
	       ";0;;0 'coverage'=%.2f%%;;;0;100 'age'=%" PRId64 "s;%" PRId64 ";%" PRId64 ";0\n",
	       m->images, m->damaged, m->leaves, m->overdue, m->never, coverage, m->oldest,
	       m->limit, 2 * m->limit);
}

static void print_json(const struct summary *m, int status)
{
	struct json *j = js_object();

	js_str(j, "record", "status");
	js_int(j, "exit", status);
	js_u64(j, "images", m->images);
	js_u64(j, "damaged", m->damaged);
	js_u64(j, "bad_leaves", m->leaves);
	js_u64(j, "overdue", m->overdue);
	js_u64(j, "never", m->never);
	js_u64(j, "unreadable_files", m->broken);
	js_real(j, "coverage", m->sealed ? (double)m->covered / (double)m->sealed : 1);
	js_int(j, "oldest_seconds", m->oldest);
	puts(js_line(j));
	js_free(j);
}

int cmd_status(const struct args *a)
{
	uint64_t days = a->older_than ? a->older_than : DAYS;
	struct summary m = {.now = (int64_t)time(NULL)};
	struct list l = {0};
	int r, status;

	if (a->n_rest)
		return usage_hint(a, "one DIR, not also %s", a->rest[0]);
	if (days > 36500)
		return usage_hint(a, "--older-than %" PRIu64 ": days", days);
	m.limit = (int64_t)days * DAY;
	session_init(&m.s);
	r = read_folder(a->image, &l);
	if (r) {
		printf("VDISKCK UNKNOWN - %s: %s\n", a->image, strerror(-r));
		status = UNKNOWN;
	} else {
		add_all(&m, &l);
		status = verdict(&m);
		if (a->json)
			print_json(&m, status);
		else
			print(&m, status);
	}
	for (size_t i = 0; i < l.n; i++) {
		js_free(l.state[i]);
		free(l.path[i]);
	}
	free(l.state);
	free(l.path);
	session_fini(&m.s);
	return status;
}
