/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/part/part.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/signature.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"

int part_map_run(struct layer *l, uint64_t off, struct extent *run)
{
	return layer_map_below(l, off, 0, run);
}

/* Room for one more; the new element, zeroed, or NULL. */
static void *grow(void **v, size_t *n, size_t *cap, size_t size)
{
	if (*n == *cap) {
		size_t more = *cap ? 2 * *cap : 8;
		void *p = realloc(*v, more * size);

		if (!p)
			return NULL;
		*v = p;
		*cap = more;
	}
	return memset((char *)*v + (*n)++ * size, 0, size);
}

static int volume_map(struct layer *l, uint64_t off, struct extent *run)
{
	const struct part *p = l->priv;
	int r = layer_map_below(l, off, p->start, run);

	if (run->kind == EXTENT_LOST)
		run->why = PART_PAST_END;
	return r;
}

static void volume_info(struct layer *l, struct json *to)
{
	const struct part *p = l->priv;
	struct signature sig;

	js_u64(to, "start", p->start);
	if (p->type)
		js_str(to, "type", p->type);
	if (*p->type_id)
		js_str(to, "type_id", p->type_id);
	if (*p->label)
		js_str(to, "label", p->label);
	if (*p->id)
		js_str(to, "guid", p->id);
	if (*p->flags)
		js_str(to, "flags", p->flags);
	if (!l->child && signature_at(l, 0, &sig))
		signature_info(&sig, to);
}

static void volume_close(struct layer *l)
{
	free(l->priv);
}

const struct layer_ops part_ops = {
	.name = "partition",
	.kind = LAYER_VOLUME,
	.read = layer_read_mapped,
	.map = volume_map,
	.info = volume_info,
	.close = volume_close,
};

static void report_past_end(struct layer *l, struct layer *volume, const struct part *p)
{
	uint64_t there = p->start < l->size ? l->size - p->start : 0;
	char missing[SIZE_TEXT], all[SIZE_TEXT];

	if (there >= p->len)
		return;
	finding_fact(volume, PART_PAST_END,
		     &(struct fact){.in = l->below,
				    .at = p->at,
				    .at_len = p->at_len,
				    .off = there,
				    .len = p->len - there,
				    .lost = true,
				    .stored = strf("bytes %" PRIu64 " to %" PRIu64, p->start,
						   p->start + p->len),
				    .expected = strf("up to %" PRIu64, l->size)},
		     there ? "%s ends behind the end of the disk: the last %s of its %s are missing"
			   : "%s lies behind the end of the disk: none of its %s%s is there",
		     p->name, there ? size_text(p->len - there, missing) : "",
		     size_text(p->len, all));
}

static int volume_new(struct layer *l, const struct part *p)
{
	struct layer *v = layer_new(l->s, &part_ops, l, p->name);

	if (!v)
		return -ENOMEM;
	v->priv = malloc(sizeof(*p));
	if (!v->priv) {
		layer_free(v);
		return -ENOMEM;
	}
	memcpy(v->priv, p, sizeof(*p));
	v->size = p->len;
	v->sector = l->sector;
	layer_attach(l, v);
	report_past_end(l, v, p);
	return 0;
}

int part_add(struct layer *l, struct part_map *m, const struct part *p)
{
	struct part *mine;

	if (m->n_parts == PARTS_MAX) {
		if (!m->full)
			finding(l, PART_TOO_MANY, p->at, p->at_len,
				"more than %d partitions: %s and what follows is not shown",
				PARTS_MAX, p->name);
		m->full = true;
		return 0;
	}
	mine = grow((void **)&m->part, &m->n_parts, &m->cap_parts, sizeof(*p));
	if (!mine)
		return -ENOMEM;
	*mine = *p;
	return p->container ? 0 : volume_new(l, p);
}

int part_table(struct part_map *m, uint64_t start, uint64_t len, const char *fmt, ...)
{
	struct part_area *a =
		grow((void **)&m->table, &m->n_tables, &m->cap_tables, sizeof(*m->table));
	va_list ap;

	if (!a)
		return -ENOMEM;
	a->start = start;
	a->len = len;
	va_start(ap, fmt);
	vsnprintf(a->name, sizeof(a->name), fmt, ap);
	va_end(ap);
	return 0;
}

/* Anything that takes room on the disk. */
struct taken {
	uint64_t start, end;
	const struct part *part; /* NULL: the table */
	const char *name;
};

