/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/evtx_build.h"

#include <stdlib.h>
#include <string.h>

#include "formats/log/evtx.h"
#include "vdiskck/core/sum.h"

enum { NAMES = 64, TEMPLATES = 1 + EVTX_BUILD_KINDS, OPEN_MAX_DEPTH = 16 };

struct writer {
	const struct evtx_spec *spec;
	uint8_t *file;
	size_t len;
	uint8_t c[EVTX_CHUNK];
	size_t at;	   /* in the chunk */
	size_t last;	   /* the last record in it */
	uint64_t number;   /* of the next record */
	unsigned in_chunk; /* records */
	struct {
		const char *name;
		uint32_t off;
	} names[NAMES];
	size_t n_names;
	uint32_t templates[TEMPLATES];
	size_t open[OPEN_MAX_DEPTH];
	size_t depth;
};

static void put(struct writer *w, const void *p, size_t n)
{
	if (n > sizeof(w->c) - w->at)
		abort();
	if (n)
		memcpy(w->c + w->at, p, n);
	w->at += n;
}

static void put8(struct writer *w, uint8_t v)
{
	put(w, &v, 1);
}

static void put16(struct writer *w, uint16_t v)
{
	put(w, &v, 2);
}

static void put32(struct writer *w, uint32_t v)
{
	put(w, &v, 4);
}

static void set32(struct writer *w, size_t at, uint32_t v)
{
	memcpy(w->c + at, &v, 4);
}

static void put_utf16(struct writer *w, const char *s)
{
	for (; *s; s++)
		put16(w, (uint8_t)*s);
}

/* A name: its offset, and the name itself if this chunk does not have it yet. */
static void name(struct writer *w, const char *s)
{
	le32_t *table = (le32_t *)(w->c + offsetof(struct evtx_chunk_header, strings));
	uint32_t hash = 0;
	size_t i;

	for (i = 0; i < w->n_names; i++)
		if (!strcmp(w->names[i].name, s)) {
			put32(w, w->names[i].off);
			return;
		}
	for (const char *p = s; *p; p++)
		hash = hash * 65599 + (uint8_t)*p;
	hash &= 0xffff;
	put32(w, (uint32_t)w->at + 4);
	w->names[w->n_names].name = s;
	w->names[w->n_names++].off = (uint32_t)w->at;
	put32(w, le32(table[hash % EVTX_STRINGS]));
	table[hash % EVTX_STRINGS] = to_le32((uint32_t)w->at - 4);
	put16(w, (uint16_t)hash);
	put16(w, (uint16_t)strlen(s));
	put_utf16(w, s);
	put16(w, 0);
}

static void open_element(struct writer *w, const char *s)
{
	put8(w, 0x01);
	put16(w, 0xffff);
	w->open[w->depth++] = w->at;
	put32(w, 0);
	name(w, s);
}

/* The length of the list of attributes stands before it. */
static size_t attributes(struct writer *w, const char *s)
{
	open_element(w, s);
	w->c[w->open[w->depth - 1] - 3] = 0x41;
	put32(w, 0);
	return w->at;
}

static void end_attributes(struct writer *w, size_t from)
{
	set32(w, from - 4, (uint32_t)(w->at - from));
}

static void attribute(struct writer *w, const char *s, bool more)
{
	put8(w, more ? 0x46 : 0x06);
	name(w, s);
}

static void close_element(struct writer *w, uint8_t token)
{
	size_t at = w->open[--w->depth];

	put8(w, token);
	set32(w, at, (uint32_t)(w->at - at - 4));
}

static void text(struct writer *w, const char *s)
{
	put8(w, 0x05);
	put8(w, 0x01);
	put16(w, (uint16_t)strlen(s));
	put_utf16(w, s);
}

static void value(struct writer *w, uint16_t index, uint8_t type)
{
	put8(w, type == 0x21 || type == 0x01 || type == 0x81 ? 0x0d : 0x0e);
	put16(w, index);
	put8(w, type);
}

static void simple(struct writer *w, const char *s, uint16_t index, uint8_t type)
{
	open_element(w, s);
	put8(w, 0x02);
	value(w, index, type);
	close_element(w, 0x04);
}

static void constant(struct writer *w, const char *s, const char *t)
{
	open_element(w, s);
	put8(w, 0x02);
	text(w, t);
	close_element(w, 0x04);
}

