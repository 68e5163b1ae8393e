/* SPDX-License-Identifier: Apache-2.0 */
/* FAT: every folder, every chain, every cluster. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/fat_walk.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

enum {
	SHARED_MAX = 1024, /* pieces that several files claim, told by name */
	STEPS_PER_CLUSTER = 4,
};

struct check {
	struct layer *l;
	uint8_t *owned; /* a bit for each cluster */
	uint64_t steps; /* entries of the table that may still be read beyond what is needed */
	struct ranges shared;
	uint64_t at; /* of the entry that is looked at */
	const char *path;
};

static bool owned(const struct check *k, uint32_t cluster)
{
	return k->owned[(cluster - 2) / 8] & 1 << (cluster - 2) % 8;
}

static int own_run(void *arg, uint32_t cluster, uint32_t n)
{
	struct check *k = arg;
	struct fat *g = k->l->priv;
	int r = 0;

	for (uint32_t c = cluster; c < cluster + n && !r; c++) {
		if (owned(k, c) && k->shared.n < SHARED_MAX)
			r = ranges_add(&k->shared, table_addr(&g->t, c), g->t.cluster,
				       GRADE_DOUBTFUL, FAT_CROSS_LINKED);
		k->owned[(c - 2) / 8] |= (uint8_t)(1 << (c - 2) % 8);
	}
	return r;
}

static const char *ending_text(const struct chain *c)
{
	switch (c->end) {
	case CHAIN_FREE: return "at a cluster that is marked free";
	case CHAIN_BAD: return "at a cluster that is marked bad";
	case CHAIN_OUTSIDE: return "with the number of no cluster";
	case CHAIN_LOST: return "in a part of the FAT that can't be read";
	default: return "too early";
	}
}

static void report_broken(struct check *k, const struct chain *c, uint64_t size, bool dir)
{
	struct fat *g = k->l->priv;
	uint64_t have = (uint64_t)c->clusters * g->t.cluster;
	struct fact f = {
		.at = k->at,
		.at_len = FAT_ENTRY,
		.path = k->path,
		.path_off = have,
		.stored = c->last ? strf("0x%" PRIx32 " behind cluster %" PRIu32, c->to, c->last)
				  : strf("first cluster %" PRIu32, c->to)};

	if (dir)
		finding_fact(k->l, FAT_CHAIN_BROKEN, &f,
			     "the chain of this folder ends %s, after %" PRIu32 " clusters",
			     ending_text(c), c->clusters);
	else
		finding_fact(k->l, FAT_CHAIN_BROKEN, &f,
			     "the chain of this file ends %s, after %" PRIu64 " of its %" PRIu64
			     " bytes",
			     ending_text(c), have < size ? have : size, size);
}

/* The chain of a file of @size bytes, or of a folder. */
static int check_chain(struct check *k, uint32_t first, uint64_t size, bool dir)
{
	struct fat *g = k->l->priv;
	uint32_t need = (uint32_t)((size + g->t.cluster - 1) / g->t.cluster);
	uint64_t max = k->steps + need + 1;
	struct chain c;
	int r;

	if (!first && !need && !dir)
		return 0;
	r = table_chain(&g->t, first, max < UINT32_MAX ? (uint32_t)max : UINT32_MAX, &c, own_run,
			k);
	k->steps -= k->steps < c.clusters ? k->steps : c.clusters;
	if (c.end == CHAIN_LOOP)
		finding_fact(k->l, FAT_CHAIN_LOOP,
			     &(struct fact){.at = k->at, .at_len = FAT_ENTRY, .path = k->path},
			     "the chain returns to a cluster that it had before, after %" PRIu32,
			     c.clusters);
	else if ((c.end != CHAIN_END && c.end != CHAIN_MORE) || (!dir && c.clusters < need))
		report_broken(k, &c, size, dir);
	else if (!dir && c.clusters > need)
		finding_fact(k->l, FAT_CHAIN_LONG,
			     &(struct fact){.at = k->at,
					    .at_len = FAT_ENTRY,
					    .path = k->path,
					    .stored = strf("%" PRIu32 " clusters", c.clusters),
					    .expected = strf("%" PRIu32, need)},
			     "the chain has more clusters than the file needs");
	return r;
}

/* --- folders --- */

