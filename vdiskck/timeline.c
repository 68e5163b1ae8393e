/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/timeline.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "recover/symptoms.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/text.h"
#include "vdiskck/moments.h"
#include "vdiskck/out_json.h"
#include "vdiskck/out_text.h"

enum { EVENTS_BUFFER = 1 << 17 };

struct making {
	struct timeline *t;
	struct run *r;
	struct logs g;
	char *folder; /* CASE/logs */
	struct out_tree tree;
	struct event_sort *sort;
	struct case_file *timeline;
	FILE *events;
	int dir; /* CASE */
	struct case_tree in_case;
	struct log_time newest; /* of the events so far that no carving found */
	struct moments moments;
};

static unsigned mark(const struct log_event *e)
{
	return symptom_of(e);
}

static int keep(void *arg, const struct event_key *k, const char *line)
{
	struct making *m = arg;

	m->t->doubtful += k->state == LOG_DOUBTFUL;
	m->t->carved += k->state == LOG_CARVED;
	if (k->known && k->state != LOG_CARVED && (!m->newest.known || k->sec > m->newest.sec))
		m->newest = (struct log_time){k->sec, k->nsec, true};
	return event_sort_add(m->sort, k, line);
}

/* An image without logs leaves no folder for them. */
static struct out_tree *make_tree(void *arg)
{
	struct making *m = arg;

	if (m->tree.fd < 0 && out_tree_open(&m->tree, &m->r->s, m->folder))
		return NULL;
	m->tree.making = case_tree_made;
	m->tree.arg = &m->in_case;
	return &m->tree;
}

/* The value of a string of the record, as it stands there: it is escaped already. */
static const char *member(const char *line, size_t len, const char *key, size_t *n)
{
	const char *p = memmem(line, len, key, strlen(key)), *end;

	if (!p)
		return NULL;
	p += strlen(key);
	for (end = p; end < line + len && *end != '"'; end++)
		end += *end == '\\';
	*n = (size_t)(end - p);
	return end < line + len ? p : NULL;
}

/* Timesketch wants datetime, timestamp_desc and message; the record's own members follow. */
static void put_timesketch(FILE *f, const char *line, size_t len)
{
	size_t time_len, n;
	const char *time = member(line, len, "\"time\":\"", &time_len);
	const char *message = member(line, len, ",\"message\":\"", &n);

	if (!time)
		return;
	fprintf(f, "{\"datetime\":\"%.*s\",\"timestamp_desc\":\"Event Logged\",", (int)time_len,
		time);
	if (!message) {
		size_t p_len = 0;
		const char *provider = member(line, len, "\"provider\":\"", &p_len);
		const char *id = memmem(line, len, "\"event_id\":", 11);

		fprintf(f, "\"message\":\"%.*s", (int)p_len, provider ? provider : "");
		if (id)
			fprintf(f, " event %.*s", (int)strspn(id + 11, "0123456789"), id + 11);
		fputs("\",", f);
	}
	fwrite(line + 1, 1, len - 1, f);
}

static int see(struct timeline *t, const struct event_key *k, const char *line)
{
	struct symptom_seen *last = t->n_seen ? &t->seen[t->n_seen - 1] : NULL;

	t->symptoms++;
	if (last && last->rule == k->mark) {
		last->times++;
		last->time = (struct log_time){k->sec, k->nsec, k->known};
		return 0;
	}
	if (t->n_seen == SYMPTOMS_KEPT) {
		free(t->seen[0].line);
		memmove(t->seen, t->seen + 1, (SYMPTOMS_KEPT - 1) * sizeof(*t->seen));
		t->n_seen--;
	}
	last = &t->seen[t->n_seen];
	*last = (struct symptom_seen){{k->sec, k->nsec, k->known}, k->mark, 1, NULL};
	last->line = strndup(line, k->len ? k->len - 1 : 0);
	if (!last->line)
		return -ENOMEM;
	t->n_seen++;
	return 0;
}

static int put(void *arg, const struct event_key *k, const char *line)
{
	struct making *m = arg;
	struct timeline *t = m->t;
	int r = t->on_event ? t->on_event(t->arg, k, line) : 0;

	if (r)
		return r;
	t->events++;
	if (k->known) {
		struct log_time now = {k->sec, k->nsec, true};

		if (!t->first.known)
			t->first = now;
		t->last = now;
		moments_until(&m->moments, case_stream(m->timeline), k->sec);
		put_timesketch(case_stream(m->timeline), line, k->len);
	}
	if (fwrite(line, 1, k->len, m->events) != k->len)
		return -errno;
	return k->mark ? see(t, k, line) : 0;
}

