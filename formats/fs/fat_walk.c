/* SPDX-License-Identifier: Apache-2.0 */
/* FAT: every entry of the tree, and the way to one of them. */
#include "formats/fs/fat_walk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/session.h"

enum {
	PATH_LONG = 32768,     /* bytes of a path: FAT allows far less */
	STEPS_PER_CLUSTER = 4, /* entries of the table read for sizes, in one walk */
};

static uint64_t round_up(const struct fat *g, uint64_t size)
{
	return (size + g->t.cluster - 1) / g->t.cluster * g->t.cluster;
}

/* How much of a deleted file's place is in use by others. */
static uint64_t taken(struct fat *g, uint32_t first, uint64_t stored)
{
	struct table_pos pos = {0};
	uint64_t n = 0;

	for (uint64_t i = 0; i < stored / g->t.cluster; i++)
		n += table_next(&g->t, &pos, first + (uint32_t)i) != NEXT_FREE;
	table_done(&g->t, &pos);
	return n * g->t.cluster;
}

static void place_deleted(struct fat *g, const struct fat_name *n, uint64_t *steps,
			  struct fs_entry *e)
{
	uint64_t room = 0, stored = e->kind == FS_DIR ? g->t.cluster : round_up(g, e->size);

	if (table_valid(&g->t, n->cluster))
		room = (uint64_t)(g->t.clusters - (n->cluster - 2)) * g->t.cluster;
	e->stored = stored < room ? stored : room;
	if (e->stored / g->t.cluster > *steps) {
		e->data_sure = FS_GUESSED;
		return;
	}
	*steps -= e->stored / g->t.cluster;
	e->overwritten = taken(g, n->cluster, e->stored);
	e->data_sure = !stored ? FS_SURE : e->overwritten < e->stored ? FS_GUESSED : FS_GONE;
}

static void place_live(struct fat *g, const struct fat_name *n, uint64_t *steps, struct fs_entry *e,
		       struct chain *c)
{
	uint32_t need = (uint32_t)(round_up(g, e->size) / g->t.cluster);

	if (e->kind == FS_DIR)
		need = FAT_DIR_BYTES / g->t.cluster + 1;
	if (need > *steps) {
		e->stored = round_up(g, e->size);
		return;
	}
	if (need)
		table_chain(&g->t, n->cluster, need, c, NULL, NULL);
	*steps -= c->clusters;
	e->stored = (uint64_t)c->clusters * g->t.cluster;
	if (e->kind == FS_DIR)
		e->size = e->stored;
	if (e->kind == FS_DIR || c->clusters == need)
		return;
	/* fat_file_runs() guesses that it lies in one piece, where the table does not deny it. */
	if (c->end == CHAIN_FREE || c->end == CHAIN_LOST)
		e->data_sure = FS_GUESSED;
	else if (!c->clusters)
		e->data_sure = FS_GONE;
}

/* The entry @n of folder @dir as everybody sees it. e->path is for the caller. */
static void describe(struct fat *g, const struct fat_name *n, const struct fat_folder *dir,
		     uint64_t *steps, struct fat_item *item)
{
	struct fs_entry *e = &item->e;
	const struct fat_dirent *d = &n->e;

	*item = (struct fat_item){.d = *d, .first = n->cluster, .parent_cluster = dir->cluster};
	*e = (struct fs_entry){
		.id = n->at,
		.parent = dir->id,
		.kind = d->attr & ATTR_DIR ? FS_DIR : FS_FILE,
		.deleted = n->deleted || dir->gone,
		.size = d->attr & ATTR_DIR ? 0 : le32(d->size),
		.modified = fat_time(d->date, d->time, 0),
		.accessed = fat_time(d->access_date, (le16_t){{0}}, 0),
		.born = fat_time(d->born_date, d->born_time, d->born_10ms),
		.links = 1,
		.path_sure = n->first_guessed || dir->gone ? FS_GUESSED : FS_SURE,
		.ref = n->at,
	};
	if (e->deleted)
		place_deleted(g, n, steps, e);
	else
		place_live(g, n, steps, e, &item->chain);
}

static bool shown(const struct fat_name *n)
{
	return !n->garbage && !fat_is_dots(&n->e) &&
	       (n->e.attr & (ATTR_LABEL | ATTR_DIR)) != ATTR_LABEL;
}

