/* SPDX-License-Identifier: Apache-2.0 */
/* Persistent bitmaps: the directory, spec "Bitmaps". */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/container/qcow2_parts.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/span.h"

enum {
	DIRECTORY_MAX = 16 << 20, /* bytes of it kept in memory; QEMU's limit is 64 MiB */
	DIRTY_MAX = 1 << 20,	  /* ranges given; gaps are closed rather than giving more */
	TABLE_PIECE = 512,	  /* entries read at a time */
};

static int broken(struct qcow2 *q, uint64_t at, uint64_t len, const char *why)
{
	finding(q->l, QCOW2_BITMAP_DIRECTORY, at, len, "bitmap %zu of %" PRIu32 ": %s",
		q->n_bitmaps + 1, q->nb_bitmaps, why);
	return 1;
}

/* The entry at the start of @rest. 0: kept; 1: can't be followed from here; -ENOMEM. */
static int entry_read(struct qcow2 *q, struct span rest, uint64_t *used)
{
	const struct qcow2_bitmap_entry *e = span_at(rest, 0, sizeof(*e));
	struct qcow2_bitmap *b = &q->bitmaps[q->n_bitmaps];
	uint64_t extra, name_len;
	const char *name;

	if (!e)
		return broken(q, rest.addr, rest.len, "the directory ends before it");
	extra = be32(e->extra_size);
	name_len = be16(e->name_size);
	name = span_at(rest, sizeof(*e) + extra, name_len);
	if (!name || !name_len || name_len > QCOW2_NAME_MAX)
		return broken(q, rest.addr, sizeof(*e), "the lengths in its entry can't be");
	*b = (struct qcow2_bitmap){
		.at = rest.addr,
		.at_len = (sizeof(*e) + extra + name_len + 7) & ~UINT64_C(7),
		.table_off = be64(e->table_offset),
		.table_entries = be32(e->table_size),
		.flags = be32(e->flags),
		.type = e->type,
		.granularity_bits = e->granularity_bits,
		.extra_size = (uint32_t)extra,
		.name = strndup(name, name_len),
	};
	if (!b->name)
		return -ENOMEM;
	if (b->flags & QCOW2_BITMAP_IN_USE)
		finding(q->l, QCOW2_BITMAP_IN_USE, b->at + 12, 4,
			"bitmap \"%s\" was not saved when the image was last used", b->name);
	*used = b->at_len;
	return 0;
}

static int directory_walk(struct qcow2 *q, struct span dir)
{
	int r = 0;

	/* An entry has 24 bytes and a name at the least: the directory's length bounds them. */
	if (q->nb_bitmaps > dir.len / sizeof(struct qcow2_bitmap_entry) ||
	    q->nb_bitmaps > QCOW2_BITMAPS_MAX) {
		broken(q, dir.addr, dir.len, "that many don't fit into the directory");
		return 0;
	}
	q->bitmaps = calloc(q->nb_bitmaps + 1u, sizeof(*q->bitmaps));
	if (!q->bitmaps)
		return -ENOMEM;
	while (!r && q->n_bitmaps < q->nb_bitmaps) {
		uint64_t used = 0;

		r = entry_read(q, dir, &used);
		if (!r) {
			q->n_bitmaps++;
			dir = span_from(dir, used);
		}
	}
	return r < 0 ? r : 0;
}

