/* SPDX-License-Identifier: Apache-2.0 */
/* Internal snapshots: the table, and each snapshot's disk as a layer "qcow2@NAME". */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/container/qcow2_parts.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/span.h"
#include "vdiskck/core/text.h"

enum {
	EXTRA_MAX = 1024,     /* QEMU's limit for extra data of one entry */
	TABLE_MAX = 16 << 20, /* bytes of entries kept in memory */
	LAYERS_MAX = 1024,    /* snapshots presented as layers */
	LAYER_NAME = 160,
};

/* Extra data, spec "Snapshots": offsets from the start of the extra data. */
struct extra {
	be64_t vm_state_size; /* 0x00 */
	be64_t disk_size;     /* 0x08 */
};

static void table_broken(struct qcow2 *q, uint64_t at, uint64_t len, const char *why)
{
	finding(q->l, QCOW2_SNAPSHOT_TABLE, at, len, "snapshot %zu of %" PRIu32 ": %s",
		q->n_snapshots + 1, q->nb_snapshots, why);
}

/* @text holds extra data, ID and name as the sizes in @e say. */
static int entry_keep(struct qcow2 *q, const struct qcow2_snapshot_entry *e, struct span text,
		      struct qcow2_snapshot *s)
{
	uint32_t extra = be32(e->extra_size);
	uint16_t id = be16(e->id_size), name = be16(e->name_size);
	const struct extra *x = span_at(text, 0, sizeof(*x));

	s->l1_off = be64(e->l1_table_offset);
	s->l1_entries = be32(e->l1_size);
	s->date_sec = be32(e->date_sec);
	s->date_nsec = be32(e->date_nsec);
	s->vm_clock_nsec = be64(e->vm_clock_nsec);
	s->vm_state_size = be32(e->vm_state_size);
	s->size = q->l->size;
	if (extra >= 8 && x)
		s->vm_state_size = be64(x->vm_state_size);
	if (extra >= sizeof(*x) && x) {
		s->has_size = true;
		s->size = be64(x->disk_size);
	}
	s->id = strndup((const char *)text.p + extra, id);
	s->name = strndup((const char *)text.p + extra + id, name);
	return s->id && s->name ? 0 : -ENOMEM;
}

/* The entry at @at. 0: kept; 1: the table can't be followed from here; -ENOMEM. */
static int entry_read(struct qcow2 *q, uint64_t at, uint64_t *next)
{
	struct qcow2_snapshot *s = &q->snapshots[q->n_snapshots];
	struct qcow2_snapshot_entry e;
	struct ranges bad = {0};
	uint64_t len;
	char *text;
	int r;

	if (!range_inside(at, sizeof(e), q->file_size)) {
		table_broken(q, at, sizeof(e), "its entry lies past the end of the file");
		return 1;
	}
	r = layer_read(q->l->below, at, &e, sizeof(e), &bad);
	if (r)
		goto out;
	len = (uint64_t)be32(e.extra_size) + be16(e.id_size) + be16(e.name_size);
	if (be32(e.extra_size) > EXTRA_MAX || !range_inside(at + sizeof(e), len, q->file_size)) {
		table_broken(q, at, sizeof(e), "the lengths in its entry can't be");
		r = 1;
		goto out;
	}
	text = qcow2_text_read(q, at + sizeof(e), (size_t)len, &bad);
	r = text ? entry_keep(q, &e,
			      (struct span){(const uint8_t *)text, (size_t)len, at + sizeof(e)}, s)
		 : -ENOMEM;
	free(text);
	s->at = at;
	s->at_len = (sizeof(e) + len + 7) & ~UINT64_C(7);
	*next = at + s->at_len;
	if (!r && bad.n) {
		table_broken(q, at, s->at_len, "its entry could not be read");
		r = 1;
	}
out:
	ranges_free(&bad);
	return r;
}

static int table_read(struct qcow2 *q)
{
	uint64_t at = q->snapshots_off, next = at;
	size_t cap = 0;

	while (q->n_snapshots < q->nb_snapshots) {
		int r;

		if (q->n_snapshots >= QCOW2_SNAPSHOTS_MAX || at - q->snapshots_off > TABLE_MAX) {
			table_broken(q, at, 0, "more than any QEMU would make: not read");
			break;
		}
		if (q->n_snapshots == cap) {
			struct qcow2_snapshot *v;

			cap = cap ? 2 * cap : 16;
			v = realloc(q->snapshots, cap * sizeof(*v));
			if (!v)
				return -ENOMEM;
			q->snapshots = v;
		}
		q->snapshots[q->n_snapshots] = (struct qcow2_snapshot){0};
		r = entry_read(q, at, &next);
		if (r) {
			free(q->snapshots[q->n_snapshots].id);
			free(q->snapshots[q->n_snapshots].name);
			return r < 0 ? r : 0;
		}
		q->n_snapshots++;
		at = next;
		q->snapshot_table_len = at - q->snapshots_off;
	}
	return 0;
}

