/* SPDX-License-Identifier: Apache-2.0 */
/* A journal file as a layer: its header, and its objects one by one. */
#include "formats/log/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/drivers.h"
#include "vdiskck/core/cache.h"
#include "vdiskck/core/inflate.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/span.h"
#include "vdiskck/core/text.h"

enum {
	BLOCK = 65536, /* what is read at once: objects are small, and refer back a little */
	BLOCKS = 512,  /* that are kept: 32 MiB */
	HEADER_MIN = 208,
	HEADER_MAX = 4096,
};

struct journal *journal_of(struct layer *l)
{
	return l->priv;
}

static int journal_probe(struct layer *below)
{
	struct journal_header h;

	if (below->size < sizeof(h) || layer_read(below, 0, &h, sizeof(h), NULL) ||
	    memcmp(h.magic, "LPKSHHRH", 8))
		return 0;
	return le64(h.header_size) >= HEADER_MIN && le64(h.header_size) <= HEADER_MAX ? 95 : 60;
}

static int fill(void *arg, struct cache_item *it)
{
	struct journal *j = arg;
	uint64_t off = it->key * BLOCK, left = j->l->below->size - off;

	return layer_read(j->l->below, off, it->buf, left < BLOCK ? (size_t)left : BLOCK, &it->bad);
}

int journal_read(struct journal *j, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	uint8_t *to = buf;

	if (!range_inside(off, len, j->l->below->size))
		return -EBADMSG;
	while (len) {
		size_t in = off % BLOCK, n = BLOCK - in < len ? BLOCK - in : len;
		const struct cache_item *it;
		int r = cache_get(j->blocks, off / BLOCK, 0, &it);

		if (r)
			return r;
		memcpy(to, it->buf + in, n);
		for (size_t i = 0; i < it->bad.n && !r; i++) {
			const struct range *b = &it->bad.v[i];
			uint64_t lo = b->off > off ? b->off : off;
			uint64_t hi = b->off + b->len < off + n ? b->off + b->len : off + n;

			if (lo < hi)
				r = ranges_add(bad, lo, hi - lo, b->grade, b->why);
		}
		cache_put(j->blocks, it);
		if (r)
			return r;
		to += n;
		off += n;
		len -= n;
	}
	return 0;
}

/* Numbers of the header that anything depends on. */
static bool header_sane(const struct journal *j)
{
	const struct journal_header *h = &j->h;
	uint64_t size = le64(h->header_size);

	return !memcmp(h->magic, "LPKSHHRH", 8) && size >= HEADER_MIN && size <= HEADER_MAX &&
	       size % 8 == 0 && h->state <= 2;
}

static int journal_open(struct layer *l)
{
	struct journal *j = calloc(1, sizeof(*j));
	uint64_t arena;
	int r;

	l->priv = j;
	if (!j)
		return -ENOMEM;
	j->l = l;
	l->size = l->below->size;
	if (l->size < sizeof(j->h))
		return -EBADMSG;
	j->blocks = cache_new(BLOCK, BLOCKS, fill, j);
	if (!j->blocks)
		return -ENOMEM;
	r = layer_read(l->below, 0, &j->h, sizeof(j->h), NULL);
	if (r)
		return r;
	j->header_ok = header_sane(j);
	j->flags = j->header_ok ? le32(j->h.incompatible) : JOURNAL_KNOWN & ~JOURNAL_COMPACT;
	j->start = j->header_ok ? le64(j->h.header_size) : HEADER_MIN;
	j->end = l->size;
	arena = le64(j->h.arena_size);
	if (j->header_ok && arena < l->size - j->start)
		j->end = j->start + arena;
	if (!j->header_ok)
		finding(l, JOURNAL_HEADER, 0, sizeof(j->h),
			"the header is no header of a journal: objects are looked for without it");
	if (j->flags & ~(uint32_t)JOURNAL_KNOWN) {
		finding(l, JOURNAL_FEATURE, 12, 4, "incompatible flags 0x%" PRIx32,
			j->flags & ~(uint32_t)JOURNAL_KNOWN);
		return -EOPNOTSUPP;
	}
	return 0;
}

static void journal_close(struct layer *l)
{
	struct journal *j = l->priv;

	if (j)
		cache_free(j->blocks);
	free(j);
}

static uint64_t least(uint8_t type)
{
	static const uint8_t min[JOURNAL_TYPES] = {
		[JOURNAL_DATA] = 64,	    [JOURNAL_FIELD] = 40,	 [JOURNAL_ENTRY] = 64,
		[JOURNAL_DATA_HASHES] = 16, [JOURNAL_FIELD_HASHES] = 16, [JOURNAL_ARRAY] = 24,
		[JOURNAL_TAG] = 64,
	};

	return min[type];
}

bool journal_sane(const struct journal *j, uint64_t off, const struct journal_object *o)
{
	static const uint8_t none[6];
	uint64_t size = le64(o->size);

	return o->type > JOURNAL_UNUSED && o->type < JOURNAL_TYPES && o->flags <= 4 &&
	       (o->flags == 0 || o->type == JOURNAL_DATA) && !memcmp(o->reserved, none, 6) &&
	       size >= least(o->type) && off % 8 == 0 && size <= j->end - off;
}

