/* SPDX-License-Identifier: Apache-2.0 */
/* exFAT: whose are these bytes? */
#include <stdio.h>

#include "formats/fs/claim.h"
#include "formats/fs/exfat.h"

enum { OWNERS_MAX = 8 }; /* of a cluster, on the average: more are not looked for */

struct owning {
	struct layer *l;
	struct claims c;
	uint64_t left; /* clusters that chains may still be followed through */
};

static int claim_place(struct owning *o, const struct exfat_place *p, const struct fs_entry *e,
		       const char *name)
{
	struct fs_runs runs = {0};
	struct exfat_place whole = *p;
	struct chain chain;
	int r;

	/* Chains that files share are damaged; they don't make us follow them again and again. */
	if (!o->left)
		return 0;
	whole.valid = UINT64_MAX; /* clusters that are not written yet belong to it all the same */
	r = exfat_place_runs(o->l, &whole, &runs, &chain);
	if (!p->no_chain)
		o->left -= chain.clusters < o->left ? chain.clusters : o->left;
	if (!r)
		r = claim_runs(&o->c, e, &runs, name);
	fs_runs_free(&runs);
	return r;
}

static int claim_item(void *arg, const struct fs_entry *e)
{
	const struct exfat_item *item = (const void *)e;
	struct fs_entry data = *e;
	char name[128];

	/* Nothing of the file is stored behind its valid length. */
	if (item->place.valid < data.size)
		data.size = item->place.valid;
	snprintf(name, sizeof(name), "folder %s", e->path);
	return claim_place(arg, &item->place, e->kind == FS_DIR ? e : &data,
			   e->kind == FS_DIR ? name : NULL);
}

static int claim_stream(struct owning *o, const struct exfat_stream *s, bool there,
			const char *name)
{
	struct exfat_place p = {.cluster = le32(s->cluster), .length = le64(s->length)};

	return there ? claim_place(o, &p, NULL, name) : 0;
}

static int claim_areas(struct owning *o)
{
	struct exfat *x = o->l->priv;
	uint64_t region = (uint64_t)EXFAT_BOOT_SECTORS * x->sector;
	struct exfat_place root;
	int r = claim_structure(&o->c, 0, region, "boot region", NULL);

	exfat_root_place(x, &root);
	if (!r)
		r = claim_structure(&o->c, region, region, "backup boot region", NULL);
	if (!r)
		r = claim_structure(&o->c, x->t.at[0], x->t.len, "FAT", NULL);
	if (!r)
		r = claim_place(o, &root, NULL, "root folder");
	if (!r)
		r = claim_stream(o, &x->bitmap_entry, x->bitmap_entry_at, "allocation bitmap");
	return r ? r : claim_stream(o, &x->upcase_entry, x->upcase_entry_at, "up-case table");
}

/* What no file owns: as the bitmap has it. */
static void rest(void *arg, struct fs_owner *o)
{
	struct exfat *x = arg;
	uint64_t end = x->t.heap + (uint64_t)x->t.clusters * x->t.cluster;
	uint32_t cluster;
	int used;

	if (o->off < x->t.heap) {
		o->kind = OWNER_STRUCTURE;
		o->structure = "reserved sectors";
		if (o->len > x->t.heap - o->off)
			o->len = x->t.heap - o->off;
		return;
	}
	if (o->off >= end) {
		o->kind = OWNER_FREE;
		return;
	}
	cluster = (uint32_t)((o->off - x->t.heap) / x->t.cluster) + 2;
	used = exfat_in_use(x, cluster);
	o->kind = used ? OWNER_UNKNOWN : OWNER_FREE;
	while (table_valid(&x->t, cluster) && table_addr(&x->t, cluster) < o->off + o->len &&
	       exfat_in_use(x, cluster) == used)
		cluster++;
	if (table_addr(&x->t, cluster) < o->off + o->len)
		o->len = table_addr(&x->t, cluster) - o->off;
}

int exfat_owners(struct layer *l, const struct ranges *r,
		 int (*fn)(void *arg, const struct fs_owner *o), void *arg)
{
	const struct exfat *x = l->priv;
	struct owning o = {.l = l,
			   .c = {.wanted = r, .fn = fn, .arg = arg},
			   .left = (uint64_t)OWNERS_MAX * x->t.clusters};
	int err = claim_areas(&o);

	if (!err)
		err = exfat_walk(l, &(struct fs_query){.recursive = true}, claim_item, &o);
	if (!err)
		err = claim_rest(&o.c, rest, l->priv);
	claims_free(&o.c);
	return err;
}

struct unused {
	struct layer *l;
	int (*fn)(void *arg, uint64_t off, uint64_t len, bool slack);
	void *arg;
};

static int slack(void *arg, const struct fs_entry *e)
{
	const struct exfat_item *item = (const void *)e;
	struct unused *u = arg;
	struct exfat *x = u->l->priv;
	uint64_t used = e->size % x->t.cluster;

	if (e->kind == FS_DIR || !used || e->stored < e->size)
		return 0;
	return u->fn(u->arg, table_addr(&x->t, item->chain.last) + used, x->t.cluster - used, true);
}

int exfat_unused(struct layer *l, int (*fn)(void *arg, uint64_t off, uint64_t len, bool slack),
		 void *arg)
{
	struct exfat *x = l->priv;
	struct unused u = {l, fn, arg};
	uint64_t end = x->t.heap + (uint64_t)x->t.clusters * x->t.cluster;
	uint32_t run = 0;
	int r = 0;

	for (uint32_t c = 2; c - 2 <= x->t.clusters && !r; c++) {
		bool is_free = table_valid(&x->t, c) && !exfat_in_use(x, c);

		if (is_free == (run != 0))
			continue;
		if (run)
			r = fn(arg, table_addr(&x->t, run), (uint64_t)(c - run) * x->t.cluster,
			       false);
		run = is_free ? c : 0;
	}
	if (!r && end < l->size)
		r = fn(arg, end, l->size - end, false);
	return r ? r : exfat_walk(l, &(struct fs_query){.recursive = true}, slack, &u);
}
