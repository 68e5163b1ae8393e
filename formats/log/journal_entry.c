/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of a journal as events, in file order. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/drivers.h"
#include "formats/log/formats.h"
#include "formats/log/journal.h"
#include "vdiskck/core/session.h"

enum {
	KNOWN_FIELDS = 4096, /* fields that are kept unpacked: entries share them */
	KEEP_MAX = 4096,     /* bytes of a field that is kept */
	SPEND_MAX = 1 << 30, /* bytes of larger ones, and 16 times the file's size */
};

/* What an event shows beside the fields as they are. */
enum texts { MESSAGE, IDENTIFIER, COMM, HOST, PRIORITY, TEXTS };

struct known {
	uint64_t off;
	struct journal_field f;
};

struct journal_events {
	struct journal *j;
	const struct log_sink *sink;
	bool carved;
	struct known *known;
	struct buf data, text[TEXTS];
	uint64_t spent; /* bytes of fields too large to be kept */
};

/* The field at @off, unpacked; kept by @rec or, if large, by the caller: *@own. */
static int field(struct journal_events *rec, uint64_t off, struct journal_field *f, bool *own)
{
	struct known *k = &rec->known[off / 8 % KNOWN_FIELDS];
	/* Where carving tries whether a journal was compact, one place is read in two ways. */
	uint64_t key = off | (rec->j->flags & JOURNAL_COMPACT ? 1 : 0);
	int r;

	*own = false;
	if (off % 8)
		return -EBADMSG;
	if (k->off == key && k->f.p) {
		*f = k->f;
		return 0;
	}
	/* One packed field that many entries name would be unpacked for each of them. */
	if (rec->spent > SPEND_MAX + 16 * (rec->j->end - rec->j->start))
		return -EBADMSG;
	r = journal_field(rec->j, off, f);
	if (r)
		return r;
	rec->spent += f->len > KEEP_MAX ? f->len : 0;
	*own = f->len > KEEP_MAX;
	if (!*own) {
		free(k->f.p);
		*k = (struct known){key, *f};
	}
	return 0;
}

static bool is(const struct journal_field *f, const char *name, struct log_text *value)
{
	size_t n = strlen(name);

	if (f->len <= n || memcmp(f->p, name, n) || f->p[n] != '=')
		return false;
	*value = (struct log_text){(const char *)f->p + n + 1, f->len - n - 1};
	return true;
}

/* Fields that an event shows by themselves are copied: @known may drop them for later ones. */
static void notice(struct journal_events *rec, const struct journal_field *f)
{
	static const char *const name[TEXTS] = {[MESSAGE] = "MESSAGE",
						[IDENTIFIER] = "SYSLOG_IDENTIFIER",
						[COMM] = "_COMM",
						[HOST] = "_HOSTNAME",
						[PRIORITY] = "PRIORITY"};
	struct log_text v;

	for (size_t i = 0; i < TEXTS; i++)
		if (is(f, name[i], &v)) {
			rec->text[i].len = 0;
			buf_put(&rec->text[i], v.p, v.len);
		}
}

static struct log_text shown(const struct journal_events *rec, enum texts i)
{
	const struct buf *b = &rec->text[i];

	return b->len ? (struct log_text){b->p, b->len} : (struct log_text){NULL, 0};
}

static struct log_text level(const struct journal_events *rec)
{
	static const char *const name[] = {"emergency", "alert",  "critical", "error",
					   "warning",	"notice", "info",     "debug"};
	struct log_text p = shown(rec, PRIORITY);
	const char *n = p.len == 1 && *p.p >= '0' && *p.p <= '7' ? name[*p.p - '0'] : NULL;

	return (struct log_text){n, n ? strlen(n) : 0};
}

/* "NAME":"VALUE"; a name that comes again is the next member of the same name. */
static void put_field(struct buf *b, const struct journal_field *f)
{
	const uint8_t *eq = memchr(f->p, '=', f->len);
	size_t name = eq ? (size_t)(eq - f->p) : f->len;

	buf_str(b, b->p[b->len - 1] == '{' ? "\"" : ",\"");
	buf_json(b, (const char *)f->p, name);
	buf_lit(b, "\":\"");
	if (eq)
		buf_json(b, (const char *)eq + 1, f->len - name - 1);
	buf_char(b, '"');
}

