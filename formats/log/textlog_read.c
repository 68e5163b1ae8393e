/* SPDX-License-Identifier: Apache-2.0 */
/* Lines to events: a line without a time belongs to the event before it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/log/simple.h"
#include "formats/log/textlog.h"

enum {
	MESSAGE_MAX = 64 << 10, /* a longer one becomes several events, each with the time */
	CHANNEL_MAX = 64,
};

struct piece {
	size_t at, len;
};

struct records {
	const struct log_sink *sink;
	struct text_when when;
	char channel[CHANNEL_MAX];
	struct buf message, names, data;
	/* The event in hand: */
	bool open;
	bool waits;   /* for a line that has its time */
	bool more;    /* it goes on an event that was too long */
	bool noise;   /* it is a run of bytes that are no text */
	bool torn;    /* the line before had no end */
	unsigned gap; /* what is wrong with a line that begins behind a hole */
	bool local, guessed;
	struct piece host, program;
	struct log_event e;
	uint64_t pid;
	bool has_pid;
	unsigned vouch; /* what all of the file lacks */
};

/* "/var/log/syslog.2.gz" is the log "syslog". */
static void name_channel(struct records *rec, const struct layer *below)
{
	static const char *const tail[] = {".gz", ".xz", ".zst", ".cab", ".old", ".log"};
	const char *path = log_file_path(below), *base = path ? strrchr(path, '/') + 1 : "text";
	size_t n = strlen(base);

	for (size_t i = 0; i < sizeof(tail) / sizeof(*tail); i++) {
		size_t t = strlen(tail[i]), k = n;

		if (n > t && !memcmp(base + n - t, tail[i], t))
			n -= t;
		while (k && base[k - 1] >= '0' && base[k - 1] <= '9')
			k--;
		if (k > 1 && k < n && (base[k - 1] == '.' || base[k - 1] == '-'))
			n = k - 1;
	}
	/* CBS.log, as Windows puts it away. */
	if (!strncasecmp(base, "CbsPersist_", 11)) {
		base = "CBS";
		n = 3;
	}
	if (n >= CHANNEL_MAX)
		n = CHANNEL_MAX - 1;
	memcpy(rec->channel, base, n);
}

static struct log_text named(const struct records *rec, struct piece p)
{
	return p.len ? (struct log_text){rec->names.p + p.at, p.len} : (struct log_text){NULL, 0};
}

static void describe(struct records *rec)
{
	struct buf *d = &rec->data;

	log_object(d);
	if (rec->has_pid)
		log_member_u64(d, "pid", rec->pid);
	if (rec->local && rec->e.time.known)
		log_member(d, "zone", "local", 5);
	if (rec->guessed && rec->e.time.known)
		log_member(d, "year_from", rec->when.from, strlen(rec->when.from));
	if (rec->more)
		log_member(d, "continues", "the event before", 16);
	rec->e.data = log_object_end(d);
}

/* The event in hand is complete. */
static int flush(struct records *rec)
{
	struct log_event *e = &rec->e;

	if (!rec->open)
		return 0;
	if (rec->noise) {
		rec->message.len = 0;
		buf_u64(&rec->message, e->len);
		buf_lit(&rec->message, " bytes that are no text");
	}
	rec->open = rec->waits = rec->noise = false;
	e->failed |= rec->vouch;
	e->state = e->failed ? LOG_DOUBTFUL : LOG_INTACT;
	e->source = "text";
	e->channel = (struct log_text){rec->channel, strlen(rec->channel)};
	e->provider = named(rec, rec->program);
	e->computer = named(rec, rec->host);
	e->message = (struct log_text){rec->message.p, rec->message.len};
	e->written = e->time;
	describe(rec);
	if (rec->message.failed || rec->names.failed || rec->data.failed)
		return -ENOMEM;
	return log_send(rec->sink, e);
}

static struct piece keep(struct records *rec, struct log_text t)
{
	struct piece p = {rec->names.len, t.len};

	buf_put(&rec->names, t.p, t.len);
	return p;
}

/* An event begins with @line; it may be one that has no time of its own. */
static void begin(struct records *rec, const struct text_line *line, const struct text_parts *parts)
{
	const struct text_stamp *t = &parts->t;

	rec->names.len = rec->message.len = 0;
	rec->open = true;
	rec->more = false;
	rec->e = (struct log_event){.off = line->off, .len = line->raw};
	rec->e.level = parts->level;
	rec->host = keep(rec, parts->host);
	rec->program = keep(rec, parts->program);
	rec->has_pid = parts->has_pid;
	rec->pid = parts->pid;
	rec->e.has_record_id = false;
	rec->e.event_id = parts->id;
	rec->e.has_event_id = parts->has_id;
	if (parts->kind)
		rec->e.time = text_when(&rec->when, t);
	rec->local = parts->kind && !t->zoned;
	rec->guessed = parts->kind && !t->year && !t->epoch && !t->uptime;
	rec->e.failed = (line->lost ? LOG_LOST : 0) | (parts->kind ? 0 : rec->gap) |
			(line->noise ? LOG_CONTENT : 0);
	buf_put(&rec->message, parts->message.p, parts->message.len);
}

