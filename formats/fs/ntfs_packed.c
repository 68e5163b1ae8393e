/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/fs/ntfs_packed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/lznt1.h"
#include "formats/fs/packed.h"
#include "vdiskck/core/cache.h"
#include "vdiskck/core/endian.h"

enum { TABLE_PIECE = 4096, TABLE_PIECES = 16 };

static uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

struct lznt1 {
	uint64_t size, valid;
	uint32_t unit;
};

/*
 * A unit without a hole is stored as it is, one that is a hole is zeros, and one that begins with
 * data and ends with a hole is packed: libfsntfs, "Compressed data runs". The stored layer has the
 * attribute's VCNs, so it ends where they do.
 */
static int lznt1_unit(void *arg, struct layer *stored, uint64_t n, struct packed_unit *u)
{
	const struct lznt1 *a = arg;
	uint64_t off = n * a->unit, end = min64(off + a->unit, stored->size);

	*u = (struct packed_unit){.kind = PACKED_LOST, .why = NTFS_LZNT1, .at = off};
	if (off >= end) /* the runs end before the file does */
		return 0;
	while (off + u->len < end) {
		struct extent run;
		int r = layer_map(stored, off + u->len, &run);

		if (r)
			return r;
		if (run.kind == EXTENT_ZERO) {
			u->kind = u->len ? PACKED_UNIT : PACKED_ZERO;
			return 0;
		}
		u->len += min64(run.len, end - off - u->len);
	}
	/* Cut short without a hole: of a file that is written at the moment, or of lost runs. */
	if (u->len == a->unit || u->len + off >= a->size)
		u->kind = PACKED_RAW;
	return 0;
}

static int lznt1_unpack(void *arg, const void *in, size_t in_len, const struct ranges *in_bad,
			void *out, size_t out_len, struct ranges *bad)
{
	(void)arg;
	/* The last bytes of a file are packed with no more than themselves: all of @out is due. */
	return lznt1_decode(in, in_len, in_bad, out, out_len, out_len, bad);
}

static const struct packed_ops lznt1_ops = {"lznt1", lznt1_unit, lznt1_unpack, free};

int ntfs_lznt1_new(struct layer *fs, const char *path, struct ntfs_lznt1 *a, struct layer **file)
{
	struct packed_new how = {&lznt1_ops, NULL, a->size, a->valid, a->unit, NULL};
	struct lznt1 *own;

	*file = NULL;
	if (a->unit < NTFS_UNIT_MIN || a->unit & (a->unit - 1) || a->unit > NTFS_UNIT_MAX) {
		fs_runs_free(&a->runs);
		return -EINVAL;
	}
	if (fs_file_new(fs, path, a->allocated, &a->runs, &how.stored))
		return -ENOMEM;
	own = malloc(sizeof(*own));
	if (!own) {
		layer_free(how.stored);
		return -ENOMEM;
	}
	*own = (struct lznt1){a->size, a->valid, a->unit};
	how.arg = own;
	return packed_file_new(fs, path, &how, file);
}

struct wof {
	uint64_t size, chunks, table; /* of the file; its chunks; bytes of the table */
	enum wof_format format;
	struct layer *stored;
	struct cache *pieces; /* of the table */
};

static int fill_piece(void *arg, struct cache_item *it)
{
	struct wof *w = arg;
	uint64_t off = it->key * TABLE_PIECE;
	size_t n = (size_t)min64(TABLE_PIECE, w->table - off);

	return layer_read_as(w->stored, off, it->buf, n, 0, &it->bad);
}

/*
 * Where chunk @n begins, counted from the table's end; @n up to w->chunks. *@why: the finding that
 * explains why nobody knows, else FINDING_COUNT.
 */