/* What an entry's own hash is made of: the fields, whatever their order. */
static uint64_t combined(const struct journal *j, const struct journal_field *f)
{
	return j->flags & JOURNAL_KEYED ? f->jenkins : f->hash;
}

/* What was gathered of one entry. */
struct gathered {
	uint64_t sum;
	unsigned failed;
};

static int gather_one(struct journal_events *rec, const struct journal_items *it, size_t i,
		      struct gathered *g)
{
	struct journal_field f;
	bool own;
	int r = field(rec, it->off[i], &f, &own);

	if (r == -EBADMSG)
		g->failed |= LOG_CONTENT;
	if (r)
		return r == -EBADMSG ? 0 : r;
	if (!rec->carved && (!f.ok || (it->hash[i] && it->hash[i] != f.hash)))
		g->failed |= LOG_SUM;
	g->sum ^= combined(rec->j, &f);
	put_field(&rec->data, &f);
	notice(rec, &f);
	if (own)
		free(f.p);
	return 0;
}

static int gather(struct journal_events *rec, const struct journal_entry *e,
		  const struct journal_items *it, struct gathered *g)
{
	char boot[33];
	int r = 0;

	rec->data.len = 0;
	for (size_t i = 0; i < TEXTS; i++)
		rec->text[i].len = 0;
	buf_char(&rec->data, '{');
	if (le64(e->seqnum)) {
		for (int i = 0; i < 16; i++)
			sprintf(boot + 2 * i, "%02x", e->boot_id[i]);
		buf_lit(&rec->data, "\"boot_id\":\"");
		buf_put(&rec->data, boot, 32);
		buf_lit(&rec->data, "\",\"monotonic\":");
		buf_u64(&rec->data, le64(e->monotonic));
	}
	if (rec->data.failed)
		return -ENOMEM;
	for (size_t i = 0; i < it->n && !r; i++)
		r = gather_one(rec, it, i, g);
	if (it->cut || (!g->failed && g->sum != le64(e->xor_hash)))
		g->failed |= LOG_HEADER;
	if (rec->carved && g->failed)
		buf_lit(&rec->data, ",\"complete\":false");
	buf_char(&rec->data, '}');
	for (size_t i = 0; i < TEXTS; i++)
		rec->data.failed |= rec->text[i].failed;
	return r ? r : rec->data.failed ? -ENOMEM : 0;
}

static int send(struct journal_events *rec, const struct log_event *ev)
{
	const struct log_sink *sink = rec->sink;
	struct buf out = {0};
	int r = 0;

	if (sink->ledger)
		r = ledger_seen(sink->ledger, ev->channel, ev->record_id, ev->state);
	if (!r && sink->event)
		r = sink->event(sink->arg, ev);
	if (!r && sink->render) {
		r = sink->render(sink->arg, ev, &out);
		if (!r)
			r = out.failed ? -ENOMEM : sink->text(sink->arg, out.p, out.len);
		buf_free(&out);
	}
	return r;
}

int journal_fits(struct journal_events *rec, const struct journal_entry *e,
		 const struct journal_items *it)
{
	struct gathered g = {.sum = 0};
	int r = gather(rec, e, it, &g);

	return r ? r : !g.failed;
}

int journal_event(struct journal_events *rec, const char *channel, uint64_t off, uint64_t len,
		  const struct journal_entry *e, const struct journal_items *it, unsigned damaged)
{
	struct gathered g = {.sum = 0};
	int r = gather(rec, e, it, &g);
	struct log_event ev = {
		.time = {.sec = (int64_t)(le64(e->realtime) / 1000000),
			 .nsec = (uint32_t)(le64(e->realtime) % 1000000) * 1000,
			 .known = le64(e->realtime) != 0},
		.source = "journal",
		.channel = {channel, strlen(channel)},
		.record_id = le64(e->seqnum),
		.has_record_id = le64(e->seqnum) != 0,
		.off = off,
		.len = len,
	};

	if (r)
		return r;
	ev.written = ev.time;
	ev.provider = shown(rec, rec->text[IDENTIFIER].len ? IDENTIFIER : COMM);
	ev.computer = shown(rec, HOST);
	ev.level = level(rec);
	ev.message = shown(rec, MESSAGE);
	ev.data = (struct log_text){rec->data.p, rec->data.len};
	ev.failed = g.failed | damaged;
	ev.state = rec->carved ? LOG_CARVED : ev.failed ? LOG_DOUBTFUL : LOG_INTACT;
	return send(rec, &ev);
}

