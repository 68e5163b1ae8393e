/* SPDX-License-Identifier: Apache-2.0 */
/* LVM2: volumes and their segments, from the metadata text. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/part/lvm2.h"
#include "vdiskck/core/session.h"

enum { PVS_MAX = 1024, SEGMENTS_MAX = 65536 };

static bool has_flag(const struct lvm_text *t, const struct lvm_node *of, const char *flag)
{
	const struct lvm_node *list = lvm_get(t, of, "status");

	for (const struct lvm_node *n = list && list->kind == LVM_LIST ? lvm_child(t, list) : NULL;
	     n; n = lvm_next(t, n))
		if (n->kind == LVM_STRING && !strcmp(n->text, flag))
			return true;
	return false;
}

static unsigned count(const struct lvm_text *t, const struct lvm_node *of, unsigned max)
{
	unsigned n = 0;

	for (const struct lvm_node *c = lvm_child(t, of); c && n < max; c = lvm_next(t, c))
		n += c->kind == LVM_SECTION;
	return n;
}

static struct lvm_lv *lv_named(struct lvm *g, const char *name)
{
	for (unsigned i = 0; name && i < g->n_lvs; i++)
		if (!strcmp(g->lv[i].name, name))
			return &g->lv[i];
	return NULL;
}

static struct lvm_pv *pv_named(struct lvm *g, const char *name)
{
	for (unsigned i = 0; i < g->n_pvs; i++)
		if (!strcmp(g->pv[i].name, name))
			return &g->pv[i];
	return NULL;
}

/* The product of two numbers of the text, or no size at all: they may be anything. */
static uint64_t bytes(uint64_t n, uint64_t unit)
{
	uint64_t r;

	return __builtin_mul_overflow(n, unit, &r) || r > UINT64_MAX / 4 ? UINT64_MAX / 4 : r;
}

static int build_pvs(struct lvm *g, const struct lvm_node *vg)
{
	const struct lvm_node *all = lvm_get(&g->text, vg, "physical_volumes");

	g->n_pvs = count(&g->text, all, PVS_MAX);
	g->pv = calloc(g->n_pvs + 1, sizeof(*g->pv));
	if (!g->pv)
		return -ENOMEM;
	g->n_pvs = 0;
	for (const struct lvm_node *n = lvm_child(&g->text, all); n && g->n_pvs < PVS_MAX;
	     n = lvm_next(&g->text, n)) {
		struct lvm_pv *pv = &g->pv[g->n_pvs];

		if (n->kind != LVM_SECTION)
			continue;
		pv->name = n->key;
		pv->id = lvm_string(&g->text, n, "id");
		pv->start = bytes(lvm_number(&g->text, n, "pe_start", 0), LVM_SECTOR);
		pv->len = bytes(lvm_number(&g->text, n, "pe_count", 0), g->extent);
		g->n_pvs += pv->id != NULL;
	}
	return 0;
}

/* Room for the most that there can be was taken: a text may have many segments. */
static void shrink(struct lvm_segment *s)
{
	struct lvm_column *less = realloc(s->column, (s->n + 1) * sizeof(*less));

	if (less)
		s->column = less;
}

/* "stripes" and "mirrors": name and first extent by turns; "raids": metadata and data volumes. */
static int build_columns(struct lvm *g, struct lvm_segment *s, const struct lvm_node *list,
			 bool raid)
{
	const struct lvm_node *n =
		list && list->kind == LVM_LIST ? lvm_child(&g->text, list) : NULL;

	s->column = calloc(LVM_STRIPES, sizeof(*s->column));
	if (!s->column)
		return -ENOMEM;
	for (; n && s->n < LVM_STRIPES; n = lvm_next(&g->text, n)) {
		const struct lvm_node *second = lvm_next(&g->text, n);
		struct lvm_column *c = &s->column[s->n];
		const char *name = raid ? (second ? second->text : NULL) : n->text;

		if (!second || !name || (!raid && second->kind != LVM_NUMBER))
			break;
		c->pv = pv_named(g, name);
		c->lv = c->pv ? NULL : lv_named(g, name);
		c->off =
			raid || second->number < 0 ? 0 : bytes((uint64_t)second->number, g->extent);
		s->n++;
		n = second;
	}
	shrink(s);
	return 0;
}

