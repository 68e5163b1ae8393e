/* SPDX-License-Identifier: Apache-2.0 */
/* Persistent bitmaps: the directory, spec "Bitmaps". */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/container/qcow2_parts.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/span.h"

enum { DIRECTORY_MAX = 16 << 20 }; /* bytes of it kept in memory; QEMU's limit is 64 MiB */

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

void qcow2_bitmaps_free(struct qcow2 *q)
{
	for (size_t i = 0; i < q->n_bitmaps; i++)
		free(q->bitmaps[i].name);
	free(q->bitmaps);
}
