/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event log of Windows before Vista: a header, and records in a ring. No checksums: a record is
 * known by its magic and its length at both ends. Source: [MS-EVEN] EVENTLOGRECORD; libyal/libevt,
 * "Windows Event Log (EVT).asciidoc".
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "formats/drivers.h"
#include "formats/log/binxml_parts.h"
#include "formats/log/formats.h"
#include "formats/log/words.h"
#include "vdiskck/core/endian.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/span.h"

static const char magic[4] = {'L', 'f', 'L', 'e'};

enum {
	HEADER = 48,
	RECORD_MIN = 56 + 4 + 4, /* its head, two empty names, the length at its end */
	RECORD_MAX = 128 << 10,	 /* 64 KiB of text is the most that ReportEvent() takes */
	END_RECORD = 40,	 /* marks where the newest record ends */
	WINDOW = 1 << 20,
	DIRTY = 1,
	SAID_MAX = 64,
};

/* ELF_LOGFILE_HEADER */
struct header {
	le32_t len; /* 48, as at its end */
	char magic[4];
	le32_t major, minor;
	le32_t start, end; /* offsets of the oldest record, and of the end record */
	le32_t next_number, oldest_number;
	le32_t max_size;
	le32_t flags;
	le32_t retention;
	le32_t end_len;
};
_Static_assert(sizeof(struct header) == HEADER, "ELF_LOGFILE_HEADER");

struct record {
	le32_t len;
	char magic[4];
	le32_t number;
	le32_t generated, written; /* seconds since 1970 */
	le32_t event_id;
	le16_t type, strings, category, flags;
	le32_t closing;
	le32_t strings_off, sid_len, sid_off, data_len, data_off; /* in the record */
};
_Static_assert(sizeof(struct record) == 56, "EVENTLOGRECORD");

/* Is there a record at p[off]? Its length, or 0. */
static uint32_t frame(const uint8_t *p, size_t len, size_t off)
{
	struct span s = {p, len, 0};
	const struct record *r = span_at(s, off, sizeof(*r));
	const le32_t *end;
	uint32_t n;

	if (!r || memcmp(r->magic, magic, sizeof(magic)))
		return 0;
	n = le32(r->len);
	end = n >= RECORD_MIN && n <= RECORD_MAX ? span_at(s, off + n - 4, 4) : NULL;
	return end && le32(*end) == n ? n : 0;
}

static struct log_time seconds(uint32_t t)
{
	return (struct log_time){.sec = t, .known = t != 0};
}

/* A string of UTF-16 that ends with NUL inside [*off, len): its units, and *off behind it. */
static size_t take_string(const uint8_t *p, size_t len, size_t *off, const uint8_t **s)
{
	size_t n = 0;

	*s = p + *off;
	while (*off + 2 <= len && (p[*off] || p[*off + 1])) {
		n++;
		*off += 2;
	}
	*off = *off + 2 <= len ? *off + 2 : len;
	return n;
}

static void put_data(struct buf *b, const uint8_t *p, uint32_t len)
{
	const struct record *r = (const void *)p;
	struct span s = {p, len - 4, 0};
	size_t off = le32(r->strings_off);
	const uint8_t *text;
	const void *sid = span_at(s, le32(r->sid_off), le32(r->sid_len));
	const void *data = span_at(s, le32(r->data_off), le32(r->data_len));

	buf_lit(b, "{\"EventIdentifier\":");
	buf_u64(b, le32(r->event_id));
	buf_lit(b, ",\"Category\":");
	buf_u64(b, le16(r->category));
	buf_lit(b, ",\"TimeGenerated\":\"");
	log_json_time(b, &(struct log_time){.sec = le32(r->generated)});
	buf_lit(b, "\",\"Strings\":[");
	for (unsigned i = 0; i < le16(r->strings) && off < len - 4; i++) {
		size_t n = take_string(p, len - 4, &off, &text);

		buf_str(b, i ? ",\"" : "\"");
		buf_json_utf16(b, text, n);
		buf_char(b, '"');
	}
	buf_char(b, ']');
	if (sid && le32(r->sid_len)) {
		buf_lit(b, ",\"Sid\":");
		bx_value_json(b, &(struct bx_value){sid, le32(r->sid_len), BX_SID}, false);
	}
	if (data && le32(r->data_len)) {
		buf_lit(b, ",\"Data\":");
		bx_value_json(b, &(struct bx_value){data, le32(r->data_len), BX_BINARY}, false);
	}
	buf_char(b, '}');
}