int qcow2_bitmaps_read(struct qcow2 *q)
{
	uint64_t len = q->bitmap_dir_len;
	struct ranges bad = {0};
	char *dir;
	int r;

	if (!q->has_bitmaps) {
		if (q->autoclear & QCOW2_AUTOCLEAR_BITMAPS)
			finding(q->l, QCOW2_BITMAP_DIRECTORY,
				offsetof(struct qcow2_header, autoclear_features), 8,
				"the header says that there are bitmaps, but not where");
		return 0;
	}
	if (!(q->autoclear & QCOW2_AUTOCLEAR_BITMAPS))
		finding(q->l, QCOW2_BITMAPS_STALE,
			offsetof(struct qcow2_header, autoclear_features), 8,
			"the bitmaps are out of date: the image was written to without them");
	if (!q->nb_bitmaps || len > DIRECTORY_MAX ||
	    !range_inside(q->bitmap_dir_off, len, q->file_size)) {
		finding(q->l, QCOW2_BITMAP_DIRECTORY, q->bitmap_dir_off, len,
			"%" PRIu32 " bitmaps in a directory of 0x%" PRIx64 " bytes at 0x%" PRIx64
			" can't be",
			q->nb_bitmaps, len, q->bitmap_dir_off);
		return 0;
	}
	dir = qcow2_text_read(q, q->bitmap_dir_off, (size_t)len, &bad);
	r = dir ? directory_walk(
			  q, (struct span){(const uint8_t *)dir, (size_t)len, q->bitmap_dir_off})
		: -ENOMEM;
	if (!r && bad.n)
		finding(q->l, QCOW2_BITMAP_DIRECTORY, q->bitmap_dir_off, len,
			"parts of the bitmap directory could not be read");
	ranges_free(&bad);
	free(dir);
	return r;
}

void qcow2_bitmaps_info(const struct qcow2 *q, struct json *to)
{
	struct json *all;

	if (!q->n_bitmaps)
		return;
	all = js_array();
	for (size_t i = 0; i < q->n_bitmaps; i++) {
		const struct qcow2_bitmap *b = &q->bitmaps[i];
		struct json *one = js_object();

		js_str(one, "name", b->name);
		if (b->granularity_bits < 64)
			js_u64(one, "granularity", UINT64_C(1) << b->granularity_bits);
		js_bool(one, "enabled", b->flags & QCOW2_BITMAP_AUTO);
		js_bool(one, "in_use", b->flags & QCOW2_BITMAP_IN_USE);
		js_add(all, one);
	}
	js_put(to, "bitmaps", all);
}

/* ---- What they say ---- */

/* A bitmap that is being read. */
struct bits {
	struct qcow2 *q;
	const struct qcow2_bitmap *b;
	struct ranges *dirty;
	uint8_t *buf;	/* a cluster of it */
	uint64_t per;	/* bits in a cluster */
	uint64_t total; /* bits in all: what is behind means nothing */
	uint64_t left;	/* clusters that may still be read: each belongs to one entry */
};

/* Bits [first, end) of the bitmap: bytes of the disk. */
static int dirty_add(const struct bits *m, uint64_t first, uint64_t end, enum grade grade,
		     enum finding_id why)
{
	unsigned shift = m->b->granularity_bits;
	struct ranges *d = m->dirty;
	uint64_t off, to;

	if (end > m->total)
		end = m->total;
	if (first >= end)
		return 0;
	off = first << shift;
	to = end == m->total ? m->q->size : end << shift;
	if (d->n < DIRTY_MAX)
		return ranges_add(d, off, to - off, grade, why);
	d->v[d->n - 1].len = to - d->v[d->n - 1].off;
	return 0;
}

static int dirty_all(const struct bits *m, uint64_t i, enum grade grade, enum finding_id why)
{
	return dirty_add(m, i * m->per, (i + 1) * m->per, grade, why);
}

/* Runs of ones in a cluster; the lowest bit of a byte comes first. */
static int dirty_bits(const struct bits *m, uint64_t i)
{
	uint64_t first = 0, n = 0;
	int r = 0;

	for (uint64_t k = 0; !r && k < m->per; k++) {
		if (!(k % 8) && !m->buf[k / 8] && !n) {
			k += 7;
			continue;
		}
		if (m->buf[k / 8] >> (k % 8) & 1) {
			first = n++ ? first : k;
			continue;
		}
		if (n)
			r = dirty_add(m, i * m->per + first, i * m->per + k, GRADE_DOUBTFUL,
				      FINDING_COUNT);
		n = 0;
	}
	if (!r && n)
		r = dirty_add(m, i * m->per + first, (i + 1) * m->per, GRADE_DOUBTFUL,
			      FINDING_COUNT);
	return r;
}

