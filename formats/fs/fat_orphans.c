/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FAT: chains that are in use and that no folder names. Folders among them name themselves, and
 * what is below them has its own name; of files only the clusters are known, not the size.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/fat_walk.h"
#include "vdiskck/core/session.h"

static bool bit(const uint8_t *map, uint32_t cluster)
{
	return map[(cluster - 2) / 8] & 1 << (cluster - 2) % 8;
}

static void set_bit(uint8_t *map, uint32_t cluster)
{
	map[(cluster - 2) / 8] |= (uint8_t)(1 << (cluster - 2) % 8);
}

static int own_run(void *arg, uint32_t cluster, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		set_bit(arg, cluster + i);
	return 0;
}

int fat_walk_own(struct fat_walking *w, uint32_t first)
{
	struct fat *g = w->l->priv;
	struct chain c = {0};
	int r = 0;

	if (table_valid(&g->t, first) && !bit(w->owned, first) && w->steps)
		r = table_chain(&g->t, first,
				w->steps < UINT32_MAX ? (uint32_t)w->steps : UINT32_MAX, &c,
				own_run, w->owned);
	w->steps -= c.clusters;
	return r;
}

/* Does @cluster begin with entries for itself and its parent? *@parent: the latter's cluster. */
static bool is_folder(struct layer *l, uint32_t cluster, uint32_t *parent)
{
	struct fat *g = l->priv;
	struct fat_dirent e[2];
	struct ranges bad = {0};
	bool ok = !layer_read(l->below, table_addr(&g->t, cluster), e, sizeof(e), &bad) && !bad.n;

	ranges_free(&bad);
	*parent = fat_first(g, &e[1]);
	return ok && !memcmp(e[0].name, ".          ", 11) && e[0].attr & ATTR_DIR &&
	       !memcmp(e[1].name, "..         ", 11) && e[1].attr & ATTR_DIR &&
	       fat_first(g, &e[0]) == cluster;
}

int fat_orphan_item(struct layer *l, uint32_t first, struct fat_dirent *d)
{
	struct fat *g = l->priv;
	struct chain c = {0};
	uint32_t parent;
	uint64_t size;
	int r;

	if (!table_valid(&g->t, first))
		return -ENOENT;
	r = table_chain(&g->t, first, UINT32_MAX, &c, NULL, NULL);
	size = (uint64_t)c.clusters * g->t.cluster;
	*d = (struct fat_dirent){.cluster = to_le16((uint16_t)first),
				 .cluster_hi = to_le16((uint16_t)(first >> 16)),
				 .size = to_le32(size < UINT32_MAX ? (uint32_t)size : UINT32_MAX)};
	if (is_folder(l, first, &parent))
		d->attr = ATTR_DIR;
	return r;
}

static int emit(struct fat_walking *w, uint32_t first)
{
	struct fat *g = w->l->priv;
	struct fat_item item = {.first = first};
	char path[64];
	int r = fat_orphan_item(w->l, first, &item.d);

	if (r)
		return r;
	snprintf(path, sizeof(path), FAT_ORPHANS "/%u", first);
	table_chain(&g->t, first, UINT32_MAX, &item.chain, NULL, NULL);
	item.e = (struct fs_entry){.id = FAT_ORPHAN | first,
				   .parent = FAT_ORPHAN,
				   .path = path,
				   .kind = item.d.attr & ATTR_DIR ? FS_DIR : FS_FILE,
				   .size = le32(item.d.size),
				   .stored = (uint64_t)item.chain.clusters * g->t.cluster,
				   .links = 1,
				   .path_sure = FS_GONE,
				   .remark = "a lost chain of clusters",
				   .ref = FAT_ORPHAN | first};
	r = fat_walk_own(w, first);
	/* Many chains may run into one long one: what each costs is limited by all of them. */
	w->steps -= w->steps < item.chain.clusters ? w->steps : item.chain.clusters;
	if (!r)
		r = w->fn(w->arg, &item.e);
	if (!r && item.e.kind == FS_DIR)
		r = fat_walk_push(w, path, item.e.id, first, false);
	return r ? r : fat_walk_run(w);
}

/* Clusters that other ones of nobody's lead to: they are no beginnings. */
static uint8_t *followers(struct fat_walking *w, struct table_pos *pos)
{
	struct fat *g = w->l->priv;
	uint8_t *map = calloc(1, g->t.clusters / 8 + 1);

	for (uint32_t c = 2; map && table_valid(&g->t, c); c++) {
		uint32_t next;

		if (bit(w->owned, c))
			continue;
		next = table_next(&g->t, pos, c);
		if (table_valid(&g->t, next) && next != c)
			set_bit(map, next);
	}
	return map;
}

enum stage { TOP_FOLDERS, FOLDERS, CHAINS };

static bool due(struct fat_walking *w, enum stage stage, uint32_t cluster)
{
	struct fat *g = w->l->priv;
	uint32_t parent, above;

	if (stage == CHAINS)
		return true;
	if (!is_folder(w->l, cluster, &parent))
		return false;
	/* One whose parent is such a folder, too, comes with it. */
	return stage == FOLDERS || !table_valid(&g->t, parent) || bit(w->owned, parent) ||
	       !is_folder(w->l, parent, &above);
}

int fat_walk_orphans(struct fat_walking *w)
{
	struct fat *g = w->l->priv;
	struct table_pos pos = {0};
	uint8_t *follows;
	int r = g->bits == 32 ? fat_walk_own(w, g->root_cluster) : 0;

	follows = followers(w, &pos);
	if (!follows)
		r = -ENOMEM;
	for (enum stage stage = TOP_FOLDERS; stage <= CHAINS && !r; stage++)
		for (uint32_t c = 2; table_valid(&g->t, c) && !r && w->steps; c++) {
			uint32_t next;

			if (bit(w->owned, c) || bit(follows, c))
				continue;
			next = table_next(&g->t, &pos, c);
			if (next == NEXT_FREE || next == NEXT_BAD || next == NEXT_LOST ||
			    (next != NEXT_END && !table_valid(&g->t, next)))
				continue;
			if (due(w, stage, c))
				r = session_stopped(w->l->s) ? -EINTR : emit(w, c);
		}
	table_done(&g->t, &pos);
	free(follows);
	return r ? r : pos.err;
}
