/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring of slots between three jobs: the caller's thread plans pieces into it and delivers them
 * from it, workers fill it in between. The caller fills slots too while there is nothing to
 * deliver, so N threads are N threads of reading.
 */
#include "vdiskck/core/engine.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "vdiskck/core/pace.h"
#include "vdiskck/core/reads.h"
#include "vdiskck/core/session.h"

enum {
	PIECE = 1 << 20,
	SLOTS_PER_THREAD = 3, /* one that is read, one that waits, one that is delivered */
	THREADS_MAX = 64,
	DIRECT_MAX = 64 << 20, /* of a piece that is not read: so that a stop is soon */
	SORT = 4096, /* pieces that are put into physical order at a time: 4 GiB of disk */
	PACKED_GAP = 512,
};

enum slot_state { FREE, READY, BUSY, DONE };

struct slot {
	enum slot_state state;
	int err;
	struct piece p;
};

/* A piece that is not read yet, and where its first stored byte lies. */
struct planned {
	uint64_t off, len;
	bool direct, skipped;
	enum extent_kind kind;
	enum finding_id why;
	struct layer *in;
	uint64_t at;
};

struct run_state {
	struct engine *e;
	size_t piece;
	uint64_t next, end; /* planning: first byte not planned yet, and where to stop */
	struct extent run;  /* the last one that was asked for */
	struct planned *plan;
	size_t n_plan, used_plan, max_plan;

	pthread_mutex_t lock;
	pthread_cond_t ready; /* for workers: a slot became READY, or it is time to quit */
	pthread_cond_t done;  /* for the caller: the slot that is delivered next became DONE */
	struct slot *slot;
	size_t n_slots;
	uint8_t *
		*spare; /* buffers of one piece; the last one used is first taken: it is in cache */
	size_t n_spare;
	uint64_t head, take, tail; /* planned, taken by a reader, delivered: counts of slots */
	bool quit;
};

struct worker {
	struct run_state *r;
	unsigned number;
	pthread_t thread;
};

/* layer_resolve(), but a long run is asked for once, not for every piece of it. */
static int resolve(struct run_state *r, uint64_t off, struct extent *run)
{
	uint64_t ahead = off - r->run.off;
	int err = 0;

	if (off < r->run.off || ahead >= r->run.len)
		err = layer_resolve(r->e->l, off, &r->run);
	if (err) {
		r->run.len = 0;
		return err;
	}
	if (r->e->written && r->run.unwritten)
		r->run.kind = EXTENT_ZERO;
	*run = r->run;
	ahead = off - run->off;
	run->off = off;
	run->len -= ahead;
	if (run->kind == EXTENT_DATA && !run->packed)
		run->at += ahead;
	return 0;
}

static bool in_source(const struct extent *run)
{
	return run->kind == EXTENT_DATA && !run->packed && run->in->ops->kind == LAYER_SOURCE;
}

/*
 * @run starts a piece; do all its bytes up to @window or beyond lie in a source as they are? *@end:
 * up to where they do. A layer that does not know yet what it thinks of them (a VHD's bitmap) does
 * once a byte was read.
 */
static int find_direct(struct run_state *r, struct extent *run, uint64_t window, uint64_t *end)
{
	struct layer *source = run->in;
	uint64_t off = run->off, shift = run->at - off;
	int err = 0;

	*end = off;
	if (in_source(run) && !run->exact && run->off + run->len >= window) {
		uint8_t byte;

		err = layer_read(r->e->l, off, &byte, 1, NULL);
		r->run.len = 0;
		if (!err)
			err = resolve(r, off, run);
	}
	while (!err && in_source(run) && run->exact && run->in == source &&
	       run->at - run->off == shift) {
		*end = run->off + run->len;
		if (*end - off >= DIRECT_MAX || *end >= r->end)
			break;
		err = resolve(r, *end, run);
	}
	if (*end < window)
		*end = off;
	else if (*end >= r->end)
		*end = r->end;
	else
		*end -= *end % r->piece;
	return err;
}