/* The order of values is that of Windows. */
static void system_elements(struct writer *w)
{
	size_t list = attributes(w, "Provider");

	attribute(w, "Name", true);
	if (w->spec->event)
		value(w, 14, 0x01);
	else
		text(w, "vdiskck-Test");
	attribute(w, "Guid", false);
	text(w, "{11111111-2222-3333-4444-555555555555}");
	end_attributes(w, list);
	close_element(w, 0x03);
	list = attributes(w, "EventID");
	attribute(w, "Qualifiers", false);
	value(w, 4, 0x06);
	end_attributes(w, list);
	put8(w, 0x02);
	value(w, 3, 0x06);
	close_element(w, 0x04);
	simple(w, "Version", 11, 0x04);
	simple(w, "Level", 0, 0x04);
	simple(w, "Task", 2, 0x06);
	simple(w, "Opcode", 1, 0x04);
	simple(w, "Keywords", 5, 0x15);
	list = attributes(w, "TimeCreated");
	attribute(w, "SystemTime", false);
	value(w, 6, 0x11);
	end_attributes(w, list);
	close_element(w, 0x03);
	simple(w, "EventRecordID", 10, 0x0a);
	list = attributes(w, "Execution");
	attribute(w, "ProcessID", true);
	value(w, 8, 0x08);
	attribute(w, "ThreadID", false);
	value(w, 9, 0x08);
	end_attributes(w, list);
	close_element(w, 0x03);
	constant(w, "Channel", w->spec->channel);
	constant(w, "Computer", "node16");
	list = attributes(w, "Security");
	attribute(w, "UserID", false);
	value(w, 12, 0x13);
	end_attributes(w, list);
	close_element(w, 0x03);
}

static void event_template(struct writer *w)
{
	size_t list = attributes(w, "Event");

	attribute(w, "xmlns", false);
	text(w, "http://schemas.microsoft.com/win/2004/08/events/event");
	end_attributes(w, list);
	put8(w, 0x02);
	open_element(w, "System");
	put8(w, 0x02);
	system_elements(w);
	close_element(w, 0x04);
	value(w, 19, 0x21);
	close_element(w, 0x04);
}

static void data(struct writer *w, const char *s, uint16_t index, uint8_t type)
{
	size_t list = attributes(w, "Data");

	attribute(w, "Name", false);
	text(w, s);
	end_attributes(w, list);
	put8(w, 0x02);
	value(w, index, type);
	close_element(w, 0x04);
}

static void data_template(struct writer *w, unsigned kind)
{
	open_element(w, kind == 2 ? "UserData" : "EventData");
	put8(w, 0x02);
	data(w, "text", 0, 0x01);
	if (kind == 1) {
		data(w, "number", 1, 0x08);
		data(w, "who", 2, 0x13);
		data(w, "id", 3, 0x0f);
	} else if (kind == 2) {
		simple(w, "signed", 1, 0x07);
		simple(w, "flag", 2, 0x0d);
		simple(w, "blob", 3, 0x0e);
	} else if (kind == 3) {
		simple(w, "Data", 1, 0x81);
		simple(w, "when", 2, 0x12);
		if (w->spec->extra)
			simple(w, "more", 3, 0x21);
	}
	close_element(w, 0x04);
}

/* Instance of template @t: 0 is the event's, the rest are the data's of each kind. */
static void instance(struct writer *w, unsigned t)
{
	le32_t *table = (le32_t *)(w->c + offsetof(struct evtx_chunk_header, templates));
	uint32_t id = 0x1000 + t;
	size_t len_at;

	put(w, "\x0f\x01\x01\x00\x0c\x01", 6);
	put32(w, id);
	if (w->templates[t]) {
		put32(w, w->templates[t]);
		return;
	}
	w->templates[t] = (uint32_t)w->at + 4;
	put32(w, w->templates[t]);
	put32(w, le32(table[id % EVTX_TEMPLATES]));
	table[id % EVTX_TEMPLATES] = to_le32(w->templates[t]);
	put32(w, id);
	/* The rest of the GUID tells logs with other literals apart, as it does in Windows. */
	put(w, "vdiskck evtx", 11);
	put8(w, (uint8_t)(strlen(w->spec->channel) % 64 + (w->spec->event ? 64 : 0) +
			  (w->spec->extra ? 128 : 0)));
	len_at = w->at;
	put32(w, 0);
	put(w, "\x0f\x01\x01\x00", 4);
	if (t)
		data_template(w, t - 1);
	else
		event_template(w);
	put8(w, 0);
	set32(w, len_at, (uint32_t)(w->at - len_at - 4));
}

struct item {
	const void *p;
	uint16_t len;
	uint8_t type;
};