static int chunk_start(struct wof *w, uint64_t n, uint64_t *start, enum finding_id *why)
{
	uint32_t entry = wof_table_entry(w->size);
	uint64_t at = (n - 1) * entry;
	size_t in = (size_t)(at % TABLE_PIECE);
	const struct cache_item *it;
	int r;

	*why = FINDING_COUNT;
	*start = 0;
	if (!n)
		return 0;
	if (n == w->chunks) {
		if (w->stored->size < w->table)
			*why = NTFS_WOF;
		else
			*start = w->stored->size - w->table;
		return 0;
	}
	r = cache_get(w->pieces, at / TABLE_PIECE, 0, &it);
	if (r)
		return r;
	for (size_t i = 0; i < it->bad.n; i++)
		if (it->bad.v[i].off < in + entry && in < it->bad.v[i].off + it->bad.v[i].len)
			*why = it->bad.v[i].why;
	if (entry == 8)
		*start = le64(*(const le64_t *)(it->buf + in));
	else
		*start = le32(*(const le32_t *)(it->buf + in));
	cache_put(w->pieces, it);
	return 0;
}

static int wof_unit(void *arg, struct layer *stored, uint64_t n, struct packed_unit *u)
{
	struct wof *w = arg;
	uint32_t chunk = wof_chunk(w->format);
	uint64_t start, end, room = stored->size < w->table ? 0 : stored->size - w->table;
	uint64_t plain = min64(chunk, w->size - n * chunk);
	enum finding_id why, why_end;
	int r = chunk_start(w, n, &start, &why);

	*u = (struct packed_unit){.kind = PACKED_LOST, .why = why};
	if (!r)
		r = chunk_start(w, n + 1, &end, &why_end);
	if (r || why != FINDING_COUNT)
		return r;
	u->why = why_end != FINDING_COUNT ? why_end : NTFS_WOF;
	if (why_end != FINDING_COUNT || start >= end || end > room || end - start > plain)
		return 0;
	u->kind = end - start == plain ? PACKED_RAW : PACKED_UNIT;
	u->at = w->table + start;
	u->len = end - start;
	return 0;
}

/* A chunk is one Huffman stream or more: without a part of it, the rest can't be told. */
static int wof_unpack(void *arg, const void *in, size_t in_len, const struct ranges *in_bad,
		      void *out, size_t out_len, struct ranges *bad)
{
	const struct wof *w = arg;
	int r = 0;

	for (size_t i = 0; i < in_bad->n; i++) {
		if (in_bad->v[i].grade != GRADE_LOST)
			continue;
		memset(out, 0, out_len);
		return ranges_add(bad, 0, out_len, GRADE_LOST, in_bad->v[i].why);
	}
	r = wof_decode(w->format, in, in_len, out, out_len);
	if (r == -EBADMSG) {
		memset(out, 0, out_len);
		return ranges_add(bad, 0, out_len, GRADE_LOST,
				  in_bad->n ? in_bad->v[0].why : NTFS_WOF);
	}
	if (!r && in_bad->n)
		r = ranges_add(bad, 0, out_len, GRADE_DOUBTFUL, in_bad->v[0].why);
	return r;
}

static void wof_free(void *arg)
{
	struct wof *w = arg;

	cache_free(w->pieces);
	free(w);
}

static const struct packed_ops wof_ops = {"wof", wof_unit, wof_unpack, wof_free};

int ntfs_wof_new(struct layer *fs, const char *path, uint64_t size, enum wof_format format,
		 struct layer *packed, struct layer **file)
{
	struct packed_new how = {&wof_ops, NULL, size, size, wof_chunk(format), packed};
	struct wof *w = calloc(1, sizeof(*w));

	*file = NULL;
	if (w) {
		w->size = size;
		w->format = format;
		w->stored = packed;
		w->chunks = size / how.unit + (size % how.unit != 0);
		w->table = w->chunks ? (w->chunks - 1) * wof_table_entry(size) : 0;
		w->pieces = cache_new(TABLE_PIECE, TABLE_PIECES, fill_piece, w);
	}
	if (!w || !w->pieces) {
		free(w);
		layer_free(packed);
		return -ENOMEM;
	}
	how.arg = w;
	return packed_file_new(fs, path, &how, file);
}
