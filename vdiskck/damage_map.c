/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/damage_map.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recover/files_hit.h"

struct mapping {
	struct damage_map *d;
	struct layer *disk;
	const struct ranges *bad;
};

static int put_where(struct damage_item *it, const struct where *w, size_t n)
{
	struct place *own = malloc((n + 1) * sizeof(*own));

	if (!own)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		own[i] = (struct place){w[i].l->path, w[i].off, w[i].len};
	free(it->where);
	it->where = own;
	it->n_where = n;
	return 0;
}

/* @name becomes the item's. */
static void put_name(struct damage_item *it, char *name, uint64_t off)
{
	for (size_t i = 0; i < it->n_files; i++) {
		if (!strcmp(it->file[i].name, name)) {
			if (off < it->file[i].off)
				it->file[i].off = off;
			free(name);
			return;
		}
	}
	if (it->n_files == DAMAGE_FILES) {
		it->more++;
		free(name);
		return;
	}
	it->file[it->n_files++] = (struct damage_file){name, off};
}

static int put_file(struct damage_item *it, const struct layer *fs, const struct fs_owner *o)
{
	char *name;
	int n;

	if (o->kind == OWNER_FILE)
		n = asprintf(&name, "%s:%s", fs->path, o->file->path);
	else
		n = asprintf(&name, "%s: %s", fs->path, o->structure ? o->structure : "metadata");
	if (n < 0)
		return -ENOMEM;
	put_name(it, name, o->kind == OWNER_FILE ? o->file_off : UINT64_MAX);
	return 0;
}

/* Down from the piece to the disk, to see which range it belongs to. */
static int on_owner(void *arg, struct layer *fs, const struct fs_owner *o)
{
	struct mapping *m = arg;
	struct where w[WHERE_MAX];
	size_t n = layer_where(fs, o->off, o->len, w, WHERE_MAX), k = 0, i;
	struct damage_item *it;
	int err = 0;

	while (k < n && w[k].l != m->disk)
		k++;
	if (k == n)
		return 0;
	i = ranges_find(m->bad, w[k].off);
	if (i >= m->d->n_bad || w[k].off < m->bad->v[i].off)
		return 0;
	it = &m->d->v[i];
	if (!it->n_files && !it->free)
		err = put_where(it, w, n);
	if (o->kind == OWNER_FREE || o->kind == OWNER_UNKNOWN)
		it->free = true;
	else if (!err)
		err = put_file(it, fs, o);
	return err;
}

/* The place of a finding on the disk; NULL: it has none, or is about nothing that is wrong. */
static const struct place *on_disk(const struct entry *e, const char *disk)
{
	if (finding_severity(e->id) != DAMAGE && finding_severity(e->id) != BLEMISH)
		return NULL;
	for (size_t i = 0; i < e->n_where; i++)
		if (!strcmp(e->where[i].layer, disk))
			return &e->where[i];
	return NULL;
}

/* What the disk holds as it was given to it, and some layer above it finds wrong. */
static int add_found(struct damage_map *d, const struct entry *e, const struct place *at)
{
	struct damage_item *it = &d->v[d->n];

	it->where = malloc(e->n_where * sizeof(*it->where));
	if (!it->where)
		return -ENOMEM;
	d->n++;
	memcpy(it->where, e->where, e->n_where * sizeof(*it->where));
	it->n_where = e->n_where;
	it->off = at->off;
	it->len = at->len;
	it->why = e->id;
	it->state = e->lost	  ? "lost"
		    : e->doubtful ? "doubtful"
				  : severity_name(finding_severity(e->id));
	for (size_t i = 0; i < e->n_paths; i++) {
		char *name = strdup(e->paths[i]);

		if (!name)
			return -ENOMEM;
		put_name(it, name, UINT64_MAX);
	}
	it->more += e->more_paths;
	return 0;
}

int damage_map(struct damage_map *d, struct layer *disk, const struct ranges *bad,
	       const struct impact *hit, const struct collect *found)
{
	struct mapping m = {d, disk, bad};
	struct files_hit h = {.on_owner = on_owner, .arg = &m};
	struct where w[WHERE_MAX];
	int err = 0;

	d->v = calloc(2 * DAMAGE_SHOWN, sizeof(*d->v));
	if (!d->v)
		return -ENOMEM;
	d->n = d->n_bad = bad->n < DAMAGE_SHOWN ? bad->n : DAMAGE_SHOWN;
	for (size_t i = 0; i < d->n && !err; i++) {
		const struct range *b = &bad->v[i];

		d->v[i].off = b->off;
		d->v[i].len = b->len;
		d->v[i].why = b->why;
		d->v[i].state = b->grade == GRADE_LOST ? "lost" : "doubtful";
		err = put_where(&d->v[i], w, layer_where(disk, b->off, b->len, w, WHERE_MAX));
	}
	if (!err && d->n)
		err = files_hit_run(&h, hit);
	files_hit_free(&h);
	for (size_t i = 0; i < found->n && !err && d->n < 2 * DAMAGE_SHOWN; i++) {
		const struct place *at = on_disk(&found->v[i], disk->path);
		size_t k = at ? ranges_find(bad, at->off) : 0;

		if (at && (k == bad->n || bad->v[k].off > at->off))
			err = add_found(d, &found->v[i], at);
	}
	return err;
}

void damage_map_free(struct damage_map *d)
{
	for (size_t i = 0; i < d->n; i++) {
		for (size_t k = 0; k < d->v[i].n_files; k++)
			free(d->v[i].file[k].name);
		free(d->v[i].where);
	}
	free(d->v);
	*d = (struct damage_map){0};
}