/* CASE/logs/events.jsonl, and the same for CASE/timeline.jsonl */
static int write_events(struct making *m, struct case_dir *c)
{
	struct out_tree *tree = make_tree(m);
	char *buffer;
	int fd, r;

	if (!tree)
		return -EIO;
	case_made(c, "logs/events.jsonl");
	fd = openat(tree->fd, "events.jsonl", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	m->events = fd < 0 ? NULL : fdopen(fd, "w");
	if (!m->events)
		return run_fail(m->r, -errno, "%s/events.jsonl", m->folder);
	buffer = malloc(EVENTS_BUFFER); /* without one of its own, a stream keeps to 4 KiB */
	if (buffer)
		setvbuf(m->events, buffer, _IOFBF, EVENTS_BUFFER);
	r = event_sort_each(m->sort, put, m, &m->t->copies);
	if (fclose(m->events) && !r)
		r = -errno;
	free(buffer);
	return r ? run_fail(m->r, r, "%s/events.jsonl", m->folder) : 0;
}

/* All of the timeline: what logs say, and between it the times that nothing logged. */
static int write_timeline(struct making *m, struct case_dir *c)
{
	bool events = event_sort_count(m->sort) != 0;
	int r = session_stopped(&m->r->s)
			? 0
			: moments_find(&m->moments, m->r, m->newest.sec, m->newest.known);

	if (r && r != -EINTR)
		run_fail(m->r, r, "the times of files");
	r = 0;
	if (!events && !m->moments.n)
		return 0;
	m->timeline = case_file(c, "timeline.jsonl");
	if (!m->timeline)
		return -EIO;
	if (events)
		r = write_events(m, c);
	if (r) {
		case_drop(m->timeline);
		return r;
	}
	moments_until(&m->moments, case_stream(m->timeline), INT64_MAX);
	return case_commit(m->timeline);
}

static int count_missing(void *arg, const struct log_gap *in, uint64_t first, uint64_t last)
{
	struct making *m = arg;
	struct json *j = js_object();

	m->t->missing += last - first + 1;
	js_str(j, "record", "missing");
	js_str(j, "log", m->g.place[in->place].name);
	js_str(j, "channel", in->channel);
	js_u64(j, "first", first);
	js_u64(j, "last", last);
	run_record(m->r, j);
	return 0;
}

int timeline_make(struct timeline *t, struct run *r, struct case_dir *c)
{
	struct making m = {.t = t, .r = r, .tree = {.fd = -1}, .dir = -1};
	int err = -ENOMEM, e;

	m.in_case = (struct case_tree){c, "logs"};
	case_made(c, "logs");
	case_made(c, ".events.tmp"); /* event_sort.c */
	m.g = (struct logs){.r = r,
			    .carve = r->s.opt.data,
			    .check = true,
			    .make_tree = make_tree,
			    .mark = mark,
			    .on_event = keep,
			    .arg = &m};
	if (asprintf(&m.folder, "%s/logs", r->a->output) < 0)
		m.folder = NULL;
	m.dir = open(r->a->output, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	m.sort = m.dir < 0 ? NULL : event_sort_new(m.dir);
	if (m.folder && m.sort)
		err = logs_read(&m.g);
	if (!err || err == -EINTR) {
		for (size_t i = 0; i < m.g.n_places; i++) {
			t->logs += m.g.place[i].source != NULL;
			if (m.g.place[i].source || m.g.place[i].unread)
				run_record(r, json_log(&m.g.place[i]));
		}
		logs_missing(&m.g, count_missing, &m);
		e = write_timeline(&m, c);
		err = e ? e : err;
	}
	moments_free(&m.moments);
	event_sort_free(m.sort);
	logs_free(&m.g);
	out_tree_close(&m.tree);
	if (m.dir >= 0)
		close(m.dir);
	free(m.folder);
	return err;
}

void timeline_free(struct timeline *t)
{
	for (size_t i = 0; i < t->n_seen; i++)
		free(t->seen[i].line);
	t->n_seen = 0;
}

void timeline_text(FILE *f, const struct timeline *t)
{
	char a[TIME_TEXT], b[TIME_TEXT];

	if (!t->events)
		return;
	fprintf(f, "\nlogs: %" PRIu64 " events of %" PRIu64 " logs", t->events, t->logs);
	if (t->first.known)
		fprintf(f, ", %s to %s", time_text(t->first.sec, 0, a),
			time_text(t->last.sec, 0, b));
	if (t->carved)
		fprintf(f, ", %" PRIu64 " carved", t->carved);
	if (t->doubtful)
		fprintf(f, ", %" PRIu64 " doubtful", t->doubtful);
	if (t->missing)
		fprintf(f, ", %" PRIu64 " records MISSING", t->missing);
	fputc('\n', f);
	if (t->n_seen)
		fprintf(f, "what they say of trouble (%" PRIu64 " events; the last ones):\n",
			t->symptoms);
	for (size_t i = 0; i < t->n_seen; i++) {
		const struct symptom_seen *s = &t->seen[i];

		fprintf(f, "  %-24s %s", s->time.known ? time_text(s->time.sec, 0, a) : "no time",
			symptom_text(s->rule));
		if (s->times > 1)
			fprintf(f, " (%" PRIu64 " times)", s->times);
		fputc('\n', f);
	}
}
