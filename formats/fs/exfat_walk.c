/* SPDX-License-Identifier: Apache-2.0 */
/* exFAT: every file of the tree, and the way to one of them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/exfat.h"
#include "formats/fs/fat.h"
#include "vdiskck/core/session.h"

enum {
	PATH_LONG = 65536,     /* bytes of a path */
	STEPS_PER_CLUSTER = 4, /* clusters looked at for sizes, in one walk */
};

/* A folder that is still to be read. */
struct job {
	char *path; /* empty: the root */
	uint64_t id;
	struct exfat_place place;
	bool gone;
};

struct walk {
	struct layer *l;
	const struct fs_query *q;
	int (*fn)(void *arg, const struct fs_entry *e);
	void *arg;
	struct job *job;
	size_t n, cap;
	uint8_t *seen;	/* folders by first cluster, a bit each */
	uint64_t steps; /* left */
};

/* XS 7.4.8: local time, and its distance from UTC in quarters of an hour where bit 7 says so. */
static struct fs_time time_of(le32_t stamp, uint8_t ten_ms, uint8_t zone)
{
	uint32_t v = le32(stamp);
	struct fs_time t = fat_time(to_le16((uint16_t)(v >> 16)), to_le16((uint16_t)v), ten_ms);

	if (t.set && zone & 0x80)
		t.sec -= ((zone & 0x7f) - (zone & 0x40 ? 128 : 0)) * 900;
	return t;
}

static uint64_t taken(const struct exfat *x, const struct chain *c, const struct exfat_place *p)
{
	uint64_t n = 0;

	/* Of a chain only its first cluster is looked at: the others follow from it. */
	for (uint32_t i = 0; i < (p->no_chain ? c->clusters : c->clusters > 0); i++)
		n += exfat_in_use(x, p->cluster + i) > 0;
	return p->no_chain ? n : n * c->clusters;
}

static void describe(struct layer *l, const struct exfat_set *set, uint64_t parent, bool gone,
		     uint64_t *steps, struct exfat_item *item)
{
	struct exfat *x = l->priv;
	struct fs_entry *e = &item->e;
	const struct exfat_file *f = &set->f;
	bool dir = le16(f->attributes) & EXFAT_ATTR_DIR;

	*item = (struct exfat_item){.set = set};
	exfat_set_place(set, &item->place);
	item->place.gone = set->deleted || gone;
	*e = (struct fs_entry){
		.id = set->at,
		.parent = parent,
		.kind = dir ? FS_DIR : FS_FILE,
		.deleted = set->deleted || gone,
		.size = item->place.length,
		.modified = time_of(f->modified, f->modified_10ms, f->modified_zone),
		.accessed = time_of(f->accessed, 0, f->accessed_zone),
		.born = time_of(f->born, f->born_10ms, f->born_zone),
		.links = 1,
		.path_sure = set->sum_ok && !gone ? FS_SURE : FS_GUESSED,
		.ref = set->at,
	};
	exfat_each_run(x, &item->place, *steps < UINT32_MAX ? (uint32_t)*steps : UINT32_MAX,
		       &item->chain, NULL, NULL);
	*steps -= *steps < item->chain.clusters ? *steps : item->chain.clusters;
	e->stored = (uint64_t)item->chain.clusters * x->t.cluster;
	if (e->deleted) {
		e->overwritten = taken(x, &item->chain, &item->place);
		e->data_sure = !e->size			    ? FS_SURE
			       : e->overwritten < e->stored ? FS_GUESSED
							    : FS_GONE;
	} else if (!set->sum_ok) {
		e->data_sure = FS_GUESSED;
	}
}

static int push(struct walk *w, const char *path, uint64_t id, const struct exfat_place *p,
		bool gone)
{
	struct exfat *x = w->l->priv;
	uint32_t bit = p->cluster - 2;
	struct job *j;

	if (!table_valid(&x->t, p->cluster) || w->seen[bit / 8] & 1 << bit % 8)
		return 0;
	w->seen[bit / 8] |= (uint8_t)(1 << bit % 8);
	if (w->n == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : 16;

		j = realloc(w->job, cap * sizeof(*j));
		if (!j)
			return -ENOMEM;
		w->job = j;
		w->cap = cap;
	}
	j = &w->job[w->n];
	*j = (struct job){strdup(path), id, *p, gone};
	if (!j->path)
		return -ENOMEM;
	w->n++;
	return 0;
}