static void values(struct writer *w, const struct item *v, uint32_t n)
{
	put32(w, n);
	for (uint32_t i = 0; i < n; i++) {
		put16(w, v[i].len);
		put8(w, v[i].type);
		put8(w, 0);
	}
	for (uint32_t i = 0; i < n; i++)
		put(w, v[i].p, v[i].len);
}

void evtx_build_text(uint64_t id, unsigned seed, char out[200])
{
	uint32_t r = (uint32_t)id * 2654435761u ^ seed * 40503u;
	size_t len = 8 + (r >> 8) % 120;

	for (size_t i = 0; i < len; i++)
		out[i] = "the quick \"fox\" jumps over\\the lazy <dog> & "[(i + r % 7) % 44];
	out[len] = '\0';
}

uint64_t evtx_build_time(uint64_t id)
{
	return 132000000000000000 + id * 12345678;
}

static const struct evtx_event *event_of(const struct writer *w, uint64_t id)
{
	for (size_t i = 0; i < w->spec->n_events; i++)
		if (w->spec->event[i].id == id)
			return &w->spec->event[i];
	return NULL;
}

/* ASCII as UTF-16; the bytes. */
static uint16_t wide(const char *s, uint16_t *out, size_t max)
{
	size_t n = 0;

	for (; s[n] && n < max; n++)
		out[n] = (uint8_t)s[n];
	return (uint16_t)(2 * n);
}

static size_t data_instance(struct writer *w, uint64_t id, const struct evtx_event *e)
{
	static const uint8_t sid[] = {1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0};
	static const uint8_t when[] = {0xe6, 7, 3, 0, 2, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0};
	unsigned kind = e ? 0 : (unsigned)(id % EVTX_BUILD_KINDS);
	uint16_t utf16[200], len;
	char line[200];
	uint32_t number = (uint32_t)id * 3, flag = 1;
	int32_t negative = -(int32_t)id;
	size_t from = w->at;

	evtx_build_text(id, w->spec->seed, line);
	len = wide(e ? e->text : line, utf16, 200);
	instance(w, 1 + kind);
	if (kind == 1)
		values(w,
		       (struct item[]){{utf16, len, 1},
				       {&number, 4, 8},
				       {sid, sizeof(sid), 0x13},
				       {sid, 16, 0x0f}},
		       4);
	else if (kind == 2)
		values(w,
		       (struct item[]){{utf16, len, 1},
				       {&negative, 4, 7},
				       {&flag, 4, 0x0d},
				       {sid, 9, 0x0e}},
		       4);
	else if (kind == 3)
		values(w,
		       (struct item[]){{utf16, len, 1},
				       {u"one\0two\0", 16, 0x81},
				       {when, 16, 0x12},
				       {w->spec->extra, w->spec->extra_len, 0x21}},
		       w->spec->extra ? 4 : 3);
	else
		values(w, (struct item[]){{utf16, len, 1}}, 1);
	put8(w, 0);
	return w->at - from;
}

static void record(struct writer *w, uint64_t id)
{
	static const uint8_t sid[] = {1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0};
	const struct evtx_event *e = event_of(w, id);
	uint8_t level = w->spec->event ? 4 : (uint8_t)(1 + id % 5), zero = 0;
	uint16_t event_id = (uint16_t)(1000 + id % EVTX_BUILD_KINDS), task = 7;
	uint16_t provider[64];
	uint64_t keywords = 0x8000000000000000, time = evtx_build_time(id);
	uint32_t pid = 4321, tid = (uint32_t)id;
	struct item v[20] = {
		[0] = {&level, 1, 4},
		[1] = {&zero, 1, 4},
		[2] = {&task, 2, 6},
		[3] = {&event_id, 2, 6},
		[5] = {&keywords, 8, 0x15},
		[6] = {&time, 8, 0x11},
		[8] = {&pid, 4, 8},
		[9] = {&tid, 4, 8},
		[10] = {&id, 8, 0x0a},
		[11] = {&zero, 1, 4},
		[12] = {sid, id & 1 ? 12 : 0, id & 1 ? 0x13 : 0},
	};
	size_t from = w->at, descriptor, nested;
	uint64_t head[2] = {id, time};

	if (e) {
		level = e->level;
		event_id = e->event_id;
	}
	if (w->spec->event)
		v[14] = (struct item){provider, wide(e ? e->provider : "Service", provider, 64), 1};
	put32(w, EVTX_RECORD_MAGIC);
	put32(w, 0);
	put(w, head, sizeof(head));
	instance(w, 0);
	v[19] = (struct item){NULL, 0, 0x21};
	descriptor = w->at + 4 + 19 * 4;
	values(w, v, 20);
	nested = data_instance(w, id, e);
	w->c[descriptor] = (uint8_t)nested;
	w->c[descriptor + 1] = (uint8_t)(nested >> 8);
	put8(w, 0);
	while ((w->at - from) % 8 != 4)
		put8(w, 0);
	set32(w, from + 4, (uint32_t)(w->at + 4 - from));
	put32(w, (uint32_t)(w->at + 4 - from));
	w->last = from;
}