/* raid0_lvs and the like: names only. */
static int build_names(struct lvm *g, struct lvm_segment *s, const struct lvm_node *list)
{
	const struct lvm_node *n =
		list && list->kind == LVM_LIST ? lvm_child(&g->text, list) : NULL;

	s->column = calloc(LVM_STRIPES, sizeof(*s->column));
	if (!s->column)
		return -ENOMEM;
	for (; n && s->n < LVM_STRIPES && n->kind == LVM_STRING; n = lvm_next(&g->text, n))
		s->column[s->n++].lv = lv_named(g, n->text);
	shrink(s);
	return 0;
}

/* Is it the type @name, whatever flags stand behind a plus? */
static bool is_type(const char *type, const char *name)
{
	size_t n = strlen(name);

	return !strncmp(type, name, n) && (!type[n] || type[n] == '+');
}

/*
 * lvmcache(7): the volume is read as its origin is. A cache in writethrough mode has nothing that
 * the origin lacks; the mode is stated by the segment or by the pool.
 */
static int build_cached(struct lvm *g, struct lvm_segment *s, const struct lvm_node *n, bool write)
{
	const struct lvm_text *t = &g->text;
	const char *mode = lvm_string(t, n, "cache_mode");
	const char *name = lvm_string(t, n, write ? "writecache" : "cache_pool");
	const struct lvm_lv *pool = lv_named(g, name);
	const struct lvm_node *of = pool ? lvm_child(t, pool->node) : NULL;

	for (; of && !mode; of = lvm_next(t, of))
		if (of->kind == LVM_SECTION)
			mode = lvm_string(t, of, "cache_mode");
	if (write || (mode && !strcmp(mode, "writeback")))
		s->cache = name ? name : "?";
	s->column = calloc(1, sizeof(*s->column));
	if (!s->column)
		return -ENOMEM;
	s->type = LVM_STRIPED;
	s->n = 1;
	s->column->lv = lv_named(g, lvm_string(t, n, "origin"));
	return 0;
}

static int build_segment(struct lvm *g, struct lvm_lv *lv, const struct lvm_node *n,
			 struct lvm_segment *s)
{
	const struct lvm_text *t = &g->text;
	const char *type = lvm_string(t, n, "type");

	s->off = bytes(lvm_number(t, n, "start_extent", 0), g->extent);
	s->len = bytes(lvm_number(t, n, "extent_count", 0), g->extent);
	s->stripe = bytes(lvm_number(t, n, "stripe_size", 0), LVM_SECTOR);
	s->type = LVM_UNKNOWN;
	s->type_name = type ? type : "no type";
	if (!type)
		return 0;
	if (!strcmp(type, "striped") || !strcmp(type, "linear")) {
		s->type = LVM_STRIPED;
		return build_columns(g, s, lvm_get(t, n, "stripes"), false);
	}
	if (!strcmp(type, "mirror")) {
		s->type = LVM_MIRROR;
		return build_columns(g, s, lvm_get(t, n, "mirrors"), false);
	}
	if (!strcmp(type, "raid1")) {
		s->type = LVM_MIRROR;
		return build_columns(g, s, lvm_get(t, n, "raids"), true);
	}
	if (!strcmp(type, "raid0") || !strcmp(type, "raid0_meta")) {
		s->type = LVM_STRIPED;
		return lvm_get(t, n, "raid0_lvs")
			       ? build_names(g, s, lvm_get(t, n, "raid0_lvs"))
			       : build_columns(g, s, lvm_get(t, n, "raids"), true);
	}
	if (lvm_raid_type(s, type, lvm_number(t, n, "data_copies", 2))) {
		s->type = LVM_RAID;
		return build_columns(g, s, lvm_get(t, n, "raids"), true);
	}
	if (is_type(type, "cache") || is_type(type, "writecache"))
		return build_cached(g, s, n, is_type(type, "writecache"));
	if (is_type(type, "cache-pool") || is_type(type, "vdo-pool")) {
		/* Nothing is in it but for the volumes on it. */
		lv->visible = false;
	} else if (!strcmp(type, "zero")) {
		s->type = LVM_ZERO;
	} else if (!strcmp(type, "thin")) {
		s->type = LVM_THIN;
		s->pool = lv_named(g, lvm_string(t, n, "thin_pool"));
		s->device = lvm_number(t, n, "device_id", UINT64_MAX);
		s->external = lv_named(g, lvm_string(t, n, "external_origin"));
	} else if (!strcmp(type, "thin-pool")) {
		s->type = LVM_OTHER;
		lv->pool = true;
		lv->meta = lv_named(g, lvm_string(t, n, "metadata"));
		lv->data = lv_named(g, lvm_string(t, n, "pool"));
		lv->chunk = bytes(lvm_number(t, n, "chunk_size", 0), LVM_SECTOR);
	} else if (!strcmp(type, "snapshot")) {
		struct lvm_lv *store = lv_named(g, lvm_string(t, n, "cow_store"));

		s->type = LVM_OTHER;
		if (store && store != lv) {
			/* What is to be seen is the volume of the changes, under its own name. */
			store->visible = store->visible || lv->visible;
			lv->visible = false;
			store->origin = lv_named(g, lvm_string(t, n, "origin"));
			store->chunk = bytes(lvm_number(t, n, "chunk_size", 0), LVM_SECTOR);
		}
	}
	return 0;
}