static int visit(struct walk *w, const struct job *j, const struct exfat_set *set, size_t at,
		 char *path)
{
	struct exfat_item item;
	int r;

	describe(w->l, set, j->id, j->gone, &w->steps, &item);
	snprintf(path + at, EXFAT_NAME_BYTES + 1, "/%s", set->name);
	item.e.path = path;
	r = w->fn(w->arg, &item.e);
	if (r || !w->q->recursive || item.e.kind != FS_DIR || strlen(path) > PATH_LONG)
		return r;
	/* A deleted folder whose place is another's by now lists what is not its own. */
	if (item.e.deleted && item.e.data_sure == FS_GONE)
		return 0;
	return push(w, path, set->at, &item.place, item.e.deleted);
}

static int read_folder(struct walk *w, const struct job *j)
{
	size_t at = strlen(j->path);
	char *path = malloc(at + EXFAT_NAME_BYTES + 2);
	struct exfat_dir d = {0};
	struct exfat_set set;
	unsigned i = 0;
	int r = path ? exfat_dir_load(w->l, &j->place, &d) : -ENOMEM;

	if (path)
		memcpy(path, j->path, at + 1);
	while (!r && exfat_dir_next(w->l->priv, &d, &i, &set, NULL, NULL)) {
		if (session_stopped(w->l->s))
			r = -EINTR;
		else if (*set.name && (w->q->deleted || !set.deleted))
			r = visit(w, j, &set, at, path);
	}
	exfat_dir_free(&d);
	free(path);
	return r;
}

/* The set at an address. It may go on in the next cluster of its folder: the checksum tells. */
static int set_at(struct layer *l, uint64_t at, struct exfat_set *set)
{
	struct exfat *x = l->priv;
	uint8_t buf[(EXFAT_SET_MAX + 1) * EXFAT_ENTRY];
	uint32_t cluster = (uint32_t)((at - x->t.heap) / x->t.cluster) + 2;
	uint64_t rest = x->t.cluster - (at - x->t.heap) % x->t.cluster;
	size_t len = rest < sizeof(buf) ? (size_t)rest : sizeof(buf);
	struct table_pos pos = {0};
	uint32_t next[2];
	bool found = false;

	if (at < x->t.heap || !table_valid(&x->t, cluster) || at % EXFAT_ENTRY)
		return -ENOENT;
	next[0] = cluster + 1;
	next[1] = table_next(&x->t, &pos, cluster);
	table_done(&x->t, &pos);
	for (int k = 0; k < 2 && !(found && set->sum_ok); k++) {
		struct exfat_dir d = {
			.buf = buf, .len = sizeof(buf), .at = &at, .unit = UINT32_MAX};
		unsigned i = 0;
		int r = layer_read_as(l->below, at, buf, len, 0, &d.bad);

		if (!r && len < sizeof(buf) && table_valid(&x->t, next[k]))
			r = layer_read_as(l->below, table_addr(&x->t, next[k]), buf + len,
					  sizeof(buf) - len, len, &d.bad);
		ranges_sort(&d.bad);
		found = !r && exfat_dir_next(x, &d, &i, set, NULL, NULL) && set->at == at;
		ranges_free(&d.bad);
		if (r)
			return r;
	}
	return found ? 0 : -EIO;
}

static int place_of(struct layer *l, const struct fs_entry *e, struct exfat_place *p)
{
	struct exfat_set set;
	int r;

	if (e->ref == EXFAT_ROOT_ID) {
		exfat_root_place(l->priv, p);
		return 0;
	}
	r = set_at(l, e->ref, &set);
	if (r)
		return r;
	exfat_set_place(&set, p);
	p->gone = e->deleted;
	return 0;
}

int exfat_walk(struct layer *l, const struct fs_query *q,
	       int (*fn)(void *arg, const struct fs_entry *e), void *arg)
{
	struct exfat *x = l->priv;
	struct walk w = {.l = l, .q = q, .fn = fn, .arg = arg};
	struct fs_entry *top = NULL;
	struct exfat_place p;
	int r = exfat_lookup(l, q->dir ? q->dir : "/", &top);

	if (!r && top->kind != FS_DIR)
		r = -ENOTDIR;
	w.steps = (uint64_t)STEPS_PER_CLUSTER * x->t.clusters + 4096;
	w.seen = calloc(1, x->t.clusters / 8 + 1);
	if (!r)
		r = w.seen ? place_of(l, top, &p) : -ENOMEM;
	if (!r)
		r = push(&w, top->ref == EXFAT_ROOT_ID ? "" : top->path, top->id, &p, top->deleted);
	while (!r && w.n) {
		struct job j = w.job[--w.n];

		r = read_folder(&w, &j);
		free(j.path);
	}
	while (w.n)
		free(w.job[--w.n].path);
	free(w.job);
	free(w.seen);
	fs_entry_free(top);
	return r;
}