/* "qcow2@NAME": one component of a path, so no slash, and bounded; the ID where names repeat. */
static const char *layer_name(const struct qcow2 *q, size_t i, bool with_id, char buf[LAYER_NAME])
{
	const struct qcow2_snapshot *s = &q->snapshots[i];
	const char *name = *s->name ? s->name : s->id;
	char text[100], id[24];

	name_escape(name, strlen(name), text, sizeof(text));
	name_escape(s->id, strlen(s->id), id, sizeof(id));
	if (with_id)
		snprintf(buf, LAYER_NAME, "%s@%s#%s", q->l->name, text, id);
	else
		snprintf(buf, LAYER_NAME, "%s@%s", q->l->name, text);
	for (char *c = buf; *c; c++)
		if (*c == '/')
			*c = '_';
	return buf;
}

static bool name_taken(const struct qcow2 *q, const char *name)
{
	for (const struct layer *c = q->l->child; c; c = c->next)
		if (!strcmp(c->name, name))
			return true;
	return false;
}

static int layer_make(struct qcow2 *q, size_t i)
{
	const struct qcow2_snapshot *s = &q->snapshots[i];
	struct qcow2_view *v = calloc(1, sizeof(*v));
	uint64_t most = (uint64_t)QCOW2_L1_MAX << qcow2_l1_bits(q);
	char name[LAYER_NAME];
	struct layer *l;

	if (!v)
		return -ENOMEM;
	layer_name(q, i, false, name);
	if (name_taken(q, name))
		layer_name(q, i, true, name);
	l = layer_new(q->l->s, &qcow2_snapshot_ops, q->l->below, name);
	if (!l) {
		free(v);
		return -ENOMEM;
	}
	l->priv = v;
	l->lazy = true;
	l->size = s->size < most ? s->size : most;
	v->q = q;
	qcow2_view_init(l, v, s->l1_off, s->l1_entries, s->at, 12);
	layer_attach(q->l, l);
	return 0;
}

int qcow2_snapshots_read(struct qcow2 *q)
{
	int r = q->nb_snapshots ? table_read(q) : 0;

	for (size_t i = 0; !r && i < q->n_snapshots; i++) {
		if (i == LAYERS_MAX) {
			finding(q->l, QCOW2_SNAPSHOTS_MANY, q->snapshots[i].at, 0,
				"of %zu snapshots, the first %d can be read", q->n_snapshots,
				LAYERS_MAX);
			break;
		}
		r = layer_make(q, i);
	}
	return r;
}

void qcow2_snapshots_info(const struct qcow2 *q, struct json *to)
{
	struct json *all;

	if (!q->n_snapshots)
		return;
	all = js_array();
	for (size_t i = 0; i < q->n_snapshots; i++) {
		const struct qcow2_snapshot *s = &q->snapshots[i];
		struct json *one = js_object();
		char time[TIME_TEXT];

		js_str(one, "id", s->id);
		js_str(one, "name", s->name);
		js_str(one, "date", time_text(s->date_sec, s->date_nsec, time));
		js_u64(one, "size", s->size);
		js_u64(one, "vm_state_size", s->vm_state_size);
		js_add(all, one);
	}
	js_put(to, "snapshots", all);
}

void qcow2_snapshots_free(struct qcow2 *q)
{
	for (size_t i = 0; i < q->n_snapshots; i++) {
		free(q->snapshots[i].id);
		free(q->snapshots[i].name);
	}
	free(q->snapshots);
}

static void snapshot_close(struct layer *l)
{
	struct qcow2_view *v = l->priv;

	free(v->adopted);
	free(v);
}

/* Made by the image's own open(), already open. Its VM state is not part of the disk. */
const struct layer_ops qcow2_snapshot_ops = {
	.name = "qcow2@",
	.kind = LAYER_CONTAINER,
	.read = qcow2_read,
	.map = qcow2_map,
	.close = snapshot_close,
};
