/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LVM2's raid4, raid5, raid6 and raid10: what md does with disks, dm-raid does with volumes of the
 * group, so geometry and parity are md's. Source: lvmraid(7); kernel,
 * Documentation/admin-guide/device-mapper/dm-raid.rst.
 *
 * The array is a layer of its own below the volume, and so is each member, for a stripe whose disk is
 * gone is computed from all others.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/part/lvm2.h"
#include "formats/part/md.h"

enum { NEAR_COPIES = 1 << 8 }; /* raid10: one far copy, that is none */

static const struct {
	const char *type;
	int level;
	uint32_t layout;
} types[] = {
	{"raid4", 5, MD_PARITY_0},
	{"raid5", 5, MD_LEFT_SYMMETRIC},
	{"raid5_ls", 5, MD_LEFT_SYMMETRIC},
	{"raid5_la", 5, MD_LEFT_ASYMMETRIC},
	{"raid5_rs", 5, MD_RIGHT_SYMMETRIC},
	{"raid5_ra", 5, MD_RIGHT_ASYMMETRIC},
	{"raid5_n", 5, MD_PARITY_N},
	{"raid6", 6, MD_ZERO_RESTART},
	{"raid6_zr", 6, MD_ZERO_RESTART},
	{"raid6_nr", 6, MD_N_RESTART},
	{"raid6_nc", 6, MD_N_CONTINUE},
	{"raid6_n_6", 6, MD_PARITY_N},
	{"raid6_ls_6", 6, MD_SIX + MD_LEFT_SYMMETRIC},
	{"raid6_la_6", 6, MD_SIX + MD_LEFT_ASYMMETRIC},
	{"raid6_rs_6", 6, MD_SIX + MD_RIGHT_SYMMETRIC},
	{"raid6_ra_6", 6, MD_SIX + MD_RIGHT_ASYMMETRIC},
};

bool lvm_raid_type(struct lvm_segment *s, const char *type, uint64_t copies)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		if (strcmp(types[i].type, type) != 0)
			continue;
		s->level = types[i].level;
		s->layout = types[i].layout;
		return true;
	}
	if ((strcmp(type, "raid10") != 0 && strcmp(type, "raid10_near") != 0) || copies > 255)
		return false;
	s->level = 10;
	s->layout = NEAR_COPIES | (uint32_t)copies;
	return true;
}

/* --- a member: a volume of the group, as it is stored --- */

struct leg {
	struct lvm *g;
	const struct lvm_lv *lv;
};

static int leg_map(struct layer *l, uint64_t off, struct extent *run)
{
	const struct leg *m = l->priv;

	run->off = off;
	run->len = l->size - off;
	/* Arrays are not members of arrays: what claims to be one is lost, and nothing goes round. */
	return lvm_map_own(m->g, m->lv, off, run, LVM_DEPTH);
}

static void leg_close(struct layer *l)
{
	free(l->priv);
}

static const struct layer_ops leg_ops = {
	.name = "lv",
	.kind = LAYER_VOLUME,
	.read = layer_read_mapped,
	.map = leg_map,
	.close = leg_close,
};

/* Is any of it on a disk that is here? */
static bool is_here(const struct lvm_lv *lv)
{
	for (unsigned i = 0; i < lv->n; i++)
		for (unsigned k = 0; k < lv->segment[i].n; k++)
			if (lv->segment[i].column[k].pv && lv->segment[i].column[k].pv->on)
				return true;
	return false;
}

static struct layer *leg_new(struct lvm *g, const struct lvm_lv *lv)
{
	struct layer *l = layer_new(g->l->s, &leg_ops, g->l, lv->name);
	struct leg *m = l ? malloc(sizeof(*m)) : NULL;

	if (!m) {
		layer_free(l);
		return NULL;
	}
	*m = (struct leg){g, lv};
	l->priv = m;
	l->size = lv->size;
	return l;
}

/* --- the array --- */

static int raid_map(struct layer *l, uint64_t off, struct extent *run)
{
	int r = md_map(l->priv, off, run);

	if (run->kind == EXTENT_LOST)
		run->why = LVM2_PV_MISSING;
	return r;
}

static int raid_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	size_t from = bad ? bad->n : 0;
	int r = md_read(l->priv, off, buf, len, bad);

	for (size_t i = from; bad && i < bad->n; i++)
		if (bad->v[i].why == MD_MEMBER_MISSING)
			bad->v[i].why = LVM2_PV_MISSING;
	return r;
}

static void raid_close(struct layer *l)
{
	struct md *a = l->priv;

	for (uint32_t i = 0; a && a->member && i < a->disks; i++)
		layer_free(a->member[i].on);
	free(a ? a->member : NULL);
	free(a);
}

static const struct layer_ops raid_ops = {
	.name = "raid",
	.kind = LAYER_VOLUME,
	.read = raid_read,
	.map = raid_map,
	.close = raid_close,
};

static int add_members(struct lvm *g, const struct lvm_segment *s, struct md *a)
{
	a->member = calloc(s->n, sizeof(*a->member));
	if (!a->member)
		return -ENOMEM;
	for (; a->disks < s->n; a->disks++) {
		struct md_member *m = &a->member[a->disks];
		const struct lvm_lv *lv = s->column[a->disks].lv;

		if (lv)
			a->column = lv->size;
		if (!lv || !is_here(lv))
			continue;
		m->on = leg_new(g, lv);
		if (!m->on)
			return -ENOMEM;
		m->s.data_len = lv->size;
	}
	return 0;
}

int lvm_raid_open(struct lvm *g, const struct lvm_lv *lv, struct lvm_segment *s)
{
	struct layer *l = layer_new(g->l->s, &raid_ops, g->l, lv->name);
	struct md *a = l ? calloc(1, sizeof(*a)) : NULL;
	int r = -ENOMEM;

	if (a) {
		l->priv = a;
		a->l = g->l;
		a->s.level = s->level;
		a->s.layout = s->layout;
		a->s.chunk = s->stripe;
		a->parities = s->level == 5 ? 1 : s->level == 6 ? 2 : 0;
		r = add_members(g, s, a);
	}
	if (!r) {
		a->size = md_size(a);
		l->size = a->size;
		s->array = l; /* of no size when its geometry can't be: all of it is lost */
		return 0;
	}
	layer_free(l);
	return r;
}