static void check_dots(struct check *k, const struct fat_dir *d, uint32_t self, uint32_t parent)
{
	struct fat *g = k->l->priv;
	const struct fat_dirent *e = (const void *)d->buf;
	static const char *const name[2] = {".          ", "..         "};
	uint32_t want[2] = {self, parent};

	if (d->len < 2 * FAT_ENTRY || ranges_overlap(&d->bad, 0, 2 * (uint64_t)FAT_ENTRY))
		return;
	for (int i = 0; i < 2; i++) {
		bool named = !memcmp(e[i].name, name[i], 11) && e[i].attr & ATTR_DIR;
		uint32_t to = fat_first(g, &e[i]);

		/* The root is 0 here, but some systems write its cluster. */
		if (named &&
		    (to == want[i] ||
		     (i && g->bits == 32 && (!to || !parent || parent == g->root_cluster) &&
		      (!to || to == g->root_cluster) && (!parent || parent == g->root_cluster))))
			continue;
		finding_fact(
			k->l, FAT_DIR_DOTS,
			&(struct fact){
				.at = d->at[0] + (unsigned)i * FAT_ENTRY,
				.at_len = FAT_ENTRY,
				.path = k->path,
				.stored = named ? strf("cluster %" PRIu32, to) : "another name",
				.expected = strf("\"%.2s\", cluster %" PRIu32, name[i], want[i])},
			"the folder's entry for %s is wrong", i ? "its parent" : "itself");
	}
}

static void report_entry(struct check *k, enum finding_id id, const struct fat_name *n,
			 const char *why)
{
	finding_fact(k->l, id,
		     &(struct fact){.at = n->at,
				    .at_len = FAT_ENTRY,
				    .path = k->path,
				    .path_off = (uint64_t)n->i * FAT_ENTRY},
		     "%s", why);
}

static bool short_name_bad(const struct fat_dirent *e)
{
	for (int i = 0; i < 11; i++) {
		uint8_t c = e->name[i];

		if ((c < ' ' && !(i == 0 && c == 0x05)) ||
		    strchr("\"*+,./:;<=>?[\\]|", c ? c : '*'))
			return true;
	}
	return e->name[0] == ' ';
}

static int by_name(const void *a, const void *b)
{
	return memcmp(a, b, 11);
}

static void check_twice(struct check *k, uint8_t (*name)[11], size_t n, uint64_t at)
{
	size_t twice = 0;

	qsort(name, n, sizeof(*name), by_name);
	for (size_t i = 1; i < n; i++)
		twice += !memcmp(name[i - 1], name[i], 11);
	if (twice)
		finding_fact(k->l, FAT_NAME_TWICE,
			     &(struct fact){.at = at, .at_len = FAT_ENTRY, .path = k->path},
			     "%zu names are in this folder more than once", twice);
}

static int check_entries(struct check *k, const struct fat_dir *d)
{
	struct fat *g = k->l->priv;
	uint8_t(*name)[11] = malloc(d->len / FAT_ENTRY * 11 + 11);
	struct fat_name n;
	unsigned i = 0;
	size_t used = 0;

	if (!name)
		return -ENOMEM;
	while (fat_dir_next(g, d, &i, &n)) {
		if (n.deleted)
			continue;
		if (n.garbage) {
			report_entry(k, FAT_ENTRY_BAD, &n, "this can't be an entry of a folder");
			continue;
		}
		if (n.long_bad)
			report_entry(
				k, FAT_LONG_NAME, &n,
				"a long name stands before an entry that it does not belong to");
		if ((n.e.attr & (ATTR_LABEL | ATTR_DIR)) == ATTR_LABEL || fat_is_dots(&n.e))
			continue;
		if (short_name_bad(&n.e))
			report_entry(k, FAT_NAME_BAD, &n,
				     "the short name has characters that it can't have");
		memcpy(name[used++], n.e.name, 11);
	}
	check_twice(k, name, used, d->at ? d->at[0] : 0);
	free(name);
	return 0;
}

static int check_folder(struct check *k, uint32_t cluster, uint32_t parent, bool root)
{
	struct fat_dir d;
	int r = fat_dir_load(k->l, cluster, false, &d);

	if (!r && d.bad.n)
		finding_fact(k->l, FAT_DIR_LOST,
			     &(struct fact){.at = d.at[d.bad.v[0].off / d.unit] +
						  d.bad.v[0].off % d.unit,
					    .at_len = d.bad.v[0].len,
					    .path = k->path,
					    .path_off = d.bad.v[0].off},
			     "%" PRIu64 " bytes of this folder can't be read; files that they name "
			     "may be found in /$orphans",
			     ranges_bytes(&d.bad, GRADE_LOST));
	if (!r && !root)
		check_dots(k, &d, cluster, parent);
	if (!r)
		r = check_entries(k, &d);
	session_checked(k->l->s, d.len);
	fat_dir_free(&d);
	return r;
}

