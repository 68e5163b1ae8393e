/* SPDX-License-Identifier: Apache-2.0 */
/* All records of a log: chunk by chunk, several at once, in file order. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/log/binxml.h"
#include "formats/log/evtx.h"
#include "vdiskck/core/pool.h"
#include "vdiskck/core/session.h"

enum {
	AHEAD = 4, /* chunks for each thread that are read, or wait for their turn to be handed over */
	LABEL = 256,
	TABLE_BUDGET = 1024, /* definitions of one chunk; each takes 24 bytes and more */
	OUT_KEPT = 1 << 20,  /* text of slack records that is handed on at once */
};

/* One chunk on its way. */
struct slot {
	uint8_t *raw;
	struct bx *x;
	struct evtx_chunk c;
	struct ranges bad;
	struct buf data, out;
};

/* Ids of one state, one after the other, not yet in the ledger. */
struct pending {
	uint64_t first, last;
	enum log_state state;
	bool any;
};

struct reading {
	struct layer *l;
	const struct log_sink *sink;
	struct log_run *run, *own_run;
	char label[LABEL];
	struct slot *slot;
	unsigned slots; /* of chunks; one more is for what is in slack */
	struct evtx_slack *slack;
	pthread_mutex_t lock; /* of priming, and of @slack */
	bool primed;
};

static bool slot_init(struct slot *s, struct log_run *run)
{
	s->raw = malloc(EVTX_CHUNK);
	s->x = bx_new(log_run_templates(run));
	return s->raw && s->x;
}

static void slot_free(struct slot *s)
{
	free(s->raw);
	bx_free(s->x);
	ranges_free(&s->bad);
	buf_free(&s->data);
	buf_free(&s->out);
}

static int load(struct slot *s, struct layer *l, uint64_t i)
{
	int r;

	ranges_free(&s->bad);
	r = evtx_chunk_read(l, i, s->raw, &s->bad, &s->c);
	bx_chunk(s->x, &(struct bx_chunk){s->raw, s->c.len, evtx_chunk_sound(&s->c)});
	return r;
}

/* Definitions are in a hash table in the chunk's header, in chains. */
static void learn(struct slot *s)
{
	const struct evtx_chunk_header *h = (const void *)s->raw;
	unsigned budget = TABLE_BUDGET;

	for (unsigned i = 0; i < EVTX_TEMPLATES; i++)
		for (uint32_t off = le32(h->templates[i]); off && budget; budget--)
			off = bx_learn(s->x, off);
}

/* A log is made larger ahead of its records: what has no chunk yet need not be read to be passed over. */
static int load_used(struct slot *s, struct layer *l, uint64_t i)
{
	char magic[8] = "";
	int r = layer_read(l, EVTX_FILE_HEADER + i * EVTX_CHUNK, magic, sizeof(magic), NULL);

	s->c = (struct evtx_chunk){.empty = true};
	return r || memcmp(magic, EVTX_CHUNK_MAGIC, sizeof(magic)) ? r : load(s, l, i);
}

/*
 * A damaged chunk needs what the sound ones know: a definition that was lost in it, or one to hold
 * against what is left there. Once per log, and only for damaged ones.
 */
static int prime(struct reading *r)
{
	struct slot s = {0};
	int err = slot_init(&s, r->run) ? 0 : -ENOMEM;

	pthread_mutex_lock(&r->lock);
	if (!r->primed) {
		const struct evtx *v = r->l->priv;

		for (uint64_t i = 0; i < v->chunks && !err; i++) {
			err = session_stopped(r->l->s) ? -EINTR : load_used(&s, r->l, i);
			if (!err && evtx_chunk_sound(&s.c))
				learn(&s);
		}
		r->primed = !err;
	}
	pthread_mutex_unlock(&r->lock);
	slot_free(&s);
	return err;
}

static int flush(struct reading *r, struct pending *p)
{
	struct log_text label = {r->label, strlen(r->label)};
	int err = 0;

	if (p->any)
		err = ledger_seen_run(r->sink->ledger, label, p->first, p->last, p->state);
	p->any = false;
	return err;
}