/* Entry @i of the table. */
static int dirty_entry(struct bits *m, uint64_t i, uint64_t entry)
{
	struct qcow2 *q = m->q;
	uint64_t host = entry & QCOW2_OFFSET_MASK;
	struct ranges bad = {0};
	int r;

	if (entry & QCOW2_BITMAP_ENTRY_RESERVED || (host && entry & 1) ||
	    host & (q->cluster_size - 1) || host >= q->file_size)
		return dirty_all(m, i, GRADE_LOST, QCOW2_BITMAP_TABLE);
	if (!host)
		return entry & 1 ? dirty_all(m, i, GRADE_DOUBTFUL, FINDING_COUNT) : 0;
	if (!m->left)
		return dirty_all(m, i, GRADE_LOST, QCOW2_BITMAP_TABLE);
	m->left--;
	r = layer_read(q->l->below, host, m->buf, q->cluster_size, &bad);
	/* The last cluster of the file may be cut where its bits end. */
	if (!r && bad.n && bad.v[0].off < host + (m->total - i * m->per + 7) / 8)
		r = dirty_all(m, i, GRADE_LOST, bad.v[0].why);
	else if (!r)
		r = dirty_bits(m, i);
	ranges_free(&bad);
	return r;
}

static int dirty_table(struct bits *m)
{
	struct ranges bad = {0};
	uint64_t n = m->b->table_entries, at = m->b->table_off;
	be64_t buf[TABLE_PIECE];
	int r = 0;

	for (uint64_t i = 0; !r && i < n; i += TABLE_PIECE) {
		uint64_t piece = n - i < TABLE_PIECE ? n - i : TABLE_PIECE;

		r = session_stopped(m->q->l->s)
			    ? -EINTR
			    : layer_read(m->q->l->below, at + i * 8, buf, piece * 8, &bad);
		for (uint64_t k = 0; !r && k < piece; k++)
			r = bad.n ? dirty_all(m, i + k, GRADE_LOST, bad.v[0].why)
				  : dirty_entry(m, i + k, be64(buf[k]));
		ranges_free(&bad);
	}
	return r;
}

static const struct qcow2_bitmap *bitmap_find(const struct qcow2 *q, const char *name)
{
	for (size_t i = 0; i < q->n_bitmaps; i++)
		if (!strcmp(q->bitmaps[i].name, name))
			return &q->bitmaps[i];
	return NULL;
}

int qcow2_bitmap_dirty(struct layer *l, const char *name, struct ranges *dirty)
{
	struct qcow2 *q = qcow2_of(l);
	const struct qcow2_bitmap *b = bitmap_find(q, name);
	struct bits m = {.q = q, .b = b, .dirty = dirty, .per = q->cluster_size * 8};
	int r;

	if (!b)
		return -ENOENT;
	if (!(q->autoclear & QCOW2_AUTOCLEAR_BITMAPS) || b->flags & QCOW2_BITMAP_IN_USE ||
	    b->flags & QCOW2_BITMAP_RESERVED || b->type != QCOW2_BITMAP_DIRTY ||
	    (b->extra_size && !(b->flags & QCOW2_BITMAP_EXTRA_COMPATIBLE)))
		return -ESTALE;
	if (b->granularity_bits < QCOW2_BITMAP_GRANULARITY_MIN ||
	    b->granularity_bits > QCOW2_BITMAP_GRANULARITY_MAX ||
	    b->table_entries > QCOW2_BITMAP_TABLE_MAX ||
	    b->table_entries != qcow2_bitmap_clusters(q, b) || q->size != q->l->size ||
	    b->table_off & (q->cluster_size - 1) ||
	    !range_inside(b->table_off, b->table_entries * UINT64_C(8), q->file_size))
		return -EBADMSG;
	m.total = (q->size >> b->granularity_bits) +
		  ((q->size & ((UINT64_C(1) << b->granularity_bits) - 1)) != 0);
	m.left = (q->file_size >> q->cluster_bits) + 1;
	m.buf = malloc(q->cluster_size);
	r = m.buf ? dirty_table(&m) : -ENOMEM;
	free(m.buf);
	return r;
}

void qcow2_bitmaps_free(struct qcow2 *q)
{
	for (size_t i = 0; i < q->n_bitmaps; i++)
		free(q->bitmaps[i].name);
	free(q->bitmaps);
}
