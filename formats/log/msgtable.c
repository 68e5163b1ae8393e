/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resources of PE files. Sources: Microsoft PE/COFF specification, "The .rsrc Section"; winnt.h,
 * MESSAGE_RESOURCE_DATA; libyal/libfwevt, "Windows Event manifest binary format".
 */
#include "formats/log/msgtable.h"

#include <errno.h>
#include <stdlib.h>

#include "vdiskck/core/endian.h"
#include "vdiskck/core/span.h"

enum {
	MESSAGE_TABLE = 11,	  /* RT_MESSAGETABLE */
	RESOURCES_MAX = 64 << 20, /* bytes of a .rsrc section */
	ALSO_MAX = 16,
	MESSAGES_MAX = 1 << 20,
	EVENTS_MAX = 1 << 18,
	ENTRIES_MAX = 1 << 16, /* of all resource directories of a file */
	ENGLISH = 0x409,
	SUBFOLDER = 1u << 31,
};

struct message {
	uint32_t id;
	uint16_t language;
	uint16_t units; /* of UTF-16; of ANSI: bytes */
	bool ansi;
	const uint8_t *text; /* in one of the blobs */
};

struct event {
	uint8_t provider[16];
	uint16_t id;
	uint8_t version;
	uint32_t message;
};

/* Message tables as they were read; messages point into them. */
struct blob {
	struct blob *next;
	uint8_t p[];
};

struct msgtable {
	struct message *v;
	size_t n, cap;
	struct event *events;
	size_t n_events, cap_events;
	struct blob *blobs;
	size_t bytes; /* of them */
	const struct msgtable *also[ALSO_MAX];
	size_t n_also;
};

struct msgtable *msgtable_new(void)
{
	return calloc(1, sizeof(struct msgtable));
}