static struct log_text level(uint16_t type)
{
	switch (type) {
	case 1: return LOG_TEXT("error");
	case 2: return LOG_TEXT("warning");
	case 8: return LOG_TEXT("audit success");
	case 16: return LOG_TEXT("audit failure");
	}
	return LOG_TEXT("information");
}

struct reader {
	struct layer *l;
	const struct log_sink *sink;
	struct buf data, names, inserts, message, out;
	bool carving;
	/* Where the last record, or the header, ended: for check(). */
	uint64_t at;
	bool ended; /* the end record came since: what follows is overwritten, or filler */
	int (*hole)(struct reader *r, uint64_t from, uint64_t to);
	uint64_t holes;
};

static void put_message(struct reader *r, const uint8_t *p, uint32_t len, struct log_event *e)
{
	const struct record *rec = (const void *)p;
	const struct log_provider *from = words_provider(r->sink->words, e, NULL);
	size_t n = 0, off = le32(rec->strings_off), at[WORDS_INSERTS + 1] = {0};
	struct log_text v[WORDS_INSERTS];
	const uint8_t *text;

	if (!from)
		return;
	r->message.len = r->inserts.len = 0;
	while (n < le16(rec->strings) && n < WORDS_INSERTS && off < len - 4) {
		size_t units = take_string(p, len - 4, &off, &text);

		if (!buf_room(&r->inserts, 1))
			return;
		buf_utf16(&r->inserts, text, units);
		at[++n] = r->inserts.len;
	}
	for (size_t i = 0; i < n; i++)
		v[i] = (struct log_text){r->inserts.p + at[i], at[i + 1] - at[i]};
	if (words_put(&r->message, from, le32(rec->event_id), v, n))
		e->message = (struct log_text){r->message.p, r->message.len};
}

static int give(struct reader *r, const uint8_t *p, uint32_t len, uint64_t off)
{
	const struct record *rec = (const void *)p;
	size_t at = sizeof(*rec), n, m;
	const uint8_t *source, *computer;
	struct log_event e = {
		.source = "evt",
		.time = seconds(le32(rec->generated)),
		.written = seconds(le32(rec->written)),
		.record_id = le32(rec->number),
		.has_record_id = true,
		.event_id = le32(rec->event_id) & 0xffff,
		.has_event_id = true,
		.level = level(le16(rec->type)),
		.off = off,
		.len = len,
		.state = r->carving ? LOG_CARVED : LOG_INTACT,
	};
	int err;

	r->data.len = r->names.len = 0;
	n = take_string(p, len - 4, &at, &source);
	m = take_string(p, len - 4, &at, &computer);
	if (!buf_room(&r->names, 6 * (n + m) + 64))
		return -ENOMEM;
	buf_utf16(&r->names, source, n);
	e.provider = (struct log_text){r->names.p, r->names.len};
	buf_utf16(&r->names, computer, m);
	e.computer = (struct log_text){r->names.p + e.provider.len, r->names.len - e.provider.len};
	put_data(&r->data, p, len);
	e.data = (struct log_text){r->data.p, r->data.len};
	put_message(r, p, len, &e);
	if (r->data.failed || r->inserts.failed || r->message.failed)
		return -ENOMEM;
	err = ledger_seen(r->sink->ledger, (struct log_text){"", 0}, e.record_id, e.state);
	if (err)
		return err;
	if (r->sink->render)
		return r->sink->render(r->sink->arg, &e, &r->out);
	return r->sink->event ? r->sink->event(r->sink->arg, &e) : 0;
}

static int flush(struct reader *r)
{
	int err = r->out.failed ? -ENOMEM : 0;

	if (!err && r->out.len)
		err = r->sink->text(r->sink->arg, r->out.p, r->out.len);
	r->out.len = 0;
	return err;
}

static bool end_record(const uint8_t *p, size_t len, size_t off)
{
	static const uint8_t words[] = {0x28, 0,    0,	  0,	0x11, 0x11, 0x11, 0x11, 0x22, 0x22,
					0x22, 0x22, 0x33, 0x33, 0x33, 0x33, 0x44, 0x44, 0x44, 0x44};

	return off + END_RECORD <= len && !memcmp(p + off, words, sizeof(words));
}

