/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries of journals in arbitrary bytes. Objects lie at multiples of eight, and say what they are. An
 * entry names its fields by their offsets in a file that may be in pieces by now, but also by
 * their hashes (regular journals), so those are found wherever they lie. Compact journals have no
 * hashes in entries: where the file began is tried, by a header seen before, then by the data
 * objects that lie just before the entry, where journald writes what it did not have yet. Either
 * way the entry's own hash over all fields proves what was found.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/log/journal.h"
#include "vdiskck/core/cache.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/span.h"

enum {
	DATA_MAX = 2 << 20, /* objects that are kept until entries are put together */
	ENTRIES_MAX = 1 << 20,
	HEADERS_MAX = 1024,
	BLOCK = 65536,
	BLOCKS = 512,
	GUESSES = 12, /* places where a compact journal may have begun, for each entry */
	TWINS = 4,    /* data objects of one hash that are tried */
	SECTOR = 512,
	TEXT_MAX = 1 << 20,
	SPEND_MAX = 1 << 30,
};

struct data {
	uint64_t off, hash;
	bool used; /* by an entry */
};

struct header {
	uint64_t off, end;
	uint8_t seqnum_id[16];
};

struct carver {
	struct layer *l;
	struct layer stub; /* what struct journal takes for its own layer */
	struct journal j;
	const struct log_sink *sink;
	struct journal_events *events;
	struct data *data; /* by address, as they come */
	uint32_t *by_hash; /* indices of @data */
	uint64_t *entry;
	struct header *header;
	size_t n_data, data_cap, n_entries, entries_cap, n_headers;
	struct journal_items items, at;
	uint64_t spent; /* bytes of texts that were looked at by themselves */
};

static int fill(void *arg, struct cache_item *it)
{
	struct carver *v = arg;
	uint64_t off = it->key * BLOCK, left = v->l->size - off;

	return layer_read(v->l, off, it->buf, left < BLOCK ? (size_t)left : BLOCK, &it->bad);
}

void *journal_carve_begin(struct layer *l, const struct log_sink *sink)
{
	struct carver *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->l = l;
	v->sink = sink;
	v->stub = (struct layer){.below = l, .s = l->s, .size = l->size};
	/* Keyed: an entry's hash is then made of plain hashes, which can be computed here. */
	v->j = (struct journal){.l = &v->stub, .flags = JOURNAL_KEYED, .end = l->size};
	v->j.blocks = cache_new(BLOCK, BLOCKS, fill, v);
	v->events = v->j.blocks ? journal_events_new(&v->j, sink, true) : NULL;
	if (!v->events) {
		cache_free(v->j.blocks);
		free(v);
		return NULL;
	}
	return v;
}

static void *room(void **p, size_t n, size_t *cap, size_t size)
{
	size_t more = *cap ? 2 * *cap : 1024;
	void *bigger;

	if (n < *cap)
		return *p;
	bigger = realloc(*p, more * size);
	if (!bigger)
		return NULL;
	*p = bigger;
	*cap = more;
	return bigger;
}

static bool is_data(const struct journal_data *d)
{
	enum { FAR = 40 /* bits of an offset in a journal: far more than any has */ };
	uint64_t all =
		le64(d->next_hash) | le64(d->next_field) | le64(d->entry) | le64(d->entry_array);

	return !(d->o.flags & (d->o.flags - 1u)) && le64(d->hash) && !(all & 7) && !(all >> FAR) &&
	       le64(d->o.size) > sizeof(*d) && le64(d->o.size) <= JOURNAL_PAYLOAD_MAX;
}