int fat_walk_push(struct fat_walking *w, const char *path, uint64_t id, uint32_t cluster, bool gone)
{
	struct fat *g = w->l->priv;
	struct fat_job *j;

	if (cluster) {
		if (!table_valid(&g->t, cluster) ||
		    w->seen[(cluster - 2) / 8] & 1 << (cluster - 2) % 8)
			return 0;
		w->seen[(cluster - 2) / 8] |= (uint8_t)(1 << (cluster - 2) % 8);
	}
	if (w->n == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : 16;

		j = realloc(w->job, cap * sizeof(*j));
		if (!j)
			return -ENOMEM;
		w->job = j;
		w->cap = cap;
	}
	j = &w->job[w->n];
	*j = (struct fat_job){.path = strdup(path), .id = id, .cluster = cluster, .gone = gone};
	if (!j->path)
		return -ENOMEM;
	w->n++;
	return 0;
}

static int visit(struct fat_walking *w, const struct fat_job *j, const struct fat_name *n,
		 size_t at, char *path)
{
	struct fat_item item;
	struct fat_folder dir = {j->id, j->cluster, j->gone};
	int r;

	describe(w->l->priv, n, &dir, &w->steps, &item);
	snprintf(path + at, FAT_NAME_BYTES + 1, "/%s", n->name);
	item.e.path = path;
	r = w->fn(w->arg, &item.e);
	if (!r && w->owned && !item.e.deleted)
		r = fat_walk_own(w, n->cluster);
	/* A folder that is there has been a cluster's owner: cluster 0 is the root. */
	if (r || !w->q->recursive || item.e.kind != FS_DIR || !n->cluster ||
	    strlen(path) > PATH_LONG)
		return r;
	return fat_walk_push(w, path, n->at, n->cluster, item.e.deleted);
}

static int read_folder(struct fat_walking *w, const struct fat_job *j)
{
	size_t at = strlen(j->path);
	char *path = malloc(at + FAT_NAME_BYTES + 2);
	struct fat_dir d = {0};
	struct fat_name n;
	unsigned i = 0;
	int r = path ? fat_dir_load(w->l, j->cluster, j->gone, &d) : -ENOMEM;

	if (path)
		memcpy(path, j->path, at + 1);
	while (!r && fat_dir_next(w->l->priv, &d, &i, &n)) {
		if (session_stopped(w->l->s))
			r = -EINTR;
		else if (shown(&n) && (w->q->deleted || !n.deleted))
			r = visit(w, j, &n, at, path);
	}
	fat_dir_free(&d);
	free(path);
	return r;
}

int fat_walk_run(struct fat_walking *w)
{
	int r = 0;

	while (!r && w->n) {
		struct fat_job j = w->job[--w->n];

		r = read_folder(w, &j);
		free(j.path);
	}
	return r;
}

/* The folder at which the walk begins. */
static int begin(struct fat_walking *w)
{
	struct fat *g = w->l->priv;
	struct fs_entry *top = NULL;
	struct fat_dirent d;
	int r;

	if (!w->q->dir || !w->q->dir[strspn(w->q->dir, "/")])
		return fat_walk_push(w, "", FAT_ROOT_ID, g->bits == 32 ? g->root_cluster : 0,
				     false);
	r = fat_lookup(w->l, w->q->dir, &top);
	if (!r && top->kind != FS_DIR)
		r = -ENOTDIR;
	if (!r)
		r = fat_item_read(w->l, top->ref, &d);
	if (!r)
		r = fat_walk_push(w, top->path, top->id, fat_first(g, &d), top->deleted);
	fs_entry_free(top);
	return r;
}

static int walk(struct fat_walking *w, bool orphans)
{
	struct fat *g = w->l->priv;
	int r = 0;

	w->steps = (uint64_t)STEPS_PER_CLUSTER * g->t.clusters + 4096;
	w->seen = calloc(1, g->t.clusters / 8 + 1);
	if (orphans)
		w->owned = calloc(1, g->t.clusters / 8 + 1);
	if (!w->seen || (orphans && !w->owned))
		r = -ENOMEM;
	if (!r)
		r = begin(w);
	if (!r)
		r = fat_walk_run(w);
	if (!r && orphans)
		r = fat_walk_orphans(w);
	while (w->n)
		free(w->job[--w->n].path);
	free(w->job);
	free(w->seen);
	free(w->owned);
	return r;
}

