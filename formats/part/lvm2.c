/* SPDX-License-Identifier: Apache-2.0 */
/* LVM2: a physical volume as a table of the logical volumes of its group. */
#include "formats/part/lvm2.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/drivers.h"
#include "formats/part/part.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

/* "jfGteu-0zgi-…" against 32 characters without hyphens. */
static bool same_id(const char *text, const char id[LVM_ID])
{
	size_t n = 0;

	for (; text && *text; text++) {
		if (*text == '-')
			continue;
		if (n == LVM_ID || *text != id[n])
			return false;
		n++;
	}
	return n == LVM_ID;
}

static int lvm2_probe(struct layer *below)
{
	struct lvm_label label;

	if (below->size < 4 * LVM_SECTOR || !lvm_label_read(below, &label))
		return 0;
	return label.sum_ok ? 93 : 61;
}

static struct lvm_pv *pv_with(struct lvm *g, const char id[LVM_ID])
{
	for (unsigned i = 0; i < g->n_pvs; i++)
		if (same_id(g->pv[i].id, id))
			return &g->pv[i];
	return NULL;
}

static bool wanted(void *arg, struct layer *candidate)
{
	struct lvm *g = arg;
	struct lvm_label label;
	struct lvm_pv *pv;

	if (!lvm_label_read(candidate, &label))
		return false;
	pv = pv_with(g, label.id);
	if (!pv || pv->on)
		return false;
	pv->on = candidate;
	return true;
}

static bool complete(void *arg)
{
	const struct lvm *g = arg;

	for (unsigned i = 0; i < g->n_pvs; i++)
		if (!g->pv[i].on)
			return false;
	return true;
}

/* Is there a partition before this one that has a volume of the same group? It presents them. */
static bool shown_elsewhere(struct layer *l, const struct lvm *g)
{
	const struct layer *mine = l->below;

	if (mine->ops->kind != LAYER_VOLUME || !mine->below)
		return false;
	for (struct layer *c = mine->below->child; c && c != mine; c = c->next)
		for (unsigned i = 0; i < g->n_pvs; i++)
			if (g->pv[i].on == c)
				return true;
	return false;
}

/* Keys have letters only; strings of the metadata may be anything. */
static const char *safe_text(const char *text, char buf[64])
{
	return name_escape(text, strlen(text), buf, 64);
}

static void report_pvs(struct layer *l, struct lvm *g)
{
	char have[SIZE_TEXT], want[SIZE_TEXT], id[64];

	for (unsigned i = 0; i < g->n_pvs; i++) {
		const struct lvm_pv *pv = &g->pv[i];

		if (!pv->on)
			finding(l, LVM2_PV_MISSING, g->label.at, LVM_SECTOR,
				"the volume group %s has a physical volume that was not found: %s, %s",
				g->vg, safe_text(pv->id, id), size_text(pv->start + pv->len, want));
		else if (pv->on->size < pv->start + pv->len)
			finding(l, LVM2_PV_SHORT, g->label.at, LVM_SECTOR,
				"the physical volume %s has %s of extents, but ends after %s",
				safe_text(pv->id, id), size_text(pv->start + pv->len, want),
				size_text(pv->on->size, have));
	}
}

/* --- logical volumes --- */

struct volume {
	struct lvm *g;
	struct lvm_lv *lv;
};

static int lv_map(struct layer *l, uint64_t off, struct extent *run)
{
	const struct volume *v = l->priv;

	run->off = off;
	run->len = l->size - off;
	return lvm_map(v->g, v->lv, off, run, 0);
}

static void lv_info(struct layer *l, struct json *to)
{
	const struct volume *v = l->priv;
	const struct lvm_lv *lv = v->lv;

	if (lv->id)
		js_str(to, "id", lv->id);
	if (lv->origin)
		js_strf(to, "type", "snapshot of %s", lv->origin->name);
	else if (lv->n == 1 && lv->segment[0].type == LVM_STRIPED)
		js_str(to, "type", lv->segment[0].n > 1 ? "striped" : "linear");
	else if (lv->n)
		js_str(to, "type", lv->segment[0].type_name);
	js_u64(to, "segments", lv->n);
}

