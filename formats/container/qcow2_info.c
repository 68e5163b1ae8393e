/* SPDX-License-Identifier: Apache-2.0 */
/* What a qcow2 image says about itself, and which of its structures a byte belongs to. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "formats/container/qcow2_parts.h"
#include "vdiskck/core/session.h"

static const struct {
	uint64_t bit;
	const char *name;
} incompat[] =
	{
		{QCOW2_INCOMPAT_DIRTY, "dirty"},
		{QCOW2_INCOMPAT_CORRUPT, "corrupt"},
		{QCOW2_INCOMPAT_DATA_FILE, "external data file"},
		{QCOW2_INCOMPAT_COMPRESSION, "compression type"},
		{QCOW2_INCOMPAT_EXTENDED_L2, "extended L2 entries"},
},
  compat[] =
	  {
		  {QCOW2_COMPAT_LAZY_REFCOUNTS, "lazy refcounts"},
},
  autoclear[] = {
	  {QCOW2_AUTOCLEAR_BITMAPS, "bitmaps"},
	  {QCOW2_AUTOCLEAR_DATA_FILE_RAW, "raw external data"},
};

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static void features_info(const struct qcow2 *q, struct json *to)
{
	struct json *all = js_array();

	for (size_t i = 0; i < COUNT(incompat); i++)
		if (q->incompat & incompat[i].bit)
			js_add_str(all, incompat[i].name);
	for (size_t i = 0; i < COUNT(compat); i++)
		if (q->compat & compat[i].bit)
			js_add_str(all, compat[i].name);
	for (size_t i = 0; i < COUNT(autoclear); i++)
		if (q->autoclear & autoclear[i].bit)
			js_add_str(all, autoclear[i].name);
	if (js_len(all))
		js_put(to, "features", all);
	else
		js_free(all);
}

/* What --rebuild did, or would do. */
static void rebuild_info(struct layer *l, struct json *to)
{
	char text[160];

	if (l->s->opt.rebuild)
		js_u64(to, "adopted_l2_tables", qcow2_of(l)->active.n_adopted);
	else if (!qcow2_offer(l, text, sizeof(text)) && *text)
		js_str(to, "rebuild", text);
}

void qcow2_info(struct layer *l, struct json *to)
{
	const struct qcow2 *q = qcow2_of(l);

	js_u64(to, "version", q->version);
	js_u64(to, "cluster_size", q->cluster_size);
	js_u64(to, "refcount_bits", q->refcount_bits);
	js_str(to, "compression",
	       q->compression == 0   ? "zlib"
	       : q->compression == 1 ? "zstd"
				     : "unknown");
	features_info(q, to);
	if (q->backing)
		js_str(to, "backing_file", q->backing);
	if (q->backing_format)
		js_str(to, "backing_format", q->backing_format);
	if (q->data_name)
		js_str(to, "data_file", q->data_name);
	qcow2_crypt_info(q, to);
	rebuild_info(l, to);
	qcow2_snapshots_info(q, to);
	qcow2_bitmaps_info(q, to);
}

/* ---- Which structure is it? ---- */

struct place {
	uint64_t at; /* asked for */
	char *name;
	size_t cap;
	uint64_t *start, *len;
};

static bool inside(const struct place *p, uint64_t start, uint64_t len)
{
	if (!len || p->at < start || p->at - start >= len)
		return false;
	*p->start = start;
	*p->len = len;
	return true;
}

static bool is_header(const struct qcow2 *q, struct place *p)
{
	if (!inside(p, 0, q->cluster_size))
		return false;
	snprintf(p->name, p->cap, "qcow2 header");
	return true;
}

/* Entries of a table of offsets, one at a time, in pieces that fit the stack. */
struct entries {
	struct layer *below;
	uint64_t at, end; /* of the table that is left */
	be64_t buf[512];
	size_t n, i;
};

static bool entries_next(struct entries *e, uint64_t *entry)
{
	if (e->i == e->n) {
		uint64_t left = (e->end - e->at) / 8;

		e->i = 0;
		e->n = left < COUNT(e->buf) ? (size_t)left : COUNT(e->buf);
		if (!e->n || layer_read(e->below, e->at, e->buf, e->n * 8, NULL))
			return false;
		e->at += e->n * 8;
	}
	*entry = be64(e->buf[e->i++]);
	return true;
}

/* A table [off, off + entries * 8), cut where the file ends. */
static struct entries entries_of(const struct qcow2 *q, uint64_t off, uint64_t entries)
{
	struct entries e = {.below = q->l->below, .at = off, .end = off};