int fat_tree(struct layer *l, const struct fs_query *q,
	     int (*fn)(void *arg, const struct fs_entry *e), void *arg)
{
	return walk(&(struct fat_walking){.l = l, .q = q, .fn = fn, .arg = arg}, false);
}

/* Entries below a folder that has no place on disk, of a walk through all. */
struct below {
	const struct fs_query *q;
	int (*fn)(void *arg, const struct fs_entry *e);
	void *arg;
	bool any;
};

static int pass_below(void *arg, const struct fs_entry *e)
{
	struct below *b = arg;
	size_t len = sizeof(FAT_ORPHANS) - 1;

	if (strncmp(e->path, FAT_ORPHANS "/", len + 1))
		return 0;
	b->any = true;
	return b->q->recursive || !strchr(e->path + len + 1, '/') ? b->fn(b->arg, e) : 0;
}

int fat_walk(struct layer *l, const struct fs_query *q,
	     int (*fn)(void *arg, const struct fs_entry *e), void *arg)
{
	struct fs_query all = {.recursive = true, .deleted = q->deleted};
	struct below b = {.q = q, .fn = fn, .arg = arg};
	bool root = !q->dir || !q->dir[strspn(q->dir, "/")];
	int r;

	if (root || strcmp(q->dir, FAT_ORPHANS))
		return walk(&(struct fat_walking){.l = l, .q = q, .fn = fn, .arg = arg},
			    root && q->recursive);
	r = walk(&(struct fat_walking){.l = l, .q = &all, .fn = pass_below, .arg = &b}, true);
	return r || b.any ? r : -ENOENT;
}

/* --- one path --- */

struct look {
	struct layer *l;
	struct fs_entry *found;
	uint64_t steps;
};

static int root_entry(struct layer *l, struct fs_entry **e)
{
	struct fat *g = l->priv;
	struct fs_entry root = {.id = FAT_ROOT_ID,
				.parent = FAT_ROOT_ID,
				.path = "/",
				.kind = FS_DIR,
				.links = 1,
				.size = g->root_len,
				.stored = g->root_len,
				.ref = FAT_ROOT_ID};

	if (g->bits == 32) {
		struct chain c;

		table_chain(&g->t, g->root_cluster, FAT_DIR_BYTES / g->t.cluster + 1, &c, NULL,
			    NULL);
		root.size = root.stored = (uint64_t)c.clusters * g->t.cluster;
	}
	*e = fs_entry_copy(&root);
	return *e ? 0 : -ENOMEM;
}

static int descend(struct look *k, const struct fat_job *j, const char *rest, unsigned depth);

/* @n has the name that is looked for: it is the one, or the way leads through it. */
static int take(struct look *k, const struct fat_job *j, const struct fat_name *n, const char *rest,
		unsigned depth)
{
	struct fat_item item;
	struct fat_folder dir = {j->id, j->cluster, j->gone};
	char *path;
	int r;

	if (asprintf(&path, "%s/%s", j->path, n->name) < 0)
		return -ENOMEM;
	describe(k->l->priv, n, &dir, &k->steps, &item);
	item.e.path = path;
	rest += strspn(rest, "/");
	if (!*rest) {
		k->found = fs_entry_copy(&item.e);
		r = k->found ? 0 : -ENOMEM;
	} else if (item.e.kind != FS_DIR) {
		r = -ENOTDIR;
	} else {
		struct fat_job next = {path, n->at, n->cluster, item.e.deleted};

		r = n->cluster ? descend(k, &next, rest, depth + 1) : -ENOENT;
	}
	free(path);
	return r;
}