/* Up to where bytes from @off on need not be read; @off: they must, and *window ends before others. */
static uint64_t find_skipped(const struct run_state *r, uint64_t off, uint64_t *window)
{
	const struct ranges *skip = r->e->skip;
	size_t i = skip ? ranges_find(skip, off) : 0;
	uint64_t end;

	if (!skip || i == skip->n)
		return off;
	if (skip->v[i].off > off) {
		if (skip->v[i].off < *window)
			*window = skip->v[i].off;
		return off;
	}
	end = skip->v[i].off + skip->v[i].len;
	return end < r->end ? end : r->end;
}

/* Does @next lie where @run ends? Packed bytes begin where sectors do. */
static bool follows(const struct extent *run, const struct extent *next)
{
	if (run->kind != next->kind || run->kind != EXTENT_DATA || run->in != next->in ||
	    !run->packed != !next->packed)
		return false;
	if (run->packed)
		return next->at >= run->at && next->at - run->at <= run->packed + PACKED_GAP;
	return next->at - run->at == next->off - run->off;
}

/* A piece of at most [off, window) ends where its bytes do not lie together any more. */
static int cut_apart(struct run_state *r, uint64_t off, uint64_t window, uint64_t *end)
{
	size_t grain = r->e->grain;
	struct extent run, next;
	int err = resolve(r, off, &run);

	*end = err ? off : run.off + run.len;
	while (!err && *end < window) {
		err = resolve(r, *end, &next);
		if (err || !follows(&run, &next))
			break;
		run = next;
		*end = run.off + run.len;
	}
	*end = (*end + grain - 1) / grain * grain;
	if (*end > window)
		*end = window;
	return err;
}

/*
 * The next piece from r->next on. A window of one piece that holds any stored byte is DATA as a
 * whole; zeros and lost bytes that fill whole windows go in one piece, however long.
 */
static int plan_one(struct run_state *r, struct planned *p)
{
	uint64_t off = r->next, window = r->end, least = r->end, at;
	size_t unit = r->e->grain ? r->e->grain : r->piece;
	struct extent run;
	int err = resolve(r, off, &run);

	if (err)
		return err;
	if (r->end - off > r->piece - off % r->piece)
		window = off - off % r->piece + r->piece;
	if (r->end - off > unit - off % unit)
		least = off - off % unit + unit;
	*p = (struct planned){.off = off, .kind = run.kind, .why = run.why};
	at = run.kind == EXTENT_DATA ? find_skipped(r, off, &window) : off;
	if (at > off) {
		p->skipped = true;
		p->len = at - off;
		r->next = at;
		return 0;
	}
	if (r->e->direct && in_source(&run)) {
		p->in = run.in;
		p->at = run.at;
		err = find_direct(r, &run, window, &at);
		p->direct = at > off;
		if (err || p->direct) {
			p->len = at - off;
			r->next = at;
			return err;
		}
		err = resolve(r, off, &run);
		if (err)
			return err;
	}
	at = run.off + run.len;
	while (run.kind != EXTENT_DATA && at < r->end) {
		err = resolve(r, at, &run);
		if (err)
			return err;
		if (run.kind != p->kind || (run.kind == EXTENT_LOST && run.why != p->why))
			break;
		at = run.off + run.len;
		if (session_stopped(r->e->l->s))
			return -EINTR;
	}
	if (p->kind != EXTENT_DATA && at >= least) {
		if (at < r->end)
			at -= at % unit;
		else
			at = r->end;
	} else {
		p->kind = EXTENT_DATA;
		at = window;
		err = r->e->grain ? cut_apart(r, off, window, &at) : 0;
	}
	if (run.kind == EXTENT_DATA) {
		p->in = run.in;
		p->at = run.at;
	}
	p->len = at - off;
	r->next = at;
	return err;
}