static int by_off(const void *a, const void *b)
{
	const struct lvm_segment *x = a, *y = b;

	return (x->off > y->off) - (x->off < y->off);
}

static int build_segments(struct lvm *g, struct lvm_lv *lv)
{
	unsigned max = count(&g->text, lv->node, SEGMENTS_MAX);
	int r = 0;

	lv->segment = calloc(max + 1, sizeof(*lv->segment));
	if (!lv->segment)
		return -ENOMEM;
	for (const struct lvm_node *n = lvm_child(&g->text, lv->node); n && lv->n < max && !r;
	     n = lvm_next(&g->text, n))
		if (n->kind == LVM_SECTION && !strncmp(n->key, "segment", 7))
			r = build_segment(g, lv, n, &lv->segment[lv->n++]);
	if (lv->n)
		qsort(lv->segment, lv->n, sizeof(*lv->segment), by_off);
	for (unsigned i = 0; i < lv->n; i++)
		if (lv->segment[i].off + lv->segment[i].len > lv->size)
			lv->size = lv->segment[i].off + lv->segment[i].len;
	return r;
}

static int build_lvs(struct lvm *g, const struct lvm_node *vg)
{
	const struct lvm_node *all = lvm_get(&g->text, vg, "logical_volumes");
	unsigned max = count(&g->text, all, LVM_LVS_MAX);
	int r = 0;

	g->lv = calloc(max + 1, sizeof(*g->lv));
	if (!g->lv)
		return -ENOMEM;
	for (const struct lvm_node *n = lvm_child(&g->text, all); n && g->n_lvs < max;
	     n = lvm_next(&g->text, n)) {
		struct lvm_lv *lv = &g->lv[g->n_lvs];

		if (n->kind != LVM_SECTION)
			continue;
		*lv = (struct lvm_lv){.name = n->key,
				      .id = lvm_string(&g->text, n, "id"),
				      .node = n,
				      .visible = has_flag(&g->text, n, "VISIBLE")};
		g->n_lvs++;
	}
	for (unsigned i = 0; i < g->n_lvs && !r; i++)
		r = build_segments(g, &g->lv[i]);
	return r;
}

int lvm_build(struct layer *l, struct lvm *g)
{
	const struct lvm_node *vg = lvm_child(&g->text, &g->text.node[0]);
	uint64_t sectors;
	int r;

	g->l = l;
	while (vg && vg->kind != LVM_SECTION)
		vg = lvm_next(&g->text, vg);
	sectors = lvm_number(&g->text, vg, "extent_size", 0);
	if (!vg || !sectors || sectors > 1ull << 32)
		return -EBADMSG;
	g->vg = vg->key;
	g->id = lvm_string(&g->text, vg, "id");
	g->seqno = lvm_number(&g->text, vg, "seqno", 0);
	g->extent = sectors * LVM_SECTOR;
	r = build_pvs(g, vg);
	return r ? r : build_lvs(g, vg);
}

void lvm_unbuild(struct lvm *g)
{
	for (unsigned i = 0; i < g->n_lvs; i++) {
		struct lvm_lv *lv = &g->lv[i];

		for (unsigned k = 0; k < lv->n; k++) {
			layer_free(lv->segment[k].array);
			free(lv->segment[k].column);
		}
		free(lv->segment);
		lvm_snapshot_close(lv->snapshot);
		lvm_pool_close(lv->thin);
	}
	free(g->lv);
	free(g->pv);
	lvm_text_free(&g->text);
}