/* Records that begin in the first @len of @all bytes at @p; *@next: where to go on. */
static int window(struct reader *r, const uint8_t *p, size_t len, size_t all, uint64_t off,
		  size_t *next)
{
	size_t i = *next;
	int err = 0;

	while (i < len && !err) {
		uint32_t n = frame(p, all, i);

		if (!n && end_record(p, all, i)) {
			r->ended = true;
			i += END_RECORD;
			r->at = off + i;
			continue;
		}
		if (!n) {
			i += 4;
			continue;
		}
		if (r->hole && off + i > r->at && !r->ended)
			err = r->hole(r, r->at, off + i);
		r->ended = false;
		if (!err)
			err = give(r, p + i, n, off + i);
		i += n;
		r->at = off + i;
	}
	*next = i;
	return err ? err : flush(r);
}

/* The record that begins at the end of the file and goes on behind the header. */
static int wrapped(struct reader *r)
{
	struct layer *l = r->l;
	uint64_t tail = l->size - r->at;
	uint8_t *p;
	int err;

	if (r->at >= l->size || tail >= RECORD_MAX || r->ended || l->size < RECORD_MAX)
		return 0;
	p = malloc(2 * RECORD_MAX);
	if (!p)
		return -ENOMEM;
	err = layer_read(l, r->at, p, (size_t)tail, NULL);
	if (!err)
		err = layer_read(l, HEADER, p + tail, RECORD_MAX, NULL);
	if (!err && frame(p, (size_t)tail + RECORD_MAX, 0))
		err = give(r, p, frame(p, (size_t)tail + RECORD_MAX, 0), r->at);
	free(p);
	return err ? err : flush(r);
}

static int walk(struct reader *r)
{
	uint8_t *buf = malloc(WINDOW + RECORD_MAX);
	uint64_t off = HEADER;
	size_t next = 0;
	int err = buf ? 0 : -ENOMEM;

	r->at = HEADER;
	while (off < r->l->size && !err) {
		uint64_t left = r->l->size - off;
		size_t all = left < WINDOW + RECORD_MAX ? (size_t)left : WINDOW + RECORD_MAX;
		size_t len = all < WINDOW ? all : WINDOW;

		err = session_stopped(r->l->s) ? -EINTR : layer_read(r->l, off, buf, all, NULL);
		if (!err)
			err = window(r, buf, len, all, off, &next);
		off += len;
		next = next > len ? next - len : 0;
	}
	free(buf);
	return err ? err : wrapped(r);
}

static void reader_free(struct reader *r)
{
	buf_free(&r->data);
	buf_free(&r->names);
	buf_free(&r->inserts);
	buf_free(&r->message);
	buf_free(&r->out);
}

static int evt_records(struct layer *l, const struct log_sink *sink)
{
	struct reader r = {.l = l, .sink = sink};
	int err = walk(&r);

	reader_free(&r);
	return err;
}

static bool header_ok(const struct header *h)
{
	return le32(h->len) == HEADER && le32(h->end_len) == HEADER &&
	       !memcmp(h->magic, magic, sizeof(magic));
}

static int evt_probe(struct layer *below)
{
	struct header h;
	uint8_t first[RECORD_MIN];

	if (below->size < HEADER || layer_read(below, 0, &h, sizeof(h), NULL))
		return 0;
	if (header_ok(&h))
		return 90;
	/* A lost header: a record behind it. */
	return !layer_read(below, HEADER, first, sizeof(first), NULL) &&
			       !memcmp(first + 4, magic, sizeof(magic))
		       ? 60
		       : 0;
}

static int evt_open(struct layer *l)
{
	struct header *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	l->priv = h;
	l->size = l->below->size;
	return layer_read(l->below, 0, h, sizeof(*h), NULL);
}

static int evt_map(struct layer *l, uint64_t off, struct extent *run)
{
	return layer_map_below(l, off, 0, run);
}

static int say_hole(struct reader *r, uint64_t from, uint64_t to)
{
	if (++r->holes <= SAID_MAX)
		finding_fact(r->l, EVT_RECORD_LOST,
			     &(struct fact){.at = from,
					    .at_len = to - from,
					    .off = from,
					    .len = to - from,
					    .lost = true},
			     "%" PRIu64 " bytes among the records are no record", to - from);
	return 0;
}

static int say_gap(void *arg, const struct ledger_channel *c, uint64_t first, uint64_t last)
{
	(void)c;
	finding(arg, EVT_IDS_MISSING, 0, 0, "records %" PRIu64 " to %" PRIu64 " are missing", first,
		last);
	return 0;
}