static int planned_cmp(const void *a, const void *b)
{
	const struct planned *x = a, *y = b;

	if (x->in != y->in)
		return (uintptr_t)x->in < (uintptr_t)y->in ? -1 : 1;
	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return x->off < y->off ? -1 : x->off > y->off;
}

/* Refill the plan. 0 with n_plan == used_plan when there is nothing left. */
static int plan_more(struct run_state *r)
{
	uint64_t from = r->next;
	int err = 0;

	r->n_plan = r->used_plan = 0;
	while (!err && r->n_plan < r->max_plan && r->next < r->end &&
	       (!r->e->window || r->next - from < r->e->window)) {
		err = plan_one(r, &r->plan[r->n_plan]);
		if (!err)
			r->n_plan++;
		if (session_stopped(r->e->l->s))
			err = -EINTR;
	}
	if (r->max_plan > 1)
		qsort(r->plan, r->n_plan, sizeof(*r->plan), planned_cmp);
	return err;
}

static int slot_fill(struct run_state *r, struct slot *s, unsigned worker)
{
	struct piece *p = &s->p;
	int err = 0;

	p->worker = worker;
	if (r->e->l->s->pace)
		pace_wait(r->e->l->s->pace, r->e->l->s, p->len);
	if (p->in)
		return r->e->work(r->e->arg, p);
	if (!p->buf)
		p->buf = aligned_alloc(4096, r->piece);
	if (!p->buf)
		return -ENOMEM;
	err = layer_read(r->e->l, p->off, p->buf, (size_t)p->len, &p->bad);
	if (!err && r->e->work)
		err = r->e->work(r->e->arg, p);
	return err;
}

