/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EVTX records in arbitrary bytes. A chunk is known by its header; a record by its frame, wherever it
 * lies. Where the chunk of a lone record began is told by its own template definition, which
 * states its offset in the chunk; or by the chunk header, or record, that was seen before it. What
 * needs a template that is not there waits for the end of the scan, by when another chunk may
 * have had it.
 */
#include <errno.h>
#include <stdlib.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "formats/log/binxml.h"
#include "formats/log/evtx.h"
#include "vdiskck/core/session.h"

enum {
	DEFINITION = 38, /* where in a record the definition stands that it brings along */
	OUT_KEPT = 1 << 20,
	WAITING_MAX = 32 << 20, /* bytes of records that wait for a template */
};

#define NOWHERE UINT64_MAX

struct waiting {
	struct waiting *next;
	uint64_t addr;
	uint32_t len;
	uint8_t bytes[];
};

struct carver {
	struct layer *l;
	const struct log_sink *sink;
	struct log_run *run, *own_run;
	struct bx *x;
	struct buf data, out;
	struct waiting *first, **last;
	size_t waiting;
	/* The window, and what was before it. */
	const uint8_t *p;
	size_t len, all;
	uint64_t off;
	uint8_t behind[EVTX_CHUNK];
	size_t behind_len;
	uint64_t end;  /* where the window ended, and the next one begins */
	uint64_t next; /* up to where all has been dealt with */
	/* The chunk that records are taken to be in. */
	struct evtx_chunk c;
	uint64_t base;	 /* NOWHERE: not known */
	uint64_t loaded; /* the base that @chunk was put together for */
	uint8_t chunk[EVTX_CHUNK];
};

void *evtx_carve_begin(struct layer *l, const struct log_sink *sink)
{
	struct carver *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->l = l;
	v->sink = sink;
	v->base = v->loaded = v->end = NOWHERE;
	v->last = &v->first;
	v->run = sink->run ? sink->run : (v->own_run = log_run_new());
	v->x = v->run ? bx_new(log_run_templates(v->run)) : NULL;
	if (!v->x) {
		log_run_free(v->own_run);
		free(v);
		return NULL;
	}
	return v;
}

/* The next place at or behind @i where a chunk or a record may begin; v->len or more: none. */
static size_t candidate(const struct carver *v, size_t i)
{
	const uint8_t *p = v->p;

#ifdef __SSE2__
	const __m128i star = _mm_set1_epi8('*'), big_e = _mm_set1_epi8('E'), l = _mm_set1_epi8('l');

	for (; i + 17 <= v->len; i += 16) {
		__m128i a = _mm_loadu_si128((const __m128i *)(p + i));
		__m128i b = _mm_loadu_si128((const __m128i *)(p + i + 1));
		__m128i hit = _mm_or_si128(
			_mm_and_si128(_mm_cmpeq_epi8(a, star), _mm_cmpeq_epi8(b, star)),
			_mm_and_si128(_mm_cmpeq_epi8(a, big_e), _mm_cmpeq_epi8(b, l)));
		int mask = _mm_movemask_epi8(hit);

		if (mask)
			return i + (size_t)__builtin_ctz((unsigned)mask);
	}
#endif
	for (; i < v->len && i + 1 < v->all; i++)
		if ((p[i] == '*' && p[i + 1] == '*') || (p[i] == 'E' && p[i + 1] == 'l'))
			return i;
	return i > v->len ? i : v->len;
}

static int give(struct carver *v, struct log_event *e)
{
	const struct log_sink *sink = v->sink;
	int r = 0;

	e->state = LOG_CARVED;
	if (v->data.failed || v->out.failed)
		return -ENOMEM;
	if (sink->ledger && e->channel.len)
		r = ledger_seen(sink->ledger, e->channel, e->record_id, LOG_CARVED);
	if (!r && sink->render)
		r = sink->render(sink->arg, e, &v->out);
	else if (!r && sink->event)
		r = sink->event(sink->arg, e);
	if (!r && v->out.len >= OUT_KEPT) {
		r = sink->text(sink->arg, v->out.p, v->out.len);
		v->out.len = 0;
	}
	return r;
}

/* Copy what there is of [from, from + EVTX_CHUNK), from the window and what was before it. */
static void load(struct carver *v, uint64_t from, bool sound)
{
	uint64_t behind = v->off - v->behind_len;
	size_t n = 0;

	if (v->loaded == from)
		return;
	memset(v->chunk, 0, sizeof(v->chunk));
	/* Before what is still known: zeros stand for it. */
	if (from < behind)
		n = behind - from < EVTX_CHUNK ? (size_t)(behind - from) : EVTX_CHUNK;
	for (; n < EVTX_CHUNK && from + n < v->off; n++)
		v->chunk[n] = v->behind[from + n - behind];
	if (n < EVTX_CHUNK && from + n >= v->off) {
		size_t at = (size_t)(from + n - v->off), left = at < v->all ? v->all - at : 0;

		left = left < EVTX_CHUNK - n ? left : EVTX_CHUNK - n;
		memcpy(v->chunk + n, v->p + at, left);
		n += left;
	}
	v->loaded = from;
	v->c = (struct evtx_chunk){.p = v->chunk, .len = n, .addr = from};
	evtx_chunk_look(&v->c);
	bx_chunk(v->x, &(struct bx_chunk){v->chunk, n, sound && evtx_chunk_sound(&v->c)});
}

