/* SPDX-License-Identifier: Apache-2.0 */
/* FAT: whose are these bytes? */
#include <stdio.h>

#include "formats/fs/claim.h"
#include "formats/fs/fat_walk.h"

enum { OWNERS_MAX = 8 }; /* of a cluster, on the average: more are not looked for */

struct owning {
	struct layer *l;
	struct claims c;
	struct table_pos pos;
	uint64_t left; /* clusters that chains may still be followed through */
};

static int claim_item(void *arg, const struct fs_entry *e)
{
	const struct fat_item *item = (const void *)e;
	struct owning *o = arg;
	struct fs_runs runs = {0};
	struct chain c;
	char name[128];
	int r;

	/* Chains that files share are damaged; they don't make us follow them again and again. */
	if (!o->left)
		return 0;
	r = fat_file_runs(o->l, &item->d, item->first, false, &runs, &c);
	o->left -= c.clusters < o->left ? c.clusters : o->left;
	snprintf(name, sizeof(name), "folder %s", e->path);
	if (!r)
		r = claim_runs(&o->c, e, &runs, e->kind == FS_DIR ? name : NULL);
	fs_runs_free(&runs);
	return r;
}

static int claim_root(struct owning *o)
{
	struct fat *g = o->l->priv;
	struct fs_runs runs = {0};
	struct fat_dirent d;
	struct chain c;
	int r;

	if (g->bits != 32)
		return claim_structure(&o->c, g->root_at, g->root_len, "root folder", NULL);
	fat_item_read(o->l, FAT_ROOT_ID, &d);
	r = fat_file_runs(o->l, &d, g->root_cluster, false, &runs, &c);
	if (!r)
		r = claim_runs(&o->c, NULL, &runs, "root folder");
	fs_runs_free(&runs);
	return r;
}

static int claim_areas(struct owning *o)
{
	static const char *const name[] = {"first FAT", "second FAT"};
	struct fat *g = o->l->priv;
	uint32_t backup = le16(g->boot.f32.backup), info = le16(g->boot.f32.fsinfo);
	uint64_t reserved = (uint64_t)le16(g->boot.reserved) * g->sector;
	int r = claim_structure(&o->c, 0, g->sector, "boot sector", NULL);

	if (g->bits == 32 && backup && (uint64_t)backup * g->sector < reserved && !r)
		r = claim_structure(&o->c, (uint64_t)backup * g->sector, g->sector,
				    "backup boot sector", NULL);
	if (g->bits == 32 && info && (uint64_t)info * g->sector < reserved && !r)
		r = claim_structure(&o->c, (uint64_t)info * g->sector, g->sector, "FSInfo", NULL);
	for (unsigned k = 0; k < g->t.n && !r; k++)
		r = claim_structure(&o->c, g->t.at[k], g->t.len, name[k], NULL);
	return r;
}

/* What no file owns: as the FAT has it. */
static void rest(void *arg, struct fs_owner *o)
{
	struct owning *w = arg;
	struct fat *g = w->l->priv;
	uint64_t end = g->t.heap + (uint64_t)g->t.clusters * g->t.cluster;
	uint32_t cluster, next;

	if (o->off < g->t.heap) {
		o->kind = OWNER_STRUCTURE;
		o->structure = "reserved sectors";
		if (o->len > g->t.heap - o->off)
			o->len = g->t.heap - o->off;
		return;
	}
	if (o->off >= end) {
		o->kind = OWNER_FREE;
		return;
	}
	cluster = (uint32_t)((o->off - g->t.heap) / g->t.cluster) + 2;
	next = table_next(&g->t, &w->pos, cluster);
	o->kind = next == NEXT_FREE ? OWNER_FREE : OWNER_UNKNOWN;
	if (next == NEXT_BAD) {
		o->kind = OWNER_STRUCTURE;
		o->structure = "bad cluster";
	}
	while (table_valid(&g->t, cluster) && table_addr(&g->t, cluster) < o->off + o->len &&
	       (table_next(&g->t, &w->pos, cluster) == NEXT_FREE) == (next == NEXT_FREE))
		cluster++;
	if (table_addr(&g->t, cluster) < o->off + o->len)
		o->len = table_addr(&g->t, cluster) - o->off;
}

int fat_owners(struct layer *l, const struct ranges *r,
	       int (*fn)(void *arg, const struct fs_owner *o), void *arg)
{
	struct fat *g = l->priv;
	struct owning o = {.l = l,
			   .c = {.wanted = r, .fn = fn, .arg = arg},
			   .left = (uint64_t)OWNERS_MAX * g->t.clusters};
	int err = claim_areas(&o);

	if (!err)
		err = claim_root(&o);
	if (!err)
		err = fat_walk(l, &(struct fs_query){.recursive = true, .system = true}, claim_item,
			       &o);
	if (!err)
		err = claim_rest(&o.c, rest, &o);
	table_done(&g->t, &o.pos);
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
	const struct fat_item *item = (const void *)e;
	struct unused *u = arg;
	struct fat *g = u->l->priv;
	uint64_t used = e->size % g->t.cluster;

	if (e->kind == FS_DIR || !used || e->stored < e->size)
		return 0;
	return u->fn(u->arg, table_addr(&g->t, item->chain.last) + used, g->t.cluster - used, true);
}

int fat_unused(struct layer *l, int (*fn)(void *arg, uint64_t off, uint64_t len, bool slack),
	       void *arg)
{
	struct fat *g = l->priv;
	struct unused u = {l, fn, arg};
	struct table_pos pos = {0};
	uint64_t end = g->t.heap + (uint64_t)g->t.clusters * g->t.cluster;
	uint32_t run = 0;
	int r = 0;

	for (uint32_t c = 2; c <= g->t.clusters + 2 && !r; c++) {
		bool is_free = table_valid(&g->t, c) && table_next(&g->t, &pos, c) == NEXT_FREE;

		if (is_free == (run != 0))
			continue;
		if (run)
			r = fn(arg, table_addr(&g->t, run), (uint64_t)(c - run) * g->t.cluster,
			       false);
		run = is_free ? c : 0;
	}
	table_done(&g->t, &pos);
	if (!r && end < l->size)
		r = fn(arg, end, l->size - end, false);
	return r ? r
		 : fat_walk(l, &(struct fs_query){.recursive = true, .system = true}, slack, &u);
}