static int note(struct reading *r, struct pending *p, const struct log_event *e)
{
	int err = 0;

	if (!r->sink->ledger || !e->has_record_id)
		return 0;
	if (p->any && p->state == e->state && p->last != UINT64_MAX &&
	    e->record_id == p->last + 1) {
		p->last++;
		return 0;
	}
	err = flush(r, p);
	*p = (struct pending){e->record_id, e->record_id, e->state, true};
	return err;
}

static int give(struct reading *r, const struct log_event *e, struct buf *out)
{
	const struct log_sink *sink = r->sink;

	if (!sink->render)
		return sink->event ? sink->event(sink->arg, e) : 0;
	return sink->render(sink->arg, e, out);
}

static int chunk_records(struct reading *r, struct slot *s)
{
	struct log_text label = {r->label, strlen(r->label)};
	struct pending p = {0};
	struct evtx_frame f;
	uint64_t last = 0;
	size_t off = 0;
	int err = 0;

	while (!err && evtx_chunk_record(&s->c, &off, &f)) {
		struct log_event e;

		evtx_event(s->x, &s->c, &f, r->sink->words, &s->data, &e);
		/* Behind a lost header, what was written before the chunk's last round is not told apart. */
		if (f.id && f.id <= last) {
			e.failed |= LOG_ORDER;
			e.state = s->c.header_ok ? LOG_DOUBTFUL : LOG_CARVED;
		} else if (f.id) {
			last = f.id;
		}
		err = s->data.failed ? -ENOMEM : give(r, &e, &s->out);
		if (!err)
			err = note(r, &p, &e);
	}
	if (!err)
		err = flush(r, &p);
	if (!err && s->c.header_ok && s->c.first_id <= s->c.last_id)
		err = ledger_claim(r->sink->ledger, label, s->c.first_id, s->c.last_id);
	if (!err && r->slack) {
		pthread_mutex_lock(&r->lock);
		err = evtx_slack_add(r->slack, &s->c);
		pthread_mutex_unlock(&r->lock);
	}
	return err;
}

static int work(void *arg, size_t i)
{
	struct reading *r = arg;
	struct slot *s = &r->slot[i % r->slots];
	int err = session_stopped(r->l->s) ? -EINTR : load(s, r->l, i);

	s->out.len = 0;
	if (err || s->c.empty)
		return err;
	if (!evtx_chunk_sound(&s->c))
		err = prime(r);
	if (!err)
		err = chunk_records(r, s);
	return s->out.failed ? -ENOMEM : err;
}

static int slack_record(void *arg, const struct evtx_chunk *c, const struct evtx_frame *f)
{
	struct reading *r = arg;
	struct slot *s = &r->slot[r->slots];
	struct pending p = {0};
	struct log_event e;
	int err;

	/* Names and templates it refers to may have been overwritten: nothing vouches for them. */
	if (s->c.addr != c->addr || s->c.p != c->p) {
		s->c = *c;
		bx_chunk(s->x, &(struct bx_chunk){c->p, c->len, false});
	}
	evtx_event(s->x, c, f, r->sink->words, &s->data, &e);
	e.failed &= ~(unsigned)(LOG_SUM | LOG_HEADER);
	e.state = LOG_CARVED;
	err = s->data.failed ? -ENOMEM : give(r, &e, &s->out);
	if (!err)
		err = note(r, &p, &e);
	if (!err)
		err = flush(r, &p);
	if (!err && s->out.len >= OUT_KEPT) {
		err = r->sink->text(r->sink->arg, s->out.p, s->out.len);
		s->out.len = 0;
	}
	return err;
}

static int slack(struct reading *r)
{
	struct slot *s = &r->slot[r->slots];
	int err = prime(r);

	s->out.len = 0;
	s->c = (struct evtx_chunk){0};
	pthread_mutex_lock(&r->lock);
	if (!err)
		err = evtx_slack_walk(r->slack, r->l, slack_record, r);
	pthread_mutex_unlock(&r->lock);
	if (!err && s->out.len)
		err = r->sink->text(r->sink->arg, s->out.p, s->out.len);
	return err;
}