static int take_chunk(struct carver *v, size_t i, size_t *next)
{
	struct evtx_frame f;
	size_t off = 0;
	int r = 0;

	v->loaded = NOWHERE;
	load(v, v->off + i, true);
	if (!v->c.magic)
		return 0;
	v->base = v->off + i;
	*next = i + EVTX_CHUNK_DATA;
	/* Of any other chunk, each record has to be found by itself. */
	if (!evtx_chunk_sound(&v->c) || v->c.len < v->c.free_off)
		return 0;
	while (!r && evtx_chunk_record(&v->c, &off, &f)) {
		struct log_event e;

		evtx_event(v->x, &v->c, &f, v->sink->words, &v->data, &e);
		r = give(v, &e);
	}
	*next = i + v->c.free_off;
	v->loaded = NOWHERE; /* what is behind its end is not vouched for */
	return r;
}

/* The chunk of a record that brings a definition began where that says. */
static void learn_base(struct carver *v, size_t i, const struct evtx_frame *f)
{
	const uint8_t *p = v->p + i;
	uint64_t at = v->off + i;
	le32_t off;

	if (f->len > DEFINITION + 24 && p[28] == 0x0c && !memcmp(p + 30, p + DEFINITION + 4, 4)) {
		memcpy(&off, p + 34, sizeof(off));
		if (le32(off) >= EVTX_CHUNK_DATA + DEFINITION && le32(off) < EVTX_CHUNK &&
		    at + DEFINITION >= le32(off)) {
			uint64_t base = at + DEFINITION - le32(off);

			if (base != v->base)
				v->loaded = NOWHERE;
			v->base = base;
		}
	}
	if (v->base == NOWHERE || at < v->base + EVTX_CHUNK_DATA ||
	    at + f->len > v->base + EVTX_CHUNK)
		v->base = NOWHERE;
}

static int wait_for_template(struct carver *v, const uint8_t *p, uint64_t addr, uint32_t len)
{
	struct waiting *w = malloc(sizeof(*w) + len);

	if (!w)
		return -ENOMEM;
	w->next = NULL;
	w->addr = addr;
	w->len = len;
	memcpy(w->bytes, p, len);
	*v->last = w;
	v->last = &w->next;
	v->waiting += len;
	return 0;
}

/* A record all alone: its names are only those that it brings along. */
static int alone(struct carver *v, const uint8_t *p, uint64_t addr, uint32_t len, bool may_wait)
{
	struct evtx_chunk c = {.p = p, .len = len, .addr = addr};
	struct evtx_frame f;
	struct log_event e;

	v->loaded = NOWHERE;
	bx_chunk(v->x, &(struct bx_chunk){p, len, false});
	if (!evtx_frame(p, len, 0, &f))
		return 0;
	evtx_event(v->x, &c, &f, v->sink->words, &v->data, &e);
	if (may_wait && e.failed & LOG_CONTENT && v->waiting + len <= WAITING_MAX)
		return wait_for_template(v, p, addr, len);
	return give(v, &e);
}

static int take_record(struct carver *v, size_t i, size_t *next)
{
	struct log_event e;
	struct evtx_frame f;

	if (!evtx_frame(v->p, v->all, i, &f) || !evtx_frame_plausible(v->p, &f))
		return 0;
	*next = i + f.len;
	learn_base(v, i, &f);
	if (v->base == NOWHERE)
		return alone(v, v->p + i, v->off + i, f.len, true);
	load(v, v->base, false);
	f.off = (uint32_t)(v->off + i - v->base);
	if (!range_inside(f.off, f.len, v->c.len))
		return alone(v, v->p + i, v->off + i, f.len, true);
	evtx_event(v->x, &v->c, &f, v->sink->words, &v->data, &e);
	if (e.failed & LOG_CONTENT && v->waiting + f.len <= WAITING_MAX)
		return wait_for_template(v, v->p + i, v->off + i, f.len);
	return give(v, &e);
}

int evtx_carve(void *state, const uint8_t *p, size_t len, size_t more, uint64_t off)
{
	struct carver *v = state;
	size_t i = 0, keep;
	int r = 0;

	if (off != v->end) {
		v->behind_len = 0;
		v->base = NOWHERE;
	} else if (v->next > off) {
		/* What reached into this window was dealt with in the last one. */
		i = v->next - off < len ? (size_t)(v->next - off) : len;
	}
	v->p = p;
	v->len = len;
	v->all = len + more;
	v->off = off;
	v->loaded = NOWHERE;
	while (!r && (i = candidate(v, i)) < len) {
		size_t next = i + 1;

		if (len + more - i >= 8 && !memcmp(p + i, "ElfChnk", 8))
			r = take_chunk(v, i, &next);
		else if (len + more - i >= EVTX_RECORD_MIN && p[i] == '*')
			r = take_record(v, i, &next);
		i = next;
	}
	if (v->next < off + i)
		v->next = off + i;
	v->end = off + len;
	keep = len < EVTX_CHUNK ? len : EVTX_CHUNK;
	if (keep + v->behind_len > EVTX_CHUNK) {
		size_t drop = keep + v->behind_len - EVTX_CHUNK;

		memmove(v->behind, v->behind + drop, v->behind_len - drop);
		v->behind_len -= drop;
	}
	memcpy(v->behind + v->behind_len, p + len - keep, keep);
	v->behind_len += keep;
	return r;
}

int evtx_carve_end(void *state, int r)
{
	struct carver *v = state;

	for (struct waiting *w = v->first, *next; w; w = next) {
		next = w->next;
		if (!r)
			r = session_stopped(v->l->s) ? -EINTR
						     : alone(v, w->bytes, w->addr, w->len, false);
		free(w);
	}
	if (!r && v->out.len)
		r = v->sink->text(v->sink->arg, v->out.p, v->out.len);
	bx_free(v->x);
	log_run_free(v->own_run);
	buf_free(&v->data);
	buf_free(&v->out);
	free(v);
	return r;
}