struct journal_events *journal_events_new(struct journal *j, const struct log_sink *sink,
					  bool carved)
{
	struct journal_events *rec = calloc(1, sizeof(*rec));

	if (!rec)
		return NULL;
	*rec = (struct journal_events){.j = j, .sink = sink, .carved = carved};
	rec->known = calloc(KNOWN_FIELDS, sizeof(*rec->known));
	if (!rec->known) {
		free(rec);
		return NULL;
	}
	return rec;
}

void journal_events_free(struct journal_events *rec)
{
	if (!rec)
		return;
	for (size_t i = 0; i < KNOWN_FIELDS; i++)
		free(rec->known[i].f.p);
	buf_free(&rec->data);
	for (size_t i = 0; i < TEXTS; i++)
		buf_free(&rec->text[i]);
	free(rec->known);
	free(rec);
}

static void name_channel(const struct journal *j, char channel[JOURNAL_CHANNEL])
{
	if (!j->header_ok) {
		strcpy(channel, "journal");
		return;
	}
	for (int i = 0; i < 16; i++)
		sprintf(channel + 2 * i, "%02x", j->h.seqnum_id[i]);
}

/* One journal on its way. */
struct reading {
	struct journal *j;
	struct journal_events *events;
	const struct log_sink *sink;
	struct journal_items items;
	char channel[JOURNAL_CHANNEL];
	uint64_t last; /* seqnum of the entry before */
};

static int entry(struct reading *x, uint64_t off, const struct journal_object *o)
{
	struct ranges bad = {0};
	struct journal_entry e;
	unsigned damaged = 0;
	int r = journal_items(x->j, off, o, &e, &x->items, &bad);

	if (bad.n)
		damaged |= LOG_LOST;
	ranges_free(&bad);
	if (r)
		return r;
	if (le64(e.seqnum) <= x->last)
		damaged |= LOG_ORDER;
	x->last = le64(e.seqnum);
	if (x->j->header_ok)
		log_run_boot(x->sink->run, e.boot_id, x->channel);
	return journal_event(x->events, x->channel, off, le64(o->size), &e, &x->items, damaged);
}

int journal_records(struct layer *l, const struct log_sink *sink)
{
	struct journal *j = journal_of(l);
	struct reading *x = calloc(1, sizeof(*x));
	uint64_t off = j->start, skipped;
	struct journal_object o;
	int r = 0;

	if (!x)
		return -ENOMEM;
	x->j = j;
	x->sink = sink;
	x->events = journal_events_new(j, sink, false);
	name_channel(j, x->channel);
	if (!x->events)
		r = -ENOMEM;
	if (!r && sink->ledger && j->header_ok && le64(j->h.n_entries))
		r = ledger_claim(sink->ledger, (struct log_text){x->channel, strlen(x->channel)},
				 le64(j->h.head_seqnum), le64(j->h.tail_seqnum));
	while (!r && !(r = journal_next(j, &off, &o, &skipped))) {
		if (session_stopped(l->s))
			r = -EINTR;
		else if (o.type == JOURNAL_ENTRY)
			r = entry(x, off, &o);
		off += (le64(o.size) + 7) / 8 * 8;
	}
	journal_events_free(x->events);
	free(x);
	return r == -ENOENT ? 0 : r;
}

static const char *const where[] = {
	"/var/log/journal/**.journal",
	"/var/log/journal/**.journal~",
	"/run/log/journal/**.journal",
	NULL,
};

static uint64_t journal_stated(struct layer *l)
{
	const struct journal *j = journal_of(l);
	uint64_t n = le64(j->h.n_entries), first = le64(j->h.head_seqnum);

	/* Each has a number of its own. */
	return j->header_ok && le64(j->h.tail_seqnum) >= first &&
			       le64(j->h.tail_seqnum) - first >= n - 1
		       ? n
		       : 0;
}

const struct log_driver journal_log = {
	.ops = &journal_ops,
	.where = where,
	.stated = journal_stated,
	.records = journal_records,
	.carve_begin = journal_carve_begin,
	.carve = journal_carve,
	.carve_end = journal_carve_end,
};
