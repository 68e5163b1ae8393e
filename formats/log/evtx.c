/* SPDX-License-Identifier: Apache-2.0 */
/* The EVTX file: its header, where its chunks are; the driver. */
#include "formats/log/evtx.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/sum.h"

static const char file_magic[8] = "ElfFile";

enum {
	PLACES = 16, /* for chunks, looked at where the file header is lost */
	SEARCHED = 1024,
};

static uint32_t header_crc(const struct evtx_file_header *h)
{
	return sum_crc32(0, h, offsetof(struct evtx_file_header, flags));
}

/* Of the first @places for chunks, how many hold one? */
static int chunks_at(struct layer *below, uint64_t places)
{
	char magic[8];
	int n = 0;

	for (uint64_t i = 0; i < places; i++) {
		uint64_t off = EVTX_FILE_HEADER + i * EVTX_CHUNK;

		if (off + EVTX_CHUNK_DATA > below->size ||
		    layer_read(below, off, magic, sizeof(magic), NULL))
			break;
		n += !memcmp(magic, EVTX_CHUNK_MAGIC, sizeof(magic));
	}
	return n;
}

static int evtx_probe(struct layer *below)
{
	struct evtx_file_header h;
	int n;

	if (below->size < EVTX_FILE_HEADER || layer_read(below, 0, &h, sizeof(h), NULL))
		return 0;
	if (!memcmp(h.magic, file_magic, sizeof(h.magic)))
		return le32(h.crc) == header_crc(&h) ? 95 : 80;
	/* The header is lost: chunks where they belong. Two are no accident. */
	n = chunks_at(below, PLACES);
	return n > 1 ? 70 : n ? 50 : 0;
}

/* The first chunks are lost as well: look further, though not through a whole disk. */
static int evtx_search(struct layer *below)
{
	return chunks_at(below, SEARCHED) > 1 ? 65 : 0;
}

static int evtx_open(struct layer *l)
{
	struct evtx *v = calloc(1, sizeof(*v));
	struct layer *below = l->below;
	int r;

	if (!v)
		return -ENOMEM;
	l->priv = v;
	l->size = below->size;
	r = layer_read(below, 0, &v->header, sizeof(v->header), NULL);
	v->magic = !memcmp(v->header.magic, file_magic, sizeof(file_magic));
	v->sum_ok = v->magic && le32(v->header.crc) == header_crc(&v->header);
	if (below->size > EVTX_FILE_HEADER)
		v->chunks = (below->size - EVTX_FILE_HEADER + EVTX_CHUNK - 1) / EVTX_CHUNK;
	if (!r && !v->magic && !chunks_at(below, SEARCHED))
		r = -EBADMSG;
	return r;
}

static int evtx_map(struct layer *l, uint64_t off, struct extent *run)
{
	return layer_map_below(l, off, 0, run);
}

static void evtx_info(struct layer *l, struct json *to)
{
	const struct evtx *v = l->priv;
	const struct evtx_file_header *h = &v->header;
	char channel[256];

	if (!evtx_label(l, channel, sizeof(channel)))
		js_str(to, "channel", channel);
	js_u64(to, "chunk_places", v->chunks);
	if (!v->magic)
		return;
	js_strf(to, "version", "%u.%u", le16(h->major), le16(h->minor));
	js_u64(to, "chunks", le16(h->chunks));
	js_u64(to, "next_record_id", le64(h->next_record));
	js_bool(to, "dirty", le32(h->flags) & EVTX_DIRTY);
	js_bool(to, "full", le32(h->flags) & EVTX_FULL);
}

static void evtx_close(struct layer *l)
{
	free(l->priv);
}