void msgtable_free(struct msgtable *t)
{
	if (!t)
		return;
	for (struct blob *b = t->blobs, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	free(t->v);
	free(t->events);
	free(t);
}

size_t msgtable_count(const struct msgtable *t)
{
	return t->n;
}

size_t msgtable_bytes(const struct msgtable *t)
{
	return t->bytes + t->cap * sizeof(*t->v) + t->cap_events * sizeof(*t->events);
}

void msgtable_also(struct msgtable *t, const struct msgtable *of)
{
	if (t->n_also < ALSO_MAX)
		t->also[t->n_also++] = of;
}

static void *room(void **v, size_t n, size_t *cap, size_t max, size_t size)
{
	size_t more = *cap ? 2 * *cap : 256;
	void *p;

	if (n < *cap)
		return (uint8_t *)*v + n * size;
	p = n < max ? realloc(*v, more * size) : NULL;
	if (!p)
		return NULL;
	*v = p;
	*cap = more;
	return (uint8_t *)p + n * size;
}

static uint32_t u32(struct span s, uint64_t off, bool *ok)
{
	const le32_t *p = span_at(s, off, sizeof(*p));

	*ok &= p != NULL;
	return p ? le32(*p) : 0;
}

static uint16_t u16(struct span s, uint64_t off, bool *ok)
{
	const le16_t *p = span_at(s, off, sizeof(*p));

	*ok &= p != NULL;
	return p ? le16(*p) : 0;
}

/* MESSAGE_RESOURCE_ENTRY: length with this head, 1 for UTF-16, text. Returns its length. */
static uint32_t add_message(struct msgtable *t, struct span s, uint64_t off, uint32_t id,
			    unsigned language)
{
	bool ok = true;
	uint16_t len = u16(s, off, &ok), flags = u16(s, off + 2, &ok);
	struct message *m;

	if (!ok || len < 4 || !span_at(s, off, len))
		return 0;
	m = room((void **)&t->v, t->n, &t->cap, MESSAGES_MAX, sizeof(*m));
	if (!m)
		return 0;
	t->n++;
	*m = (struct message){.id = id, .language = (uint16_t)language, .text = s.p + off + 4};
	m->ansi = !(flags & 1);
	m->units = (uint16_t)(len - 4) / (m->ansi ? 1 : 2);
	/* Filled up with NUL to a multiple of four. */
	while (m->units && !m->text[(m->ansi ? 1 : 2) * (m->units - 1)] &&
	       (m->ansi || !m->text[2 * m->units - 1]))
		m->units--;
	return len;
}

static void add_messages(struct msgtable *t, struct span s, unsigned language)
{
	bool ok = true;
	uint32_t blocks = u32(s, 0, &ok);

	for (uint32_t i = 0; i < blocks && ok; i++) {
		uint32_t low = u32(s, 4 + 12ull * i, &ok), high = u32(s, 8 + 12ull * i, &ok);
		uint64_t off = u32(s, 12 + 12ull * i, &ok);

		for (uint64_t id = low; id <= high && ok; id++) {
			uint32_t len = add_message(t, s, off, (uint32_t)id, language);

			if (!len)
				break;
			off += len;
		}
	}
}

static int by_id(const void *a, const void *b)
{
	const struct message *x = a, *y = b;

	return x->id != y->id ? (x->id < y->id ? -1 : 1) : (int)x->language - (int)y->language;
}

static int by_event(const void *a, const void *b)
{
	const struct event *x = a, *y = b;
	int r = memcmp(x->provider, y->provider, sizeof(x->provider));

	if (!r)
		r = (int)x->id - (int)y->id;
	return r ? r : (int)x->version - (int)y->version;
}

/* EVNT: 16 bytes, then events of 48 bytes. */
static bool add_events(struct msgtable *t, struct span s, uint64_t off, const uint8_t *provider)
{
	bool ok = true;
	uint32_t n = u32(s, off + 8, &ok);

	for (uint32_t i = 0; i < n && ok; i++) {
		uint64_t at = off + 16 + 48ull * i;
		const uint8_t *p = span_at(s, at, 48);
		struct event *e = p ? room((void **)&t->events, t->n_events, &t->cap_events,
					   EVENTS_MAX, sizeof(*e))
				    : NULL;

		if (!e)
			return false;
		memcpy(e->provider, provider, sizeof(e->provider));
		e->id = u16(s, at, &ok);
		e->version = p[2];
		e->message = u32(s, at + 16, &ok);
		t->n_events++;
	}
	return ok;
}

int msgtable_manifest(struct msgtable *t, const uint8_t *p, size_t len)
{
	struct span s = {p, len, 0};
	bool ok = span_at(s, 0, 16) && !memcmp(p, "CRIM", 4);
	uint32_t providers = ok ? u32(s, 12, &ok) : 0;

	for (uint32_t i = 0; i < providers && ok; i++) {
		const uint8_t *guid = span_at(s, 16 + 20ull * i, 16);
		uint64_t off = u32(s, 32 + 20ull * i, &ok);
		const uint8_t *head = span_at(s, off, 20);
		uint32_t parts = u32(s, off + 12, &ok);

		ok &= guid && head && !memcmp(head, "WEVT", 4);
		for (uint32_t k = 0; k < parts && ok; k++) {
			uint64_t at = u32(s, off + 20 + 8ull * k, &ok);
			const uint8_t *part = span_at(s, at, 4);

			ok &= part != NULL;
			if (ok && !memcmp(part, "EVNT", 4))
				ok = add_events(t, s, at, guid);
		}
	}
	if (t->n_events)
		qsort(t->events, t->n_events, sizeof(*t->events), by_event);
	return ok ? 0 : -EBADMSG;
}

struct resources {
	struct msgtable *t;
	struct span s; /* the resource section */
	uint32_t rva;  /* where it is loaded */
	unsigned budget;
	int err;
};

/* An entry's name is the UTF-16 text @name. */
static bool named(struct span s, uint32_t name, const char *wanted)
{
	size_t len = strlen(wanted);
	bool ok = true;
	const uint8_t *p;

	if (!(name & SUBFOLDER) || u16(s, name & ~SUBFOLDER, &ok) != len || !ok)
		return false;
	p = span_at(s, (name & ~SUBFOLDER) + 2ull, 2 * len);
	for (size_t i = 0; p && i < len; i++)
		if (p[2 * i] != (uint8_t)wanted[i] || p[2 * i + 1])
			return false;
	return p != NULL;
}

/* Messages stay where they are in their table: it is kept, and nothing else of the section. */
static const uint8_t *keep(struct resources *r, const uint8_t *p, uint32_t len)
{
	struct blob *b = r->t->bytes + len <= RESOURCES_MAX ? malloc(sizeof(*b) + len) : NULL;

	if (!b) {
		r->err = r->t->bytes + len <= RESOURCES_MAX ? -ENOMEM : r->err;
		return NULL;
	}
	b->next = r->t->blobs;
	memcpy(b->p, p, len);
	r->t->blobs = b;
	r->t->bytes += len;
	return b->p;
}

static void leaf(struct resources *r, uint32_t off, bool messages, unsigned language)
{
	bool ok = true;
	uint32_t rva = u32(r->s, off, &ok), len = u32(r->s, off + 4ull, &ok);
	const uint8_t *p = ok && rva >= r->rva ? span_at(r->s, rva - r->rva, len) : NULL;

	if (p && messages)
		p = keep(r, p, len);
	if (p && messages)
		add_messages(r->t, (struct span){p, len, 0}, language);
	else if (p)
		msgtable_manifest(r->t, p, len);
}

/* Three levels: type, name, language. 16 bytes, then entries of a name or id, and where it leads. */
static void folder(struct resources *r, uint32_t off, int level, bool messages)
{
	bool ok = true;
	uint32_t n = (uint32_t)u16(r->s, off + 12ull, &ok) + u16(r->s, off + 14ull, &ok);

	for (uint32_t i = 0; i < n && ok && r->budget; i++, r->budget--) {
		uint32_t name = u32(r->s, off + 16ull + 8ull * i, &ok);
		uint32_t to = u32(r->s, off + 20ull + 8ull * i, &ok);
		bool manifest = !level && named(r->s, name, "WEVT_TEMPLATE");

		if (!ok)
			break;
		if (!level && name != MESSAGE_TABLE && !manifest)
			continue;
		if (!level)
			messages = !manifest;
		if (to & SUBFOLDER && level < 2)
			folder(r, to & ~SUBFOLDER, level + 1, messages);
		else if (!(to & SUBFOLDER))
			leaf(r, to, messages, name);
	}
}

/* Where the resources lie: in the file, and when loaded. */
static int find_resources(struct layer *pe, uint64_t *off, uint32_t *len, uint32_t *rva)
{
	uint8_t head[4096] = {0};
	struct span s = {head, sizeof(head), 0};
	bool ok = true;
	uint32_t at, optional, sections, directory;
	int r = layer_read(pe, 0, head, sizeof(head), NULL);

	if (r)
		return r;
	at = u32(s, 0x3c, &ok);
	if (memcmp(head, "MZ", 2) || !span_at(s, at, 24) || memcmp(head + at, "PE\0\0", 4))
		return -EBADMSG;
	sections = u16(s, at + 6ull, &ok);
	optional = at + 24;
	/* PE32+ has a larger head before its data directories; resources are the third. */
	directory = optional + (u16(s, optional, &ok) == 0x20b ? 112 : 96) + 2 * 8;
	*rva = u32(s, directory, &ok);
	at = optional + u16(s, at + 20ull, &ok);
	*len = 0;
	for (uint32_t i = 0; i < sections && ok && *rva; i++, at += 40) {
		uint32_t from = u32(s, at + 12ull, &ok), raw = u32(s, at + 16ull, &ok);

		if (*rva < from || *rva - from >= raw)
			continue;
		*off = (uint64_t)u32(s, at + 20ull, &ok) + (*rva - from);
		*len = raw - (*rva - from);
		break;
	}
	return ok ? 0 : -EBADMSG;
}

int msgtable_add(struct msgtable *t, struct layer *pe)
{
	struct resources res = {.t = t, .budget = ENTRIES_MAX};
	uint64_t off;
	uint32_t len;
	uint8_t *section;
	int r = find_resources(pe, &off, &len, &res.rva);

	if (r || !len)
		return r;
	if (!range_inside(off, 16, pe->size))
		return -EBADMSG;
	if (len > pe->size - off)
		len = (uint32_t)(pe->size - off);
	len = len < RESOURCES_MAX ? len : RESOURCES_MAX;
	section = malloc(len);
	if (!section)
		return -ENOMEM;
	r = layer_read(pe, off, section, len, NULL);
	res.s = (struct span){section, len, off};
	if (!r)
		folder(&res, 0, 0, false);
	free(section);
	if (t->n)
		qsort(t->v, t->n, sizeof(*t->v), by_id);
	r = r ? r : res.err;
	return r;
}

/* Messages are sorted by id: the first one that has it, or where it would be. */
static const struct message *find(const struct msgtable *t, uint32_t id, unsigned language)
{
	const struct message *best = NULL;
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (t->v[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < t->n && t->v[lo].id == id; lo++) {
		const struct message *m = &t->v[lo];

		if ((!language || m->language == language) &&
		    (!best || (m->language == ENGLISH && best->language != ENGLISH)))
			best = m;
	}
	return best;
}

bool msgtable_text(const struct msgtable *t, uint32_t id, unsigned language, struct buf *out)
{
	const struct message *m = find(t, id, language);

	for (size_t i = 0; i < t->n_also && !m; i++)
		m = find(t->also[i], id, language);
	if (!m)
		return false;
	if (m->ansi)
		buf_put(out, m->text, m->units);
	else
		buf_utf16(out, m->text, m->units);
	return true;
}

static const struct event *find_event(const struct msgtable *t, const struct event *key)
{
	return t->n_events ? bsearch(key, t->events, t->n_events, sizeof(*key), by_event) : NULL;
}

bool msgtable_event(const struct msgtable *t, const uint8_t provider[16], unsigned event_id,
		    unsigned version, uint32_t *id)
{
	struct event key = {.id = (uint16_t)event_id, .version = (uint8_t)version};
	const struct event *e;

	memcpy(key.provider, provider, sizeof(key.provider));
	if (event_id > UINT16_MAX || version > UINT8_MAX)
		return false;
	e = find_event(t, &key);
	for (size_t i = 0; i < t->n_also && !e; i++)
		e = find_event(t->also[i], &key);
	if (e)
		*id = e->message;
	return e && e->message != UINT32_MAX;
}