static void lv_close(struct layer *l)
{
	free(l->priv);
}

static const struct layer_ops lv_ops = {
	.name = "lv",
	.kind = LAYER_VOLUME,
	.read = layer_read_mapped,
	.map = lv_map,
	.info = lv_info,
	.close = lv_close,
};

static int present(struct layer *l, struct lvm *g, struct lvm_lv *lv)
{
	struct layer *v;
	char *name, *safe;
	size_t len;
	int r = -ENOMEM;

	if (asprintf(&name, "%s-%s", g->vg, lv->name) < 0)
		return -ENOMEM;
	len = 4 * strlen(name) + 1;
	safe = malloc(len);
	v = safe ? layer_new(l->s, &lv_ops, l, name_escape(name, strlen(name), safe, len)) : NULL;
	if (v)
		v->priv = malloc(sizeof(struct volume));
	if (v && v->priv) {
		*(struct volume *)v->priv = (struct volume){g, lv};
		v->size = lv->origin ? lv->origin->size : lv->size;
		v->sector = l->sector;
		layer_attach(l, v);
		r = 0;
	} else {
		layer_free(v);
	}
	free(name);
	free(safe);
	return r;
}

static void report_types(struct layer *l, const struct lvm_lv *lv)
{
	char type[64];

	for (unsigned i = 0; i < lv->n; i++) {
		const struct lvm_segment *s = &lv->segment[i];

		if (s->cache)
			finding(l, LVM2_CACHE, 0, 0,
				"the volume %s is read without its cache %s: blocks that were "
				"written there only are missing, and older ones are read instead",
				lv->name, safe_text(s->cache, type));
		if (s->type != LVM_UNKNOWN)
			continue;
		finding(l, LVM2_SEGMENT_UNKNOWN, 0, 0,
			"the volume %s has a segment of type \"%s\", which is not read%s", lv->name,
			safe_text(s->type_name, type),
			strncmp(s->type_name, "vdo", 3)
				? ""
				: ": VDO keeps its blocks deduplicated and compressed");
		return;
	}
}

static int present_all(struct layer *l, struct lvm *g)
{
	unsigned shown = 0;
	int r = 0;

	for (unsigned i = 0; i < g->n_lvs; i++)
		for (unsigned k = 0; k < g->lv[i].n && !r; k++)
			if (g->lv[i].segment[k].type == LVM_RAID)
				r = lvm_raid_open(g, &g->lv[i], &g->lv[i].segment[k]);
	for (unsigned i = 0; i < g->n_lvs && !r; i++)
		if (g->lv[i].pool)
			r = lvm_pool_open(g, &g->lv[i]);
	for (unsigned i = 0; i < g->n_lvs && !r; i++)
		if (g->lv[i].origin)
			r = lvm_snapshot_open(g, &g->lv[i]);
	for (unsigned i = 0; i < g->n_lvs && !r && shown < PARTS_MAX; i++) {
		if (!g->lv[i].visible || g->lv[i].pool || !g->lv[i].size)
			continue;
		report_types(l, &g->lv[i]);
		r = present(l, g, &g->lv[i]);
		shown++;
	}
	return r;
}

static int lvm2_open(struct layer *l)
{
	struct lvm *g = calloc(1, sizeof(*g));
	struct lvm_pv *mine;
	int r;

	if (!g)
		return -ENOMEM;
	l->priv = g;
	if (!lvm_label_read(l->below, &g->label))
		return -EBADMSG;
	l->size = l->below->size;
	l->sector = l->below->sector;
	if (!g->label.sum_ok)
		finding(l, LVM2_LABEL_BAD, g->label.at, LVM_SECTOR,
			"the label of the physical volume does not have its checksum");
	r = lvm_metadata_read(l, &g->label, &g->text);
	if (!r)
		r = lvm_build(l, g);
	if (r == -EBADMSG) {
		bool empty =
			g->label.n_areas && g->label.area[0].header_ok && !g->label.area[0].text;

		if (!empty)
			finding(l, LVM2_METADATA_LOST, g->label.at, LVM_SECTOR,
				"no metadata of the volume group can be read here; what lies on the "
				"physical volume is not known");
		return 0; /* it is LVM all the same */
	}
	if (r)
		return r;
	mine = pv_with(g, g->label.id);
	if (mine)
		mine->on = l->below;
	r = members_find(l, wanted, complete, g, &g->members);
	if (r)
		return r;
	g->elsewhere = shown_elsewhere(l, g);
	if (g->elsewhere)
		return 0;
	report_pvs(l, g);
	return present_all(l, g);
}

