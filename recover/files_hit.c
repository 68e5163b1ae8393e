/* SPDX-License-Identifier: Apache-2.0 */
#include "recover/files_hit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/session.h"

enum {
	KEPT = 200000,		/* files of any rank */
	KEPT_CRITICAL = 400000, /* further ones, if they are boot-critical or logs */
};

static size_t hash_of(const struct layer *fs, const char *name, size_t size)
{
	uint64_t h = 1469598103934665603u ^ (uintptr_t)fs; /* FNV-1a */

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 1099511628211u;
	return (size_t)(h ^ h >> 32) % size;
}

static const char *key_of(const struct file_hit *f)
{
	return f->path ? f->path : f->structure;
}

/* Twice as many buckets, all chains anew. */
static int rehash(struct files_hit *h)
{
	size_t size = h->hash_size ? 2 * h->hash_size : 1024;
	size_t *hash = calloc(size, sizeof(*hash));

	if (!hash)
		return -ENOMEM;
	for (size_t i = 0; i < h->n; i++) {
		size_t *bucket = &hash[hash_of(h->v[i].fs, key_of(&h->v[i]), size)];

		h->v[i].next = *bucket;
		*bucket = i + 1;
	}
	free(h->hash);
	h->hash = hash;
	h->hash_size = size;
	return 0;
}

static struct file_hit *find(struct files_hit *h, const struct layer *fs, const char *path,
			     const char *structure)
{
	const char *key = path ? path : structure;
	size_t i;

	while (h->hash_size < h->n) /* after files_hit_sort() */
		if (rehash(h))
			return NULL;
	i = h->hash_size ? h->hash[hash_of(fs, key, h->hash_size)] : 0;
	for (; i; i = h->v[i - 1].next) {
		struct file_hit *f = &h->v[i - 1];

		if (f->fs == fs && !f->path == !path && !strcmp(key_of(f), key))
			return f;
	}
	return NULL;
}

/* A new one at the end; NULL: no memory, or (with *@full) there are too many. */
static struct file_hit *append(struct files_hit *h, struct layer *fs, const char *path,
			       const char *structure, enum rank rank, bool *full)
{
	bool critical = rank == RANK_BOOT || rank == RANK_LOGS;
	struct file_hit *f;
	char *p = NULL, *s = NULL;
	size_t *bucket;

	*full = h->n >= (critical ? KEPT_CRITICAL : KEPT);
	if (*full)
		return NULL;
	if (h->n == h->cap) {
		size_t cap = h->cap ? 2 * h->cap : 256;
		struct file_hit *more = realloc(h->v, cap * sizeof(*more));

		if (!more)
			return NULL;
		h->v = more;
		h->cap = cap;
	}
	if (h->n >= h->hash_size && rehash(h))
		return NULL;
	p = path ? strdup(path) : NULL;
	s = structure ? strdup(structure) : NULL;
	if ((path && !p) || (structure && !s)) {
		free(p);
		free(s);
		return NULL;
	}
	f = &h->v[h->n];
	*f = (struct file_hit){
		.fs = fs, .path = p, .structure = s, .rank = rank, .first = UINT64_MAX};
	bucket = &h->hash[hash_of(fs, key_of(f), h->hash_size)];
	f->next = *bucket;
	*bucket = ++h->n;
	return f;
}

static void add_why(struct file_hit *f, enum finding_id why)
{
	for (unsigned i = 0; i < f->n_why; i++)
		if (f->why[i] == why)
			return;
	if (f->n_why < HIT_WHY)
		f->why[f->n_why++] = why;
}

struct asking {
	struct files_hit *h;
	struct layer *fs;
	const struct ranges *r;
};

/* What a folder means is what is in it. */
static enum rank rank_of_entry(const struct fs_entry *e)
{
	char *inside;
	enum rank r;

	if (!e || e->system)
		return RANK_VOLUME;
	if (e->deleted)
		return RANK_DELETED;
	if (e->kind != FS_DIR || !e->path[1] || asprintf(&inside, "%s/", e->path) < 0)
		return rank_of(e->path);
	r = rank_of(inside);
	free(inside);
	return r;
}