/* --- one path --- */

struct look {
	struct layer *l;
	struct fs_entry *found;
	uint64_t steps;
};

static int descend(struct look *k, const struct job *j, const char *rest, unsigned depth);

/* @set has the name that is looked for: it is the one, or the way leads through it. */
static int take(struct look *k, const struct job *j, const struct exfat_set *set, const char *rest,
		unsigned depth)
{
	struct exfat_item item;
	char *path;
	int r;

	if (asprintf(&path, "%s/%s", j->path, set->name) < 0)
		return -ENOMEM;
	describe(k->l, set, j->id, j->gone, &k->steps, &item);
	item.e.path = path;
	rest += strspn(rest, "/");
	if (!*rest) {
		k->found = fs_entry_copy(&item.e);
		r = k->found ? 0 : -ENOMEM;
	} else if (item.e.kind != FS_DIR) {
		r = -ENOTDIR;
	} else {
		struct job next = {path, set->at, item.place, item.e.deleted};

		r = descend(k, &next, rest, depth + 1);
	}
	free(path);
	return r;
}

/* Entries that are there first, then deleted ones: a way through the latter may lead further. */
static int descend(struct look *k, const struct job *j, const char *rest, unsigned depth)
{
	enum { DEPTH = 256 };
	size_t len = strcspn(rest, "/");
	struct exfat_dir d = {0};
	int r, miss = -ENOENT;

	if (depth > DEPTH)
		return -ENOENT;
	r = exfat_dir_load(k->l, &j->place, &d);
	if (r)
		goto out;
	r = -ENOENT;
	for (int deleted = 0; deleted < 2 && (r == -ENOENT || r == -ENOTDIR); deleted++) {
		struct exfat_set set;
		unsigned i = 0;

		while (exfat_dir_next(k->l->priv, &d, &i, &set, NULL, NULL)) {
			if (set.deleted != deleted || !exfat_same_name(k->l->priv, rest, len, &set))
				continue;
			r = take(k, j, &set, rest + len, depth);
			if (r != -ENOENT && r != -ENOTDIR)
				break;
			miss = r;
		}
	}
	if (r == -ENOENT)
		r = miss;
out:
	exfat_dir_free(&d);
	return r;
}

static int root_entry(struct layer *l, struct fs_entry **e)
{
	struct exfat *x = l->priv;
	struct fs_entry root = {.id = EXFAT_ROOT_ID,
				.parent = EXFAT_ROOT_ID,
				.path = "/",
				.kind = FS_DIR,
				.links = 1,
				.ref = EXFAT_ROOT_ID};
	struct exfat_place p;
	struct chain c;
	int r;

	exfat_root_place(x, &p);
	r = exfat_each_run(x, &p, EXFAT_DIR_MAX / x->t.cluster + 1, &c, NULL, NULL);
	root.size = root.stored = (uint64_t)c.clusters * x->t.cluster;
	*e = r ? NULL : fs_entry_copy(&root);
	return r ? r : *e ? 0 : -ENOMEM;
}

int exfat_lookup(struct layer *l, const char *path, struct fs_entry **e)
{
	struct exfat *x = l->priv;
	struct look k = {.l = l, .steps = (uint64_t)STEPS_PER_CLUSTER * x->t.clusters + 4096};
	struct job root = {.path = "", .id = EXFAT_ROOT_ID};
	int r;

	*e = NULL;
	path += strspn(path, "/");
	if (!*path)
		return root_entry(l, e);
	exfat_root_place(x, &root.place);
	r = descend(&k, &root, path, 0);
	*e = k.found;
	return r;
}

int exfat_open_file(struct layer *l, const struct fs_entry *e, struct layer **file)
{
	struct fs_runs runs = {0};
	struct exfat_place p;
	int r = place_of(l, e, &p);

	if (!r)
		r = exfat_place_runs(l, &p, &runs, NULL);
	if (!r)
		return fs_file_new(l, e->path, e->size, &runs, file);
	fs_runs_free(&runs);
	return r;
}