static int check_item(void *arg, const struct fs_entry *e)
{
	const struct fat_item *item = (const void *)e;
	struct check *k = arg;
	int r;

	k->at = e->id;
	k->path = e->path;
	r = check_chain(k, item->first, e->kind == FS_DIR ? 0 : e->size, e->kind == FS_DIR);
	if (r || e->kind != FS_DIR)
		return r;
	if (le32(item->d.size))
		finding_fact(k->l, FAT_DIR_SIZE,
			     &(struct fact){.at = e->id + 28,
					    .at_len = 4,
					    .path = e->path,
					    .stored = strf("%" PRIu32, le32(item->d.size)),
					    .expected = "0"},
			     "the entry of a folder states a size");
	return table_valid(&((struct fat *)k->l->priv)->t, item->first)
		       ? check_folder(k, item->first, item->parent_cluster, false)
		       : 0;
}

static int check_root(struct check *k)
{
	struct fat *g = k->l->priv;
	int r = 0;

	k->path = "/";
	k->at = 0;
	if (g->bits == 32)
		r = check_chain(k, g->root_cluster, 0, true);
	return r ? r : check_folder(k, 0, 0, true);
}

/* --- clusters --- */

static int name_shared(void *arg, const struct fs_owner *o)
{
	struct check *k = arg;

	/* Pieces of one file come one behind the other: the first one is enough. */
	if (!o->file || o->file->id & FAT_ORPHAN || o->file->id == k->at)
		return 0;
	k->at = o->file->id;
	finding_fact(k->l, FAT_CROSS_LINKED,
		     &(struct fact){.at = o->file->id,
				    .at_len = FAT_ENTRY,
				    .off = o->off,
				    .len = o->len,
				    .doubtful = true,
				    .path = o->file->path,
				    .path_off = o->file_off},
		     "this file and another one have the same clusters");
	return 0;
}

static int check_shared(struct check *k)
{
	int r;

	if (!k->shared.n)
		return 0;
	r = ranges_flatten(&k->shared);
	k->at = 0;
	return r ? r : fat_owners(k->l, &k->shared, name_shared, k);
}

/* In use, and nobody's. */
static int check_lost(struct check *k, uint64_t *free_clusters)
{
	struct fat *g = k->l->priv;
	struct table_pos pos = {0};
	uint32_t first = 0, n = 0, len;
	char size[SIZE_TEXT];

	*free_clusters = 0;
	for (uint32_t c = 2; table_valid(&g->t, c); c++) {
		uint32_t next = table_next(&g->t, &pos, c);

		*free_clusters += next == NEXT_FREE;
		if (next == NEXT_FREE || next == NEXT_BAD || next == NEXT_LOST || owned(k, c))
			continue;
		first = first ? first : c;
		n++;
	}
	table_done(&g->t, &pos);
	if (n)
		finding_fact(k->l, FAT_LOST_CHAIN,
			     &(struct fact){.at = table_entry_at(&g->t, 0, first, &len),
					    .at_len = len,
					    .off = table_addr(&g->t, first),
					    .len = g->t.cluster},
			     "%" PRIu32 " clusters (%s) are in use, but no file has them; they are "
			     "presented in /$orphans",
			     n, size_text((uint64_t)n * g->t.cluster, size));
	session_checked(k->l->s, g->t.len * g->t.n);
	return pos.err;
}

int fat_check(struct layer *l)
{
	struct fat *g = l->priv;
	struct check k = {.l = l,
			  .owned = calloc(1, g->t.clusters / 8 + 1),
			  .steps = (uint64_t)STEPS_PER_CLUSTER * g->t.clusters};
	uint64_t free_clusters;
	int r = k.owned ? 0 : -ENOMEM;

	if (!r && !g->t.compared)
		r = fat_compare(l);
	if (!r)
		r = check_root(&k);
	if (!r)
		r = fat_tree(l, &(struct fs_query){.recursive = true}, check_item, &k);
	if (!r)
		r = check_lost(&k, &free_clusters);
	if (!r)
		r = check_shared(&k);
	if (!r)
		r = fat_check_boot(l, free_clusters);
	ranges_free(&k.shared);
	free(k.owned);
	return r;
}