static int hand_over(void *arg, size_t i)
{
	struct reading *r = arg;
	const struct evtx *v = r->l->priv;
	struct slot *s = &r->slot[i % r->slots];
	bool full = false;
	int err = s->out.len ? r->sink->text(r->sink->arg, s->out.p, s->out.len) : 0;

	if (r->slack) {
		pthread_mutex_lock(&r->lock);
		full = evtx_slack_full(r->slack);
		pthread_mutex_unlock(&r->lock);
	}
	if (!err && full)
		err = slack(r);
	session_progress(r->l->s, "reading the log", i + 1, v->chunks);
	return err;
}

static int live(struct reading *r)
{
	const struct evtx *v = r->l->priv;
	/* Events that are handed over one by one have to come one by one. */
	unsigned jobs = r->slots / AHEAD;

	return pool_run_in_order(jobs, v->chunks, r->slots, work, hand_over, r);
}

static int claim_next(struct reading *r)
{
	const struct evtx *v = r->l->priv;
	uint64_t next = le64(v->header.next_record);
	struct log_text label = {r->label, strlen(r->label)};

	/* Of a log that was not closed, it is older than the records. */
	if (!v->sum_ok || next < 2 || le32(v->header.flags) & EVTX_DIRTY)
		return 0;
	return ledger_claim(r->sink->ledger, label, next - 1, next - 1);
}

int evtx_records(struct layer *l, const struct log_sink *sink)
{
	struct reading r = {.l = l, .sink = sink, .run = sink->run};
	unsigned jobs = sink->jobs ? sink->jobs : session_jobs(l->s);
	int err;

	r.slots = sink->render && jobs > 1 ? jobs * AHEAD : 1;
	r.slot = calloc(r.slots + 1, sizeof(*r.slot));
	if (!r.run)
		r.run = r.own_run = log_run_new();
	r.slack = sink->slack ? evtx_slack_new() : NULL;
	pthread_mutex_init(&r.lock, NULL);
	err = r.slot && r.run && (r.slack || !sink->slack) ? 0 : -ENOMEM;
	for (unsigned i = 0; i <= r.slots && !err; i++)
		err = slot_init(&r.slot[i], r.run) ? 0 : -ENOMEM;
	if (!err)
		err = evtx_label(l, r.label, sizeof(r.label));
	if (!err)
		err = live(&r);
	if (!err)
		err = claim_next(&r);
	if (!err && r.slack)
		err = slack(&r);
	for (unsigned i = 0; r.slot && i <= r.slots; i++)
		slot_free(&r.slot[i]);
	free(r.slot);
	evtx_slack_free(r.slack);
	log_run_free(r.own_run);
	pthread_mutex_destroy(&r.lock);
	return err;
}

/* The channel of the first record that says one. Of forwarded events, the ids are the log's own. */
int evtx_label(struct layer *l, char *label, size_t cap)
{
	const struct evtx *v = l->priv;
	struct log_run *run = log_run_new();
	struct slot s = {0};
	int err = run && slot_init(&s, run) ? 0 : -ENOMEM;
	struct bx_fields fields = {0};

	*label = '\0';
	for (uint64_t i = 0; i < v->chunks && !err && !fields.channel.len; i++) {
		struct evtx_frame f;
		size_t off = 0;

		err = load(&s, l, i);
		while (!err && !fields.channel.len && evtx_chunk_record(&s.c, &off, &f)) {
			s.data.len = 0;
			bx_json(s.x, f.off + sizeof(struct evtx_record_header),
				f.len - sizeof(struct evtx_record_header) - 4, &fields, &s.data);
		}
		if (fields.channel.len && fields.has_record_id && fields.record_id != f.id)
			fields.channel = LOG_TEXT("ForwardedEvents");
	}
	if (fields.channel.len)
		snprintf(label, cap, "%.*s", (int)fields.channel.len, fields.channel.p);
	slot_free(&s);
	log_run_free(run);
	return err;
}