static int by_start(const void *a, const void *b)
{
	const struct taken *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* Partitions (without containers) and tables, by start. Their number, or -ENOMEM. */
static int all_taken(const struct part_map *m, bool containers, struct taken **taken)
{
	struct taken *t = calloc(m->n_parts + m->n_tables + 1, sizeof(*t));
	int n = 0;

	if (!t)
		return -ENOMEM;
	for (size_t i = 0; i < m->n_parts; i++) {
		const struct part *p = &m->part[i];

		/* Logical partitions are looked at in their container, or instead of it. */
		if (containers ? p->inside : p->container)
			continue;
		t[n++] = (struct taken){p->start, p->start + p->len, p, p->name};
	}
	for (size_t i = 0; i < m->n_tables && !containers; i++) {
		const struct part_area *a = &m->table[i];

		t[n++] = (struct taken){a->start, a->start + a->len, NULL, a->name};
	}
	qsort(t, (size_t)n, sizeof(*t), by_start);
	*taken = t;
	return n;
}

static void report_overlap(struct layer *l, const struct taken *a, const struct taken *b)
{
	uint64_t end = a->end < b->end ? a->end : b->end;
	const struct taken *blamed = b->part ? b : a;
	char size[SIZE_TEXT];

	if (!blamed->part)
		return; /* two tables: the driver's own business */
	finding_fact(l, a->part && b->part ? PART_OVERLAP : PART_OVER_TABLE,
		     &(struct fact){.at = blamed->part->at,
				    .at_len = blamed->part->at_len,
				    .off = b->start,
				    .len = end - b->start,
				    .doubtful = true},
		     "%s and %s overlap: both hold the %s from byte %" PRIu64 " on", a->name,
		     b->name, size_text(end - b->start, size), b->start);
}

static int sweep(struct layer *l, const struct part_map *m, bool containers)
{
	struct taken *t = NULL;
	int n = all_taken(m, containers, &t), widest = 0;

	for (int i = 1; i < n; i++) {
		bool held = t[i].part && t[i].part->container;

		held = held || (t[widest].part && t[widest].part->container);
		if (t[i].start < t[widest].end && (!containers || held))
			report_overlap(l, &t[widest], &t[i]);
		if (t[i].end > t[widest].end)
			widest = i;
	}
	free(t);
	return n < 0 ? n : 0;
}

int part_check_overlaps(struct layer *l, const struct part_map *m)
{
	int r = sweep(l, m, false);

	return r ? r : sweep(l, m, true);
}

int part_gaps(const struct layer *l, const struct part_map *m, struct part_area **gaps)
{
	struct taken *t = NULL;
	struct part_area *g = NULL;
	uint64_t from = 0;
	int n = all_taken(m, false, &t), found = 0;

	if (n < 0)
		return n;
	g = calloc((size_t)n + 1, sizeof(*g));
	if (!g) {
		free(t);
		return -ENOMEM;
	}
	for (int i = 0; i <= n; i++) {
		uint64_t to = i < n && t[i].start < l->size ? t[i].start : l->size;

		if (to > from)
			g[found++] = (struct part_area){.start = from, .len = to - from};
		if (i < n && t[i].end > from)
			from = t[i].end;
	}
	free(t);
	*gaps = g;
	return found;
}

void part_info(struct layer *l, const struct part_map *m, struct json *to)
{
	struct part_area *gaps = NULL;
	struct json *list = js_array();
	uint64_t volumes = 0;
	int n = part_gaps(l, m, &gaps);

	for (size_t i = 0; i < m->n_parts; i++)
		volumes += !m->part[i].container;
	js_u64(to, "sector_size", l->sector);
	js_u64(to, "partitions", volumes);
	for (int i = 0; i < n; i++) {
		struct json *g = js_object();

		js_u64(g, "offset", gaps[i].start);
		js_u64(g, "length", gaps[i].len);
		js_add(list, g);
	}
	js_put(to, "gaps", list);
	free(gaps);
}

bool part_structure(const struct part_map *m, uint64_t at, char *name, size_t cap, uint64_t *start,
		    uint64_t *len)
{
	for (size_t i = 0; i < m->n_tables; i++) {
		const struct part_area *a = &m->table[i];

		if (at < a->start || at - a->start >= a->len)
			continue;
		snprintf(name, cap, "%s", a->name);
		*start = a->start;
		*len = a->len;
		return true;
	}
	return false;
}

void part_map_free(struct part_map *m)
{
	free(m->part);
	free(m->table);
}