/* Take the next READY slot and fill it. Called and returns with the lock held. */
static void fill_next(struct run_state *r, unsigned worker)
{
	struct slot *s = &r->slot[r->take++ % r->n_slots];

	if (s->state != READY)
		return;
	s->state = BUSY;
	s->p.buf = r->n_spare && !s->p.in ? r->spare[--r->n_spare] : NULL;
	pthread_mutex_unlock(&r->lock);
	s->err = slot_fill(r, s, worker);
	pthread_mutex_lock(&r->lock);
	s->state = DONE;
	if (s == &r->slot[r->tail % r->n_slots])
		pthread_cond_signal(&r->done);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct run_state *r = w->r;

	pthread_mutex_lock(&r->lock);
	while (!r->quit) {
		if (r->take < r->head)
			fill_next(r, w->number);
		else
			pthread_cond_wait(&r->ready, &r->lock);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* Put one planned piece into the ring. Called with the lock held and a slot free. */
static int slot_plan(struct run_state *r, const struct planned *p)
{
	struct slot *s = &r->slot[r->head % r->n_slots];

	s->p.off = p->off;
	s->p.len = p->len;
	s->p.kind = p->kind;
	s->p.buf = NULL;
	s->p.in = p->direct ? p->in : NULL;
	s->p.at = p->at;
	s->p.bad.n = 0;
	s->err = 0;
	if (p->kind != EXTENT_DATA || p->skipped || (p->direct && !r->e->work))
		s->state = DONE;
	else
		s->state = READY;
	r->head++;
	if (s->state == READY)
		pthread_cond_signal(&r->ready);
	return p->kind == EXTENT_LOST ? ranges_add(&s->p.bad, p->off, p->len, GRADE_LOST, p->why)
				      : 0;
}

static int ring_fill(struct run_state *r)
{
	int err = 0;

	while (!err && r->head - r->tail < r->n_slots) {
		if (r->used_plan == r->n_plan) {
			/* Mapping reads metadata: not with the lock held. */
			pthread_mutex_unlock(&r->lock);
			err = plan_more(r);
			pthread_mutex_lock(&r->lock);
			if (err || !r->n_plan)
				break;
		}
		err = slot_plan(r, &r->plan[r->used_plan++]);
	}
	return err;
}

static int deliver(struct run_state *r, struct slot *s)
{
	struct engine *e = r->e;
	int err = s->err;

	pthread_mutex_unlock(&r->lock);
	if (!err && e->deliver)
		err = e->deliver(e->arg, &s->p);
	if (!err)
		e->covered += s->p.len;
	if (e->l->s->reads && e->l->ops->kind <= LAYER_CIPHER && s->p.buf && !s->p.bad.n)
		reads_note(e->l->s->reads, e->l, s->p.off, s->p.len);
	if (e->what)
		session_progress(e->l->s, e->what, e->covered, e->len);
	pthread_mutex_lock(&r->lock);
	if (s->p.buf)
		r->spare[r->n_spare++] = s->p.buf;
	s->p.buf = NULL;
	s->state = FREE;
	r->tail++;
	return err;
}

static int ring_run(struct run_state *r)
{
	int err = 0, plan_err = 0;

	pthread_mutex_lock(&r->lock);
	for (;;) {
		struct slot *s;

		/* What was planned before planning failed is still delivered: it is good. */
		if (!plan_err)
			plan_err = ring_fill(r);
		if (r->head == r->tail)
			break;
		s = &r->slot[r->tail % r->n_slots];
		if (s->state == DONE)
			err = deliver(r, s);
		else if (r->take < r->head)
			fill_next(r, 0);
		else
			pthread_cond_wait(&r->done, &r->lock);
		if (!err && session_stopped(r->e->l->s))
			err = -EINTR;
		if (err)
			break;
	}
	r->quit = true;
	pthread_cond_broadcast(&r->ready);
	pthread_mutex_unlock(&r->lock);
	return err ? err : plan_err;
}

int engine_run(struct engine *e)
{
	struct worker w[THREADS_MAX];
	unsigned threads = session_jobs(e->l->s), started = 0;
	struct run_state r = {.e = e, .piece = e->piece ? e->piece : PIECE};
	int err = -ENOMEM;

	e->covered = 0;
	if (e->off >= e->l->size)
		e->len = 0;
	else if (e->len > e->l->size - e->off)
		e->len = e->l->size - e->off;
	r.next = e->off;
	r.end = e->off + e->len;
	if (threads > THREADS_MAX)
		threads = THREADS_MAX;
	r.n_slots = (size_t)threads * SLOTS_PER_THREAD;
	r.slot = calloc(r.n_slots, sizeof(*r.slot));
	r.spare = calloc(r.n_slots, sizeof(*r.spare));
	r.max_plan = e->order != ENGINE_PHYSICAL ? 1
		     : e->window && e->grain	 ? e->window / e->grain
						 : SORT;
	r.plan = calloc(r.max_plan, sizeof(*r.plan));
	pthread_mutex_init(&r.lock, NULL);
	pthread_cond_init(&r.ready, NULL);
	pthread_cond_init(&r.done, NULL);
	if (!r.slot || !r.spare || !r.plan)
		goto out;
	for (unsigned i = 1; i < threads; i++) {
		w[started] = (struct worker){.r = &r, .number = i};
		if (pthread_create(&w[started].thread, NULL, worker_main, &w[started]))
			break; /* fewer threads do the same work */
		started++;
	}
	err = ring_run(&r);
	while (started)
		pthread_join(w[--started].thread, NULL);
out:
	for (size_t i = 0; r.slot && i < r.n_slots; i++) {
		free(r.slot[i].p.buf);
		ranges_free(&r.slot[i].p.bad);
	}
	while (r.n_spare)
		free(r.spare[--r.n_spare]);
	free(r.spare);
	free(r.slot);
	free(r.plan);
	pthread_cond_destroy(&r.ready);
	pthread_cond_destroy(&r.done);
	pthread_mutex_destroy(&r.lock);
	return err;
}