static void begin_chunk(struct writer *w, uint64_t id)
{
	struct evtx_chunk_header *h = (struct evtx_chunk_header *)w->c;

	memset(w->c, 0, sizeof(w->c));
	memcpy(h->magic, "ElfChnk", 8);
	h->first_number = to_le64(w->number);
	h->first_id = to_le64(id);
	h->header_len = to_le32(128);
	w->at = EVTX_CHUNK_DATA;
	w->n_names = 0;
	w->in_chunk = 0;
	memset(w->templates, 0, sizeof(w->templates));
}

static void end_chunk(struct writer *w, uint64_t id)
{
	struct evtx_chunk_header *h = (struct evtx_chunk_header *)w->c;

	h->last_number = to_le64(w->number - 1);
	h->last_id = to_le64(id);
	h->last_record = to_le32((uint32_t)w->last);
	h->free_off = to_le32((uint32_t)w->at);
	w->file = realloc(w->file, w->len + EVTX_CHUNK);
	if (!w->file)
		abort();
	memcpy(w->file + w->len, w->c, EVTX_CHUNK);
	w->len += EVTX_CHUNK;
	evtx_build_sums(w->file, (w->len - EVTX_FILE_HEADER) / EVTX_CHUNK - 1);
}

void evtx_build_sums(uint8_t *file, size_t i)
{
	struct evtx_chunk_header *h =
		(struct evtx_chunk_header *)(file + EVTX_FILE_HEADER + i * EVTX_CHUNK);
	uint32_t crc;

	h->data_crc = to_le32(
		sum_crc32(0, (uint8_t *)h + EVTX_CHUNK_DATA, le32(h->free_off) - EVTX_CHUNK_DATA));
	crc = sum_crc32(0, h, 120);
	h->crc = to_le32(sum_crc32(crc, (uint8_t *)h + 128, EVTX_CHUNK_DATA - 128));
}

void evtx_build_header_sum(uint8_t *file)
{
	struct evtx_file_header *h = (struct evtx_file_header *)file;

	h->crc = to_le32(sum_crc32(0, h, 120));
}

static void file_header(struct writer *w, uint64_t next)
{
	struct evtx_file_header *h = (struct evtx_file_header *)w->file;
	uint64_t chunks = (w->len - EVTX_FILE_HEADER) / EVTX_CHUNK;

	memset(h, 0, EVTX_FILE_HEADER);
	memcpy(h->magic, "ElfFile", 8);
	h->last_chunk = to_le64(chunks - 1);
	h->next_record = to_le64(next);
	h->header_len = to_le32(128);
	h->minor = to_le16(1);
	h->major = to_le16(3);
	h->block_len = to_le16(EVTX_FILE_HEADER);
	h->chunks = to_le16((uint16_t)chunks);
	h->flags = to_le32(w->spec->flags);
	evtx_build_header_sum(w->file);
}

uint8_t *evtx_build(const struct evtx_spec *spec, size_t *len)
{
	struct writer *w = calloc(1, sizeof(*w));
	uint64_t id = spec->first_id;
	uint8_t *file;

	if (!w)
		abort();
	w->spec = spec;
	w->number = 1;
	w->len = EVTX_FILE_HEADER;
	w->file = malloc(w->len);
	begin_chunk(w, id);
	for (unsigned i = 0; i < spec->records; i++, id++, w->number++, w->in_chunk++) {
		/* No record of ours has more than 4 KiB, but for what the caller adds. */
		if (w->at + 4096 + spec->extra_len > EVTX_CHUNK ||
		    (spec->per_chunk && w->in_chunk == spec->per_chunk)) {
			end_chunk(w, id - 1);
			begin_chunk(w, id);
		}
		record(w, id);
	}
	end_chunk(w, id - 1);
	file_header(w, id);
	*len = w->len + spec->spare * (size_t)EVTX_CHUNK;
	file = realloc(w->file, *len);
	if (!file)
		abort();
	memset(file + w->len, 0, *len - w->len);
	free(w);
	return file;
}
