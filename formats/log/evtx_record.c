/* SPDX-License-Identifier: Apache-2.0 */
/* Records by their own frame, and what they say as an event. */
#include "formats/log/binxml.h"
#include "formats/log/evtx.h"
#include "formats/log/msgtable.h"
#include "formats/log/words.h"
#include "vdiskck/core/sum.h"

enum { FRAGMENT = 0x0f }; /* the token that a record's BinXML begins with */

static uint32_t u32_at(const uint8_t *p)
{
	le32_t v;

	memcpy(&v, p, sizeof(v));
	return le32(v);
}

bool evtx_frame(const uint8_t *p, size_t len, size_t off, struct evtx_frame *f)
{
	struct span s = {p, len, 0};
	const struct evtx_record_header *h = span_at(s, off, EVTX_RECORD_MIN);
	uint32_t n;

	if (!h || le32(h->magic) != EVTX_RECORD_MAGIC)
		return false;
	n = le32(h->len);
	if (n < EVTX_RECORD_MIN || n > EVTX_CHUNK - EVTX_CHUNK_DATA || !span_at(s, off, n) ||
	    u32_at(p + off + n - 4) != n)
		return false;
	*f = (struct evtx_frame){(uint32_t)off, n, le64(h->id), le64(h->written)};
	return true;
}

bool evtx_frame_plausible(const uint8_t *p, const struct evtx_frame *f)
{
	/*
	 * 1990 to 2190: no EVTX is older than 2006, but clocks are set to anything. In logs that
	 * were exported, the time may be zero.
	 */
	const uint64_t from = 122756256000000000, to = 185870592000000000;

	return f->len > EVTX_RECORD_MIN + 4 && p[f->off + 24] == FRAGMENT && p[f->off + 25] == 1 &&
	       (!f->written || (f->written >= from && f->written < to));
}

bool evtx_frame_next(const uint8_t *p, size_t len, size_t off, struct evtx_frame *f)
{
	for (; off < len && len - off >= EVTX_RECORD_MIN; off += 8)
		if (p[off] == 0x2a && p[off + 1] == 0x2a && evtx_frame(p, len, off, f) &&
		    evtx_frame_plausible(p, f))
			return true;
	return false;
}

/*
 * Where the sums hold, records follow each other, and what is none ends them. Elsewhere they are
 * looked for: Windows puts each at a multiple of eight.
 */
bool evtx_chunk_record(const struct evtx_chunk *c, size_t *off, struct evtx_frame *f)
{
	if (*off < EVTX_CHUNK_DATA)
		*off = EVTX_CHUNK_DATA;
	if (*off >= c->free_off ||
	    (!evtx_frame(c->p, c->free_off, *off, f) &&
	     !evtx_frame_next(c->p, c->free_off, (*off + 7) & ~(size_t)7, f)))
		return false;
	*off = f->off + f->len;
	return true;
}

/* Does a record hold a whole sector of zeros, or reach 64 bytes into one? Windows writes no such thing. */
static bool zeroed(const struct evtx_chunk *c, const struct evtx_frame *f)
{
	enum { SECTOR = 512, ENOUGH = 64 };

	for (uint32_t at = f->off & ~(SECTOR - 1u); at < f->off + f->len; at += SECTOR) {
		uint32_t from = at < f->off ? f->off : at;
		uint32_t to = at + SECTOR < f->off + f->len ? at + SECTOR : f->off + f->len;

		if (to - from >= ENOUGH && at + SECTOR <= c->len && all_zero(c->p + at, SECTOR))
			return true;
	}
	return false;
}

static struct log_text level_text(const struct bx_fields *f)
{
	static const struct log_text name[] = {
		LOG_TEXT("information"), /* 0, "always": what the event viewer shows for it */
		LOG_TEXT("critical"),	 LOG_TEXT("error"),   LOG_TEXT("warning"),
		LOG_TEXT("information"), LOG_TEXT("verbose"),
	};

	if (f->has_level && f->level < sizeof(name) / sizeof(*name))
		return name[f->level];
	return (struct log_text){NULL, 0};
}

/*
 * The message, behind the JSON in @data. A classic event has the upper half of its message's number in
 * @Qualifiers; a manifest has numbers for its own events.
 */
static void put_message(struct bx *x, const struct bx_fields *f, struct log_words *words,
			struct buf *data, struct log_event *e)
{
	const struct log_provider *p = words_provider(words, e, f->provider_id);
	struct log_text v[WORDS_INSERTS];
	size_t from = data->len;
	uint32_t id;

	if (!p || !f->has_event_id || f->event_id > UINT16_MAX || f->qualifiers > UINT16_MAX)
		return;
	if (!f->provider_id ||
	    !msgtable_event(p->messages, f->provider_id, (unsigned)f->event_id,
			    (unsigned)(f->version <= UINT8_MAX ? f->version : 0), &id))
		id = (uint32_t)(f->qualifiers << 16 | f->event_id);
	if (words_put(data, p, id, v, bx_inserts(x, v, WORDS_INSERTS)))
		e->message.len = data->len - from;
}

void evtx_event(struct bx *x, const struct evtx_chunk *c, const struct evtx_frame *f,
		struct log_words *words, struct buf *data, struct log_event *e)
{
	const size_t head = sizeof(struct evtx_record_header);
	struct bx_fields s;

	*e = (struct log_event){
		.source = "evtx",
		.written = log_filetime(f->written),
		.record_id = f->id,
		.has_record_id = f->id != 0, /* they count from 1: it was zeroed */
		.off = c->addr + f->off,
		.len = f->len,
	};
	data->len = 0;
	e->failed = bx_json(x, f->off + head, f->len - head - 4, &s, data);
	e->data.len = data->len;
	e->time = s.time.known ? s.time : e->written;
	e->channel = s.channel;
	e->provider = s.provider;
	e->computer = s.computer;
	e->event_id = s.event_id;
	e->has_event_id = s.has_event_id;
	e->level = level_text(&s);
	if (words)
		put_message(x, &s, words, data, e);
	e->data.p = data->p;
	if (e->message.len)
		e->message.p = data->p + e->data.len;
	if (!f->id)
		e->failed |= LOG_LOST;
	if (!c->header_ok)
		e->failed |= LOG_HEADER;
	if (!c->data_ok && !c->no_sum) {
		e->failed |= LOG_SUM;
		e->failed |= zeroed(c, f) ? LOG_LOST : 0;
	}
	if (c->bad && c->bad->n && ranges_overlap(c->bad, e->off, e->len))
		e->failed |= LOG_LOST;
	e->state = e->failed ? LOG_DOUBTFUL : LOG_INTACT;
}
