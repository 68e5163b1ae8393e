/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Persistent bitmaps: their directory, tables and flags, spec "Bitmaps".
 * Opening has parsed the directory and reported what in it can't be parsed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/container/qcow2_check.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/span.h"
#include "vdiskck/core/text.h"

static void bitmap_entry_bad(struct qc *c, const char *name, uint64_t at, uint64_t i, uint64_t e,
			     const char *why)
{
	if (!c->silent)
		finding_fact(c->l, QCOW2_BITMAP_TABLE,
			     &(struct fact){.at = at, .at_len = 8, .stored = strf("0x%" PRIx64, e)},
			     "entry %" PRIu64 " of the table of bitmap %s %s", i, name, why);
}

static int bitmap_entries(struct qc *c, const char *name, uint64_t off, const be64_t *t, uint64_t n)
{
	const struct qcow2 *q = c->q;
	uint64_t first = 0, len = 0, reported = 0;
	int r = 0;

	for (uint64_t i = 0; !r && i < n; i++) {
		uint64_t e = be64(t[i]), host = e & QCOW2_OFFSET_MASK;
		const char *why = NULL;

		if (e & QCOW2_BITMAP_ENTRY_RESERVED || (host && e & 1))
			why = "has reserved bits set";
		else if (host & (q->cluster_size - 1))
			why = "points into the middle of a cluster";
		else if (host && host >= q->file_size)
			why = "points past the end of the file";
		if (why && reported++ < 16) /* one bad sector hits 64 of them */
			bitmap_entry_bad(c, name, off + i * 8, i, e, why);
		if (why || !host)
			continue;
		if (len && host == first + len) {
			len += q->cluster_size;
			continue;
		}
		if (len)
			r = qc_region(c, first, len, "bitmap %.32s", name);
		first = host;
		len = q->cluster_size;
	}
	if (!r && len)
		r = qc_region(c, first, len, "bitmap %.32s", name);
	return r;
}

static void bitmap_field(struct qc *c, const struct qcow2_bitmap *b, const char *name,
			 const char *what, const char *stored)
{
	if (!c->silent)
		finding_fact(c->l, QCOW2_BITMAP_BAD,
			     &(struct fact){.at = b->at, .at_len = b->at_len, .stored = stored},
			     "bitmap %s: %s", name, what);
}

static void bitmap_fields(struct qc *c, const struct qcow2_bitmap *b, const char *name)
{
	uint64_t clusters;

	if (b->flags & QCOW2_BITMAP_RESERVED)
		bitmap_field(c, b, name, "reserved flags are set", strf("0x%" PRIx32, b->flags));
	if (b->type != QCOW2_BITMAP_DIRTY)
		bitmap_field(c, b, name, "its type is not known", strf("%u", b->type));
	if (b->extra_size && !(b->flags & QCOW2_BITMAP_EXTRA_COMPATIBLE))
		bitmap_field(c, b, name, "it has extra data that is not known", NULL);
	if (b->granularity_bits < QCOW2_BITMAP_GRANULARITY_MIN ||
	    b->granularity_bits > QCOW2_BITMAP_GRANULARITY_MAX) {
		bitmap_field(c, b, name, "its granularity can't be",
			     strf("2^%u", b->granularity_bits));
		return;
	}
	clusters = qcow2_bitmap_clusters(c->q, b);
	if (clusters != b->table_entries)
		bitmap_field(c, b, name,
			     strf("its table has %" PRIu32 " entries, the disk needs %" PRIu64,
				  b->table_entries, clusters),
			     strf("%" PRIu32, b->table_entries));
}

static int bitmap_check(struct qc *c, const struct qcow2_bitmap *b)
{
	const struct qcow2 *q = c->q;
	uint64_t n = b->table_entries < QCOW2_BITMAP_TABLE_MAX ? b->table_entries
							       : QCOW2_BITMAP_TABLE_MAX;
	char name[64];
	be64_t *t;
	int r;

	name_escape(b->name, strlen(b->name), name, sizeof(name));
	bitmap_fields(c, b, name);
	if (!n)
		return 0;
	if (b->table_off & (q->cluster_size - 1) || !b->table_off ||
	    !range_inside(b->table_off, n * 8, q->file_size)) {
		bitmap_field(c, b, name, "its table does not lie in the file at a cluster",
			     strf("0x%" PRIx64, b->table_off));
		return 0;
	}
	t = malloc(n * 8); /* bounded by the file */
	if (!t)
		return -ENOMEM;
	r = layer_read(c->l->below, b->table_off, t, n * 8, NULL);
	qc_checked(c, n * 8);
	if (!r)
		r = qc_region(c, b->table_off, n * 8, "table of bitmap %.24s", name);
	if (!r)
		r = bitmap_entries(c, name, b->table_off, t, n);
	free(t);
	return r;
}

int qc_bitmaps(struct qc *c)
{
	const struct qcow2 *q = c->q;
	int r = 0;

	/* Bitmaps that a program without knowledge of them has left behind own nothing. */
	if (!q->has_bitmaps || !(q->autoclear & QCOW2_AUTOCLEAR_BITMAPS))
		return 0;
	r = qc_region(c, q->bitmap_dir_off, q->bitmap_dir_len, "bitmap directory");
	for (size_t i = 0; !r && i < q->n_bitmaps; i++)
		r = bitmap_check(c, &q->bitmaps[i]);
	return r;
}