/* Entries that are there first, then deleted ones: a way through the latter may lead further. */
static int descend(struct look *k, const struct fat_job *j, const char *rest, unsigned depth)
{
	enum { DEPTH = 256 };
	size_t len = strcspn(rest, "/");
	struct fat_dir d = {0};
	int r, miss = -ENOENT;

	if (depth > DEPTH)
		return -ENOENT;
	r = fat_dir_load(k->l, j->cluster, j->gone, &d);
	if (r)
		goto out;
	r = -ENOENT;
	for (int deleted = 0; deleted < 2 && (r == -ENOENT || r == -ENOTDIR); deleted++) {
		struct fat_name n;
		unsigned i = 0;

		while (fat_dir_next(k->l->priv, &d, &i, &n)) {
			if (!shown(&n) || n.deleted != deleted ||
			    (!fat_same_name(rest, len, n.name) &&
			     !fat_same_name(rest, len, n.shrt)))
				continue;
			r = take(k, j, &n, rest + len, depth);
			if (r != -ENOENT && r != -ENOTDIR)
				break;
			miss = r;
		}
	}
	if (r == -ENOENT)
		r = miss;
out:
	fat_dir_free(&d);
	return r;
}

struct wanted {
	const char *path;
	struct fs_entry *found;
	bool any;
};

static int is_wanted(void *arg, const struct fs_entry *e)
{
	struct wanted *w = arg;

	w->any = true;
	if (strcmp(e->path, w->path))
		return 0;
	w->found = fs_entry_copy(e);
	return w->found ? 1 : -ENOMEM;
}

/* What has no path but the one that we gave it. */
static int look_in_orphans(struct layer *l, const char *path, struct fs_entry **e)
{
	static const struct fs_entry dir = {.id = FAT_ORPHAN,
					    .parent = FAT_ROOT_ID,
					    .path = FAT_ORPHANS,
					    .kind = FS_DIR,
					    .path_sure = FS_GONE,
					    .ref = FAT_ORPHAN};
	struct wanted w = {.path = path};
	int r = fat_walk(l, &(struct fs_query){.dir = FAT_ORPHANS, .recursive = true}, is_wanted,
			 &w);

	if (r < 0)
		return r;
	*e = w.found;
	if (!strcmp(path, FAT_ORPHANS))
		*e = fs_entry_copy(&dir);
	return *e ? 0 : -ENOENT;
}

int fat_lookup(struct layer *l, const char *path, struct fs_entry **e)
{
	struct fat *g = l->priv;
	struct look k = {.l = l, .steps = (uint64_t)STEPS_PER_CLUSTER * g->t.clusters + 4096};
	struct fat_job root = {"", FAT_ROOT_ID, g->bits == 32 ? g->root_cluster : 0, false};
	const char *rest = path + strspn(path, "/");
	int r;

	*e = NULL;
	if (!*rest)
		return root_entry(l, e);
	r = descend(&k, &root, rest, 0);
	*e = k.found;
	if (r == -ENOENT && !strncmp(path, FAT_ORPHANS, sizeof(FAT_ORPHANS) - 1))
		r = look_in_orphans(l, path, e);
	return r;
}

int fat_item_read(struct layer *l, uint64_t at, struct fat_dirent *d)
{
	struct fat *g = l->priv;
	struct ranges bad = {0};
	int r;

	if (at == FAT_ROOT_ID) {
		*d = (struct fat_dirent){.attr = ATTR_DIR,
					 .cluster = to_le16((uint16_t)g->root_cluster),
					 .cluster_hi = to_le16((uint16_t)(g->root_cluster >> 16))};
		return 0;
	}
	if (at & FAT_ORPHAN)
		return fat_orphan_item(l, (uint32_t)at, d);
	r = layer_read(l->below, at, d, sizeof(*d), &bad);
	if (!r && bad.n)
		r = -EIO;
	ranges_free(&bad);
	return r;
}

int fat_open_file(struct layer *l, const struct fs_entry *e, struct layer **file)
{
	struct fat *g = l->priv;
	struct fs_runs runs = {0};
	struct fat_dirent d;
	struct chain c;
	int r = fat_item_read(l, e->ref, &d);

	if (!r && e->ref == FAT_ROOT_ID && g->bits != 32)
		r = fs_runs_add(&runs, &(struct fs_run){.len = g->root_len,
							.kind = EXTENT_DATA,
							.at = g->root_at});
	else if (!r)
		r = fat_file_runs(l, &d, fat_first(g, &d), e->deleted, &runs, &c);
	if (!r)
		return fs_file_new(l, e->path, e->size, &runs, file);
	fs_runs_free(&runs);
	return r;
}