/* Microseconds from 2009 to 2200: no journal is older. */
static bool is_entry(const struct journal_entry *e)
{
	static const uint8_t none[16];
	const uint64_t from = UINT64_C(1230768000000000), to = UINT64_C(7258118400000000);
	uint64_t size = le64(e->o.size), t = le64(e->realtime);

	return !e->o.flags && size > sizeof(*e) && size % 4 == 0 &&
	       size <= sizeof(*e) + 16 * JOURNAL_ITEMS_MAX && t >= from && t < to &&
	       le64(e->seqnum) && le64(e->seqnum) >> 48 == 0 && le64(e->monotonic) < to &&
	       memcmp(e->boot_id, none, sizeof(none));
}

static int add_data(struct carver *v, uint64_t off, const struct journal_data *d)
{
	if (!room((void **)&v->data, v->n_data, &v->data_cap, sizeof(*v->data)))
		return -ENOMEM;
	v->data[v->n_data++] = (struct data){off, le64(d->hash), false};
	return 0;
}

static int add_entry(struct carver *v, uint64_t off)
{
	if (!room((void **)&v->entry, v->n_entries, &v->entries_cap, sizeof(*v->entry)))
		return -ENOMEM;
	v->entry[v->n_entries++] = off;
	return 0;
}

static int add_header(struct carver *v, uint64_t off, const struct journal_header *h)
{
	struct header *more;

	if (le64(h->header_size) < sizeof(*h) || le64(h->header_size) > 4096 ||
	    le64(h->arena_size) > v->l->size - off || v->n_headers == HEADERS_MAX)
		return 0;
	more = realloc(v->header, (v->n_headers + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	v->header = more;
	more += v->n_headers++;
	more->off = off;
	more->end = off + le64(h->header_size) + le64(h->arena_size);
	memcpy(more->seqnum_id, h->seqnum_id, 16);
	return 0;
}

/* The header of the journal that @off may be part of, as far as it is in one piece; or NULL. */
static const struct header *header_of(const struct carver *v, uint64_t off)
{
	for (size_t i = v->n_headers; i > 0; i--)
		if (v->header[i - 1].off < off)
			return off < v->header[i - 1].end ? &v->header[i - 1] : NULL;
	return NULL;
}

static void name_channel(const struct carver *v, uint64_t off, const struct journal_entry *e,
			 char channel[JOURNAL_CHANNEL])
{
	const struct header *h = header_of(v, off);

	if (log_run_booted(v->sink->run, e->boot_id, channel))
		return;
	strcpy(channel, "journal");
	for (int i = 0; h && i < 16; i++)
		sprintf(channel + 2 * i, "%02x", h->seqnum_id[i]);
	if (h)
		log_run_boot(v->sink->run, e->boot_id, channel);
}

static int by_hash(const void *a, const void *b, void *arg)
{
	const struct data *d = arg, *x = &d[*(const uint32_t *)a], *y = &d[*(const uint32_t *)b];

	return x->hash != y->hash ? (x->hash < y->hash ? -1 : 1)
				  : (x->off > y->off) - (x->off < y->off);
}

static int index_data(struct carver *v)
{
	free(v->by_hash);
	v->by_hash = malloc((v->n_data + 1) * sizeof(*v->by_hash));
	if (!v->by_hash)
		return -ENOMEM;
	for (size_t i = 0; i < v->n_data; i++)
		v->by_hash[i] = (uint32_t)i;
	qsort_r(v->by_hash, v->n_data, sizeof(*v->by_hash), by_hash, v->data);
	return 0;
}

/* The first object of that hash, as an index of by_hash; n_data: none. */
static size_t with_hash(const struct carver *v, uint64_t hash)
{
	size_t lo = 0, hi = v->n_data;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (v->data[v->by_hash[mid]].hash < hash)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < v->n_data && v->data[v->by_hash[lo]].hash == hash ? lo : v->n_data;
}

/* The first object at or behind @off, as an index of data. */
static size_t from(const struct carver *v, uint64_t off)
{
	size_t lo = 0, hi = v->n_data;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (v->data[mid].off < off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Nobody needs to be told of a field's text twice. */
static void use(struct carver *v, const struct journal_items *it)
{
	for (size_t i = 0; i < it->n; i++) {
		size_t k = from(v, it->off[i]);

		if (k < v->n_data && v->data[k].off == it->off[i])
			v->data[k].used = true;
	}
}

/* A regular entry: its fields by their hashes. How many were found. */
static size_t by_hashes(struct carver *v, const struct journal_items *it)
{
	size_t found = 0;

	v->at = *it;
	for (size_t i = 0; i < it->n; i++) {
		size_t k = with_hash(v, it->hash[i]);

		v->at.off[i] = k < v->n_data ? v->data[v->by_hash[k]].off : UINT64_MAX;
		found += k < v->n_data;
	}
	return found;
}

/* A field that was found may be one that was overwritten behind its head: others have the same hash. */
static int try_twins(struct carver *v, const struct journal_entry *e)
{
	int r = journal_fits(v->events, e, &v->at);

	for (size_t i = 0; i < v->at.n && !r; i++) {
		size_t k = with_hash(v, v->at.hash[i]);
		uint64_t was = v->at.off[i];

		for (size_t n = 1; n < TWINS && k + n < v->n_data && !r; n++) {
			const struct data *d = &v->data[v->by_hash[k + n]];

			if (d->hash != v->at.hash[i])
				break;
			v->at.off[i] = d->off;
			r = journal_fits(v->events, e, &v->at);
		}
		if (!r)
			v->at.off[i] = was;
	}
	return r;
}

/* The items with their journal taken to begin at @base: does the entry's hash fit? */
static int fits_at(struct carver *v, const struct journal_entry *e, const struct journal_items *it,
		   uint64_t base)
{
	v->at = *it;
	for (size_t i = 0; i < it->n; i++) {
		/* Where the start is no part of the layer, @base is below zero. */
		v->at.off[i] = base + it->off[i];
		if (v->at.off[i] >= v->l->size)
			return 0;
	}
	return journal_fits(v->events, e, &v->at);
}

static int by_places(struct carver *v, uint64_t off, const struct journal_entry *e,
		     const struct journal_items *it)
{
	const struct header *h = header_of(v, off);
	size_t k = from(v, off);
	uint64_t last = 0;
	int r = h ? fits_at(v, e, it, h->off) : 0;

	for (size_t i = 0; i < it->n; i++)
		last = it->off[i] > last ? it->off[i] : last;
	for (size_t i = 0; i < GUESSES && k > 0 && !r; i++)
		r = fits_at(v, e, it, v->data[--k].off - last);
	return r;
}

/* Fields of a compact entry that nothing vouches for are left out; that they were there is said. */
static void forget(struct journal_items *it)
{
	for (size_t i = 0; i < it->n; i++)
		it->off[i] = UINT64_MAX;
}

static int put_entry(struct carver *v, uint64_t off)
{
	char channel[JOURNAL_CHANNEL];
	struct journal_entry e;
	struct ranges bad = {0};
	size_t found = 0;
	int r = journal_read(&v->j, off, &e, sizeof(e), &bad);
	bool whole = (le64(e.o.size) - sizeof(e)) % 16 == 0, lost;

	v->j.flags = JOURNAL_KEYED;
	if (!r && whole) {
		r = journal_items(&v->j, off, &e.o, &e, &v->items, &bad);
		found = r ? 0 : by_hashes(v, &v->items);
		if (!r && found == v->items.n)
			r = try_twins(v, &e);
	}
	if (!r && !found) {
		v->j.flags |= JOURNAL_COMPACT;
		r = journal_items(&v->j, off, &e.o, &e, &v->items, &bad);
		if (!r)
			r = by_places(v, off, &e, &v->items);
		if (!r)
			forget(&v->at);
	}
	lost = bad.n;
	ranges_free(&bad);
	if (r < 0)
		return r;
	name_channel(v, off, &e, channel);
	use(v, &v->at);
	return journal_event(v->events, channel, off, le64(e.o.size), &e, &v->at,
			     lost ? LOG_LOST : 0);
}

/* What was said, of which nothing says when: a text that no entry has any more. */
static int put_text(struct carver *v, uint64_t off, bool compact)
{
	static const char name[] = "MESSAGE=";
	struct journal_entry e = {.seqnum = to_le64(0)};
	struct journal_field f = {0};
	struct journal_data d;
	bool text;
	int r = journal_read(&v->j, off, &d, sizeof(d), NULL);

	if (r || le64(d.o.size) > TEXT_MAX || v->spent > SPEND_MAX + v->l->size)
		return r;
	v->j.flags = JOURNAL_KEYED | (compact ? JOURNAL_COMPACT : 0u);
	r = journal_field(&v->j, off, &f);
	v->spent += le64(d.o.size) + f.len;
	text = !r && f.len >= sizeof(name) - 1 && !memcmp(f.p, name, sizeof(name) - 1);
	/* Of a keyed journal, nothing proves a text by itself. */
	if (text && f.hash == f.jenkins)
		e.xor_hash = to_le64(f.jenkins);
	free(f.p);
	if (!text)
		return r == -EBADMSG ? 0 : r;
	v->at = (struct journal_items){.n = 1, .off = {off}};
	r = journal_event(v->events, "journal", off, le64(d.o.size), &e, &v->at, 0);
	return r ? r : 1;
}

/* Put together what was found so far, and begin anew. */
static int put_all(struct carver *v)
{
	int r = v->n_data || v->n_entries ? index_data(v) : 0;

	for (size_t i = 0; i < v->n_entries && !r; i++)
		r = session_stopped(v->l->s) ? -EINTR : put_entry(v, v->entry[i]);
	for (size_t i = 0; i < v->n_data && !r; i++)
		if (!v->data[i].used) {
			r = put_text(v, v->data[i].off, false);
			r = r ? r : put_text(v, v->data[i].off, true);
			r = r > 0 ? 0 : r;
		}
	v->n_data = v->n_entries = 0;
	return r;
}

static int look(struct carver *v, struct span s, size_t i, uint64_t off)
{
	const struct journal_data *d = span_at(s, i, sizeof(*d));
	const struct journal_entry *e = span_at(s, i, sizeof(*e));

	if (!d || le64(d->o.size) > v->l->size - off)
		return 0;
	if (d->o.type == JOURNAL_DATA)
		return is_data(d) ? add_data(v, off, d) : 0;
	return is_entry(e) ? add_entry(v, off) : 0;
}

int journal_carve(void *state, const uint8_t *p, size_t len, size_t more, uint64_t off)
{
	static const char magic[] = "LPKSHHRH";
	struct carver *v = state;
	struct span s = {p, len + more, off};
	size_t i = (8 - off % 8) % 8;
	int r = 0;

	for (; i < len && len + more - i >= 8 && !r; i += 8) {
		uint64_t word;
		le64_t first;

		memcpy(&first, p + i, sizeof(first));
		word = le64(first);
		/* An object's first word: type, flags, six bytes of zero. */
		if (!(word >> 16) && ((word & 0xff) == JOURNAL_DATA || word == JOURNAL_ENTRY))
			r = look(v, s, i, off + i);
		else if (!memcmp(p + i, magic, 8) && (off + i) % SECTOR == 0 &&
			 span_at(s, i, sizeof(struct journal_header)))
			r = add_header(v, off + i, (const void *)(p + i));
	}
	if (!r && (v->n_data >= DATA_MAX || v->n_entries >= ENTRIES_MAX))
		r = put_all(v);
	return r;
}

int journal_carve_end(void *state, int r)
{
	struct carver *v = state;

	if (!r)
		r = put_all(v);
	journal_events_free(v->events);
	cache_free(v->j.blocks);
	free(v->data);
	free(v->by_hash);
	free(v->entry);
	free(v->header);
	free(v);
	return r;
}