/* Segments that can't be: outside of their physical volume. Overlaps of volumes show as such. */
static int check_lv(struct layer *l, struct lvm *g, const struct lvm_lv *lv)
{
	uint64_t off = 0;
	int r = 0;

	/* Only what a look at each segment's ends tells: volumes are large. */
	for (unsigned i = 0; i < lv->n && !r; i++) {
		const struct lvm_segment *s = &lv->segment[i];
		bool bad = s->off != off;

		for (unsigned k = 0; k < s->n && !bad; k++) {
			uint64_t need = s->type == LVM_STRIPED ? s->len / s->n : s->len;

			bad = s->column[k].pv
				      ? s->column[k].off > s->column[k].pv->len ||
						need > s->column[k].pv->len - s->column[k].off
				      : !s->column[k].lv;
		}
		off = s->off + s->len;
		if (bad)
			finding(l, LVM2_SEGMENT_BAD, g->label.at, LVM_SECTOR,
				"segment %u of the volume %s can't be true", i + 1, lv->name);
	}
	return r;
}

static int lvm2_check(struct layer *l)
{
	struct lvm *g = l->priv;
	int r = 0;

	for (unsigned i = 0; i < g->n_lvs && !r && !g->elsewhere; i++) {
		r = check_lv(l, g, &g->lv[i]);
		if (!r && g->lv[i].pool)
			r = lvm_pool_check(g, &g->lv[i]);
	}
	session_checked(l->s, 4 * LVM_SECTOR);
	return r;
}

static void lvm2_info(struct layer *l, struct json *to)
{
	struct lvm *g = l->priv;
	unsigned there = 0;

	js_str(to, "pv_id", g->label.id);
	if (!g->vg)
		return;
	js_str(to, "vg", g->vg);
	if (g->id)
		js_str(to, "vg_id", g->id);
	js_u64(to, "seqno", g->seqno);
	js_u64(to, "extent_size", g->extent);
	for (unsigned i = 0; i < g->n_pvs; i++)
		there += g->pv[i].on != NULL;
	js_strf(to, "pvs", "%u of %u", there, g->n_pvs);
	if (g->elsewhere)
		js_str(to, "volumes", "under the first partition of the group");
	else
		js_u64(to, "volumes", g->n_lvs);
}

static bool lvm2_structure(struct layer *l, uint64_t at, char *name, size_t cap, uint64_t *start,
			   uint64_t *len)
{
	struct lvm *g = l->priv;

	if (at < 4 * LVM_SECTOR && at / LVM_SECTOR * LVM_SECTOR == g->label.at) {
		snprintf(name, cap, "LVM2 label");
		*start = g->label.at;
		*len = LVM_SECTOR;
		return true;
	}
	for (unsigned i = 0; i < g->label.n_areas; i++)
		if (at >= g->label.area[i].at && at - g->label.area[i].at < g->label.area[i].len) {
			snprintf(name, cap, "LVM2 metadata area %u", i + 1);
			*start = g->label.area[i].at;
			*len = g->label.area[i].len;
			return true;
		}
	return false;
}

static void lvm2_close(struct layer *l)
{
	struct lvm *g = l->priv;

	if (!g)
		return;
	lvm_unbuild(g);
	members_free(&g->members);
	free(g);
}

const struct layer_ops lvm2_ops = {
	.name = "lvm2",
	.kind = LAYER_MAP,
	.probe = lvm2_probe,
	.open = lvm2_open,
	.read = layer_read_mapped,
	.map = part_map_run,
	.check = lvm2_check,
	.info = lvm2_info,
	.structure = lvm2_structure,
	.close = lvm2_close,
};