static int add_file(struct files_hit *h, struct layer *fs, const struct fs_owner *o,
		    enum grade grade, enum finding_id why)
{
	const struct fs_entry *e = o->file;
	enum rank rank = rank_of_entry(e);
	bool full = false, data = o->kind == OWNER_FILE;
	const char *structure = data ? NULL : o->structure ? o->structure : "structure";
	struct file_hit *f = find(h, fs, e ? e->path : NULL, structure);

	if (!f)
		f = append(h, fs, e ? e->path : NULL, structure, rank, &full);
	if (!f && !full)
		return -ENOMEM;
	if (!f) {
		h->more++;
		h->more_bytes += o->len;
		return 0;
	}
	if (e) {
		f->id = e->id;
		f->size = e->size;
		f->deleted = e->deleted;
	}
	if (e && !data && !f->structure)
		f->structure = strdup(structure); /* without memory, one name less */
	if (e && !data)
		f->structure_lost += o->len;
	else if (grade == GRADE_LOST)
		f->lost += o->len;
	else
		f->doubtful += o->len;
	if (data && o->file_off < f->first)
		f->first = o->file_off;
	add_why(f, why);
	return 0;
}

int files_hit_add(struct files_hit *h, struct layer *fs, const struct fs_owner *o, enum grade grade,
		  enum finding_id why)
{
	if (o->kind == OWNER_STRUCTURE || (o->kind == OWNER_FILE && o->file))
		return add_file(h, fs, o, grade, why);
	if (o->kind == OWNER_FREE && grade == GRADE_LOST)
		h->free_lost += o->len;
	else if (o->kind == OWNER_FREE)
		h->free_doubtful += o->len;
	else
		h->unknown += o->len;
	return 0;
}

/* The answer may be longer than what was asked: only what is bad counts. */
static int on_owner(void *arg, const struct fs_owner *o)
{
	struct asking *a = arg;
	uint64_t end = o->off + o->len;
	int err = session_stopped(a->fs->s) ? -EINTR : 0;

	if (!err && a->h->on_owner)
		err = a->h->on_owner(a->h->arg, a->fs, o);
	for (size_t i = ranges_find(a->r, o->off); i < a->r->n && !err; i++) {
		const struct range *bad = &a->r->v[i];
		struct fs_owner part = *o;

		if (bad->off >= end)
			break;
		part.off = bad->off > o->off ? bad->off : o->off;
		part.len = (bad->off + bad->len < end ? bad->off + bad->len : end) - part.off;
		part.file_off += o->packed ? 0 : part.off - o->off;
		err = files_hit_add(a->h, a->fs, &part, bad->grade, bad->why);
	}
	return err;
}

int files_hit_run(struct files_hit *h, const struct impact *im)
{
	int err = 0;

	for (size_t i = 0; i < im->n && !err; i++) {
		const struct impact_layer *il = &im->v[i];
		struct asking a = {h, il->l, &il->hit};

		if (il->l->ops->fs && !il->l->state && il->hit.n)
			err = il->l->ops->fs->owners(il->l, &il->hit, on_owner, &a);
	}
	return err;
}

int files_hit_named(struct files_hit *h, struct layer *fs, const char *path, enum finding_id why)
{
	struct file_hit *f = find(h, fs, path, NULL);
	bool full = false;

	if (!f)
		f = append(h, fs, path, NULL, rank_of(path), &full);
	if (f)
		add_why(f, why);
	else if (full)
		h->more++;
	return f || full ? 0 : -ENOMEM;
}

static int by_rank(const void *a, const void *b)
{
	const struct file_hit *x = a, *y = b;
	uint64_t p = x->lost + x->doubtful, q = y->lost + y->doubtful;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	if (p != q)
		return p > q ? -1 : 1;
	return strcmp(key_of(x), key_of(y));
}

void files_hit_sort(struct files_hit *h)
{
	/* The chains of the hash end here: indices move. */
	free(h->hash);
	h->hash = NULL;
	h->hash_size = 0;
	if (h->n)
		qsort(h->v, h->n, sizeof(*h->v), by_rank);
}

void files_hit_free(struct files_hit *h)
{
	for (size_t i = 0; i < h->n; i++) {
		free((char *)(uintptr_t)h->v[i].path);
		free((char *)(uintptr_t)h->v[i].structure);
	}
	free(h->v);
	free(h->hash);
	*h = (struct files_hit){0};
}