/* A name for what is at @at: the file's header, a chunk's, a record. */
static bool evtx_structure(struct layer *l, uint64_t at, char *name, size_t cap, uint64_t *start,
			   uint64_t *len)
{
	static _Thread_local uint8_t buf[EVTX_CHUNK];
	struct evtx_frame f;
	struct evtx_chunk c;
	uint64_t i = (at - EVTX_FILE_HEADER) / EVTX_CHUNK, base;
	size_t off = 0;

	if (at < EVTX_FILE_HEADER) {
		snprintf(name, cap, "EVTX file header");
		*start = 0;
		*len = EVTX_FILE_HEADER;
		return true;
	}
	base = EVTX_FILE_HEADER + i * EVTX_CHUNK;
	if (evtx_chunk_read(l, i, buf, NULL, &c) || c.empty)
		return false;
	if (at - base < EVTX_CHUNK_DATA) {
		snprintf(name, cap, "header of EVTX chunk %" PRIu64, i);
		*start = base;
		*len = EVTX_CHUNK_DATA;
		return true;
	}
	while (evtx_chunk_record(&c, &off, &f)) {
		if (at - base < f.off || at - base - f.off >= f.len)
			continue;
		snprintf(name, cap, "EVTX record %" PRIu64, f.id);
		*start = base + f.off;
		*len = f.len;
		return true;
	}
	return false;
}

void evtx_chunk_look(struct evtx_chunk *c)
{
	const struct evtx_chunk_header *h = (const void *)c->p;
	uint32_t crc, flags;

	c->magic = c->header_ok = c->data_ok = c->no_sum = false;
	c->free_off = (uint32_t)c->len;
	c->empty = all_zero(c->p, c->len < EVTX_CHUNK_DATA ? c->len : EVTX_CHUNK_DATA) &&
		   all_zero(c->p, c->len);
	if (c->len < sizeof(*h) || memcmp(h->magic, EVTX_CHUNK_MAGIC, sizeof(h->magic)))
		return;
	c->magic = true;
	flags = le32(h->flags);
	crc = sum_crc32(0, h, offsetof(struct evtx_chunk_header, flags));
	crc = sum_crc32(crc, h->strings, sizeof(h->strings) + sizeof(h->templates));
	c->no_sum = flags & EVTX_NO_SUM;
	if (crc != le32(h->crc) && !c->no_sum)
		return;
	if (le32(h->free_off) < EVTX_CHUNK_DATA || le32(h->free_off) > EVTX_CHUNK)
		return;
	c->header_ok = true;
	c->first_id = le64(h->first_id);
	c->last_id = le64(h->last_id);
	if (le32(h->free_off) > c->len)
		return;
	c->free_off = le32(h->free_off);
	c->data_ok = sum_crc32(0, c->p + EVTX_CHUNK_DATA, c->free_off - EVTX_CHUNK_DATA) ==
		     le32(h->data_crc);
}

int evtx_chunk_read(struct layer *l, uint64_t i, uint8_t *buf, struct ranges *bad,
		    struct evtx_chunk *c)
{
	uint64_t off = EVTX_FILE_HEADER + i * EVTX_CHUNK, left = l->size - off;
	int r;

	*c = (struct evtx_chunk){.p = buf, .addr = off, .bad = bad};
	if (i >= UINT64_MAX / EVTX_CHUNK - 1 || off >= l->size)
		return -ERANGE;
	c->len = left < EVTX_CHUNK ? (size_t)left : EVTX_CHUNK;
	r = layer_read(l, off, buf, c->len, bad);
	if (bad)
		ranges_sort(bad);
	if (!r)
		evtx_chunk_look(c);
	return r;
}

static const char *const evtx_where[] = {
	"/windows/system32/winevt/logs/*.evtx",
	"/windows.old/windows/system32/winevt/logs/*.evtx",
	NULL,
};

const struct layer_ops evtx_ops = {
	.name = "evtx",
	.kind = LAYER_LOG,
	.probe = evtx_probe,
	.search = evtx_search,
	.open = evtx_open,
	.read = layer_read_mapped,
	.map = evtx_map,
	.check = evtx_check,
	.info = evtx_info,
	.structure = evtx_structure,
	.close = evtx_close,
};

const struct log_driver evtx_log = {
	.ops = &evtx_ops,
	.where = evtx_where,
	.records = evtx_records,
	.carve_begin = evtx_carve_begin,
	.carve = evtx_carve,
	.carve_end = evtx_carve_end,
};