static int evt_check(struct layer *l)
{
	const struct header *h = l->priv;
	struct log_ledger *ledger = ledger_new();
	struct log_sink sink = {.ledger = ledger};
	struct reader r = {.l = l, .sink = &sink, .hole = say_hole};
	int err = ledger ? 0 : -ENOMEM;

	if (!header_ok(h))
		finding(l, EVT_HEADER_LOST, 0, HEADER, "no EVT file header");
	else if (le32(h->flags) & DIRTY)
		finding(l, EVT_OPEN, offsetof(struct header, flags), 4,
			"the log was open for writing");
	if (!err)
		err = walk(&r);
	if (r.holes > SAID_MAX)
		finding(l, EVT_RECORD_LOST, 0, 0, "%" PRIu64 " more places without a record",
			r.holes - SAID_MAX);
	if (!err)
		err = ledger_walk(ledger, NULL, say_gap, l);
	session_checked(l->s, l->size);
	reader_free(&r);
	ledger_free(ledger);
	return err;
}

static void evt_info(struct layer *l, struct json *to)
{
	const struct header *h = l->priv;

	if (!header_ok(h))
		return;
	js_strf(to, "version", "%u.%u", le32(h->major), le32(h->minor));
	js_u64(to, "oldest_record", le32(h->oldest_number));
	js_u64(to, "next_record", le32(h->next_number));
	js_bool(to, "dirty", le32(h->flags) & DIRTY);
}

static void evt_close(struct layer *l)
{
	free(l->priv);
}

static void *evt_carve_begin(struct layer *l, const struct log_sink *sink)
{
	struct reader *r = calloc(1, sizeof(*r));

	if (r)
		*r = (struct reader){.l = l, .sink = sink, .carving = true};
	return r;
}

/* The next magic at or behind p[i], a multiple of four, as records lie; @len: there is none. */
static size_t next_magic(const uint8_t *p, size_t len, size_t i)
{
	uint32_t wanted, word;

	memcpy(&wanted, magic, sizeof(wanted));
#ifdef __SSE2__
	for (const __m128i all = _mm_set1_epi32((int)wanted); i + 64 <= len; i += 64) {
		__m128i a = _mm_loadu_si128((const __m128i *)(p + i));
		__m128i b = _mm_loadu_si128((const __m128i *)(p + i + 16));
		__m128i c = _mm_loadu_si128((const __m128i *)(p + i + 32));
		__m128i d = _mm_loadu_si128((const __m128i *)(p + i + 48));

		a = _mm_or_si128(_mm_cmpeq_epi32(a, all), _mm_cmpeq_epi32(b, all));
		c = _mm_or_si128(_mm_cmpeq_epi32(c, all), _mm_cmpeq_epi32(d, all));
		if (_mm_movemask_epi8(_mm_or_si128(a, c)))
			break;
	}
#endif
	for (; i + 4 <= len; i += 4) {
		memcpy(&word, p + i, sizeof(word));
		if (word == wanted)
			return i;
	}
	return len;
}

static int evt_carve(void *state, const uint8_t *p, size_t len, size_t more, uint64_t off)
{
	struct reader *r = state;
	/* The magic stands behind the length, which may be the last of the window. */
	size_t all = len + (more >= 4 ? 4 : 0), i = (4 - off % 4) % 4;
	int err = 0;

	while (!err && (i = next_magic(p, all, i)) < all) {
		uint32_t n = i >= 4 ? frame(p, len + more, i - 4) : 0;

		if (n)
			err = give(r, p + i - 4, n, off + i - 4);
		i += n ? n : 4;
	}
	return err ? err : flush(r);
}

static int evt_carve_end(void *state, int err)
{
	reader_free(state);
	free(state);
	return err;
}

static const char *const evt_where[] = {"/windows/system32/config/*.evt",
					"/winnt/system32/config/*.evt", NULL};

const struct layer_ops evt_ops = {
	.name = "evt",
	.kind = LAYER_LOG,
	.probe = evt_probe,
	.open = evt_open,
	.read = layer_read_mapped,
	.map = evt_map,
	.check = evt_check,
	.info = evt_info,
	.close = evt_close,
};

const struct log_driver evt_log = {
	.ops = &evt_ops,
	.where = evt_where,
	.records = evt_records,
	.carve_begin = evt_carve_begin,
	.carve = evt_carve,
	.carve_end = evt_carve_end,
};