static int more(struct records *rec, const struct text_line *line)
{
	int r = 0;

	if (rec->message.len + line->len > MESSAGE_MAX) {
		r = flush(rec);
		rec->open = rec->more = true;
		rec->message.len = 0;
		rec->e.off = line->off;
		rec->e.len = 0;
		rec->e.failed = 0;
	} else if (!rec->torn) {
		buf_char(&rec->message, '\n');
	}
	buf_put(&rec->message, line->p, line->len);
	rec->e.len = line->off + line->raw - rec->e.off;
	rec->e.failed |= (line->lost ? LOG_LOST : 0) | (line->noise ? LOG_CONTENT : 0);
	return r;
}

/* ">>>  Section start ...", behind the line that the section begins with. */
static int take_time(struct records *rec, const struct text_line *line,
		     const struct text_parts *parts)
{
	rec->waits = false;
	rec->e.time = text_when(&rec->when, &parts->t);
	rec->local = true;
	return more(rec, line);
}

/* What took the place of lines: one event, however long. What it hit began before, and ends behind it. */
static int take_noise(struct records *rec, const struct text_line *line)
{
	const struct text_parts none = {0};
	int r = 0;

	if (!rec->noise) {
		r = flush(rec);
		begin(rec, line, &none);
		rec->noise = true;
	}
	rec->e.len = line->off + line->raw - rec->e.off;
	rec->e.failed |= line->lost ? LOG_LOST : LOG_CONTENT;
	rec->gap = LOG_CONTENT;
	rec->torn = false;
	return r;
}

static int take(struct records *rec, const struct text_line *line)
{
	struct text_parts parts;
	bool leads = text_leads(line->p, line->len);
	int r = 0;

	if (rec->noise && line->hole && line->raw < TEXT_HOLE_MIN)
		return take_noise(rec, line);
	if (line->hole) {
		/* What the line before went on with is not there, nor what the next one begins with. */
		rec->gap = line->lost ? LOG_LOST : LOG_CONTENT;
		if (rec->open && rec->torn)
			rec->e.failed |= rec->gap;
		rec->torn = false;
		return flush(rec);
	}
	text_parse(line->p, line->len, &parts);
	/* Noise has line ends in it, too: nothing can be told of a few bytes between two. */
	if ((line->noise || (rec->noise && line->len < TEXT_TELLING)) && !parts.kind && !rec->torn)
		return take_noise(rec, line);
	if (rec->noise)
		r = flush(rec);
	if (r)
		return r;
	if (rec->torn && rec->open)
		r = more(rec, line);
	else if (rec->waits && parts.kind)
		r = take_time(rec, line, &parts);
	else if (rec->open && !parts.kind && !leads)
		r = more(rec, line);
	else if (line->len || !line->ended) {
		r = flush(rec);
		begin(rec, line, &parts);
		rec->waits = leads;
	}
	rec->gap = 0;
	rec->torn = !line->ended;
	return r;
}

/* The first pass: what the lines of the log say about each other's times. */
static int note_times(struct layer *l, struct records *rec)
{
	struct text_lines x = {.in = l};
	struct text_parts parts;
	struct text_line line;
	bool torn = false;
	int r;

	while ((r = text_next(&x, &line)) == 1) {
		bool whole = !torn && !line.hole;

		torn = !line.hole && !line.ended;
		if (!whole)
			continue;
		text_parse(line.p, line.len, &parts);
		if (parts.kind)
			text_when_note(&rec->when, &parts);
	}
	text_end(&x);
	text_when_done(&rec->when, &rec->sink->modified);
	return r;
}

int textlog_records(struct layer *l, const struct log_sink *sink)
{
	struct records rec = {.sink = sink};
	const struct textlog *t = l->priv;
	struct text_lines x = {.in = l};
	struct text_line line;
	int r;

	rec.vouch = t->broken ? LOG_SUM : 0;
	name_channel(&rec, l->below);
	r = note_times(l, &rec);
	while (!r && (r = text_next(&x, &line)) == 1)
		r = take(&rec, &line);
	if (!r)
		r = flush(&rec);
	text_end(&x);
	buf_free(&rec.message);
	buf_free(&rec.names);
	buf_free(&rec.data);
	return r;
}