int journal_next(struct journal *j, uint64_t *off, struct journal_object *o, uint64_t *skipped)
{
	*skipped = 0;
	for (; *off < j->end && j->end - *off >= sizeof(*o); *off += 8, *skipped += 8) {
		int r = journal_read(j, *off, o, sizeof(*o), NULL);

		if (r)
			return r;
		if (journal_sane(j, *off, o))
			return 0;
		if (*skipped % (1 << 20) == 0 && session_stopped(j->l->s))
			return -EINTR;
	}
	return -ENOENT;
}

static int unpack(uint8_t flags, uint8_t *in, size_t in_len, struct journal_field *f)
{
	static const enum unpack_method method[] = {
		[1] = UNPACK_XZ, [2] = UNPACK_LZ4_SIZED, [4] = UNPACK_ZSTD};

	if (flags != 1 && flags != 2 && flags != 4)
		return -EBADMSG;
	return unpack_all(method[flags], in, in_len, JOURNAL_PAYLOAD_MAX, &f->p, &f->len);
}

int journal_field(struct journal *j, uint64_t off, struct journal_field *f)
{
	size_t head = j->flags & JOURNAL_COMPACT ? 72 : 64, len;
	struct ranges bad = {0};
	struct journal_data d;
	uint8_t *raw = NULL;
	int r;

	*f = (struct journal_field){0};
	if (off < j->start || off >= j->end || j->end - off < head)
		return -EBADMSG;
	r = journal_read(j, off, &d, sizeof(d), &bad);
	if (!r && (d.o.type != JOURNAL_DATA || !journal_sane(j, off, &d.o) ||
		   le64(d.o.size) <= head || le64(d.o.size) - head > JOURNAL_PAYLOAD_MAX))
		r = -EBADMSG;
	if (r)
		goto out;
	len = (size_t)le64(d.o.size) - head;
	raw = malloc(len);
	r = raw ? journal_read(j, off + head, raw, len, &bad) : -ENOMEM;
	if (r)
		goto out;
	f->hash = le64(d.hash);
	if (d.o.flags) {
		r = unpack(d.o.flags, raw, len, f);
	} else {
		f->p = raw;
		f->len = len;
		raw = NULL;
	}
	if (r)
		goto out;
	f->jenkins = journal_jenkins(f->p, f->len);
	f->ok = !bad.n &&
		f->hash == (j->flags & JOURNAL_KEYED ? journal_siphash(j->h.file_id, f->p, f->len)
						     : f->jenkins);
out:
	free(raw);
	ranges_free(&bad);
	return r;
}

int journal_items(struct journal *j, uint64_t off, const struct journal_object *o,
		  struct journal_entry *e, struct journal_items *it, struct ranges *bad)
{
	bool compact = j->flags & JOURNAL_COMPACT;
	size_t step = compact ? 4 : 16;
	uint64_t n = (le64(o->size) - sizeof(*e)) / step;
	uint8_t raw[16];
	int r = journal_read(j, off, e, sizeof(*e), bad);

	it->cut = n > JOURNAL_ITEMS_MAX;
	it->n = it->cut ? JOURNAL_ITEMS_MAX : (size_t)n;
	for (size_t i = 0; i < it->n && !r; i++) {
		le32_t small;
		le64_t large[2];

		r = journal_read(j, off + sizeof(*e) + i * step, raw, step, bad);
		memcpy(&small, raw, sizeof(small));
		memcpy(large, raw, sizeof(large));
		it->off[i] = compact ? le32(small) : le64(large[0]);
		it->hash[i] = compact ? 0 : le64(large[1]);
	}
	return r;
}

static void put_id(struct json *to, const char *key, const uint8_t id[16])
{
	char text[33];

	for (int i = 0; i < 16; i++)
		sprintf(text + 2 * i, "%02x", id[i]);
	js_str(to, key, text);
}

static void put_time(struct json *to, const char *key, uint64_t usec)
{
	char text[TIME_TEXT];

	if (usec)
		js_str(to, key,
		       time_text((int64_t)(usec / 1000000), (uint32_t)(usec % 1000000) * 1000,
				 text));
}

static void journal_info(struct layer *l, struct json *to)
{
	static const char *const state[] = {"closed", "open: not closed when the machine stopped",
					    "archived"};
	const struct journal *j = l->priv;

	if (!j->header_ok)
		return;
	put_id(to, "machine_id", j->h.machine_id);
	put_id(to, "seqnum_id", j->h.seqnum_id);
	js_str(to, "file_state", state[j->h.state]);
	js_u64(to, "entries", le64(j->h.n_entries));
	put_time(to, "first", le64(j->h.head_realtime));
	put_time(to, "last", le64(j->h.tail_realtime));
	js_strf(to, "hashes", "%s", j->flags & JOURNAL_KEYED ? "keyed" : "jenkins");
	js_bool(to, "compact", j->flags & JOURNAL_COMPACT);
}

static int journal_pass(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	return layer_read(l->below, off, buf, len, bad);
}

static int journal_map(struct layer *l, uint64_t off, struct extent *run)
{
	return layer_map_below(l, off, 0, run);
}

const struct layer_ops journal_ops = {
	.name = "journal",
	.kind = LAYER_LOG,
	.probe = journal_probe,
	.open = journal_open,
	.read = journal_pass,
	.map = journal_map,
	.check = journal_check,
	.info = journal_info,
	.close = journal_close,
};