	if (off < q->file_size)
		e.end += entries < (q->file_size - off) / 8 ? entries * 8 : q->file_size - off;
	return e;
}

static bool is_refcounts(const struct qcow2 *q, struct place *p)
{
	uint64_t table_len = (uint64_t)q->refcount_table_clusters << q->cluster_bits, entry;
	struct entries e;

	if (inside(p, q->refcount_table_off, table_len)) {
		snprintf(p->name, p->cap, "refcount table");
		return true;
	}
	if (!q->refcount_bits)
		return false;
	e = entries_of(q, q->refcount_table_off, table_len / 8);
	for (uint64_t i = 0; entries_next(&e, &entry); i++) {
		uint64_t covers = (q->cluster_size * 8 / q->refcount_bits) << q->cluster_bits;

		if (!entry || !inside(p, entry & ~UINT64_C(511), q->cluster_size))
			continue;
		snprintf(p->name, p->cap, "refcount block of image bytes 0x%" PRIx64 "..0x%" PRIx64,
			 i * covers, (i + 1) * covers);
		return true;
	}
	return false;
}

/* The L1 table of a view and its L2 tables; @of: "" or " of snapshot NAME". */
static bool is_map(const struct qcow2 *q, struct place *p, uint64_t l1_off, uint64_t l1_entries,
		   const char *of)
{
	unsigned bits = qcow2_l1_bits(q);
	struct entries e;
	uint64_t entry;

	if (l1_entries > QCOW2_L1_MAX)
		l1_entries = QCOW2_L1_MAX;
	if (inside(p, l1_off, l1_entries * 8)) {
		snprintf(p->name, p->cap, "L1 table%s", of);
		return true;
	}
	e = entries_of(q, l1_off, l1_entries);
	for (uint64_t i = 0; entries_next(&e, &entry); i++) {
		struct qcow2_desc d = qcow2_l1_desc(q, entry);

		if (d.kind != QCOW2_KIND_NORMAL || !inside(p, d.host, q->cluster_size))
			continue;
		snprintf(p->name, p->cap, "L2 table of 0x%" PRIx64 "..0x%" PRIx64 "%s", i << bits,
			 (i + 1) << bits, of);
		return true;
	}
	return false;
}

static bool is_snapshots(const struct qcow2 *q, struct place *p)
{
	if (inside(p, q->snapshots_off, q->snapshot_table_len)) {
		snprintf(p->name, p->cap, "snapshot table");
		return true;
	}
	for (size_t i = 0; i < q->n_snapshots && !session_stopped(q->l->s); i++) {
		const struct qcow2_snapshot *s = &q->snapshots[i];
		char of[64];

		snprintf(of, sizeof(of), " of snapshot %zu", i + 1);
		if (is_map(q, p, s->l1_off, s->l1_entries, of))
			return true;
	}
	return false;
}

static bool is_bitmaps(const struct qcow2 *q, struct place *p)
{
	if (q->n_bitmaps && inside(p, q->bitmap_dir_off, q->bitmap_dir_len)) {
		snprintf(p->name, p->cap, "bitmap directory");
		return true;
	}
	for (size_t i = 0; i < q->n_bitmaps && !session_stopped(q->l->s); i++) {
		const struct qcow2_bitmap *b = &q->bitmaps[i];
		struct entries e = entries_of(q, b->table_off, b->table_entries);
		uint64_t entry;

		if (inside(p, b->table_off, (uint64_t)b->table_entries * 8)) {
			snprintf(p->name, p->cap, "bitmap table %zu", i + 1);
			return true;
		}
		while (entries_next(&e, &entry)) {
			entry &= QCOW2_OFFSET_MASK;
			if (!entry || !inside(p, entry, q->cluster_size))
				continue;
			snprintf(p->name, p->cap, "data of bitmap %zu", i + 1);
			return true;
		}
	}
	return false;
}

static bool is_encryption_header(const struct qcow2 *q, struct place *p)
{
	if (!inside(p, q->luks_off, q->luks_len))
		return false;
	snprintf(p->name, p->cap, "LUKS header");
	return true;
}

bool qcow2_structure(struct layer *l, uint64_t at, char *name, size_t cap, uint64_t *start,
		     uint64_t *len)
{
	const struct qcow2 *q = qcow2_of(l);
	struct place p = {at, name, cap, start, len};

	return is_header(q, &p) || is_map(q, &p, q->l1_off, q->l1_size, "") ||
	       is_refcounts(q, &p) || is_snapshots(q, &p) || is_bitmaps(q, &p) ||
	       is_encryption_header(q, &p);
}
