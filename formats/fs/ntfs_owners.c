/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose are these bytes? One pass over $MFT: a record's runs are compared with the sorted ranges
 * asked for, whatever file they belong to. Only what was hit is looked at by name.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/claim.h"
#include "formats/fs/ntfs.h"
#include "formats/fs/ntfs_hits.h"
#include "vdiskck/core/session.h"

enum {
	RECORDS_NAMED = 4096, /* of $MFT, one by one; more of them that lie together are one */
	NAME_CAP = NTFS_PATH_MAX + 64,
};

struct owning {
	struct layer *l;
	struct ntfs *n;
	struct claims c;
	struct ntfs_entries x;
	struct ntfs_inode *ino;
	struct ntfs_hits hits;
	char *name;
	/* For pick(): the stream wanted, and what to do with its entry. */
	const char *stream;
	int (*use)(struct owning *o, const struct fs_entry *e);
	const struct ntfs_hit *hit;
	const struct ntfs_attr *attr;
	bool used;
};

/* ---- names ---- */

/* An entry of the file at hand: is it the stream that is wanted? The first name will do. */
static int pick(void *arg, const struct fs_entry *e)
{
	struct owning *o = arg;
	struct fs_entry root = *e;
	int r;

	if (strcmp(e->stream ? e->stream : "", o->stream))
		return 0;
	if (e->id == NTFS_ROOT && e->parent == NTFS_ROOT && !e->stream) {
		root.path = "/"; /* it lies in itself, by the name "." */
		e = &root;
	}
	o->used = true;
	r = o->use(o, e);
	return r ? r : 1;
}

/* Call o->use() with the entry of a stream ("": the unnamed one) of the file in o->ino, or NULL. */
static int with_entry(struct owning *o, const char *stream)
{
	int r;

	o->used = false;
	o->stream = stream;
	o->x.streams = *stream;
	r = ntfs_entries_of(&o->x, o->ino);
	if (r == 1)
		return 0;
	return r || o->used ? r : o->use(o, NULL);
}

static const char *path_or_number(const struct owning *o, const struct fs_entry *e, char *buf,
				  size_t cap)
{
	if (e)
		return e->path;
	snprintf(buf, cap, "record %" PRIu64, o->ino->number);
	return buf;
}

/* Files that NTFS keeps for itself go by their names alone. */
static bool is_structure(const struct fs_entry *e)
{
	return e && e->system;
}

/* What kind of thing an attribute is that is no data. */
static const char *attr_title(const struct ntfs_attr *a)
{
	switch (a->type) {
	case NTFS_ATTRIBUTE_LIST: return "attribute list";
	case NTFS_SECURITY_DESCRIPTOR: return "security descriptor";
	case NTFS_INDEX_ALLOCATION: return "index";
	case NTFS_BITMAP: return "bitmap";
	case NTFS_REPARSE_POINT: return "reparse point";
	default: return NULL;
	}
}

static void structure_name(struct owning *o, const struct fs_entry *e)
{
	const struct ntfs_attr *a = o->attr;
	char number[48], stream[NTFS_NAME_MAX + 8];
	const char *path = path_or_number(o, e, number, sizeof(number)), *title = attr_title(a);

	ntfs_name_put(a->name, stream, sizeof(stream));
	if (is_structure(e) && path[1])
		path++;
	if (a->type == NTFS_DATA && is_structure(e))
		snprintf(o->name, NAME_CAP, "%s", path);
	else if (a->type == NTFS_DATA)
		snprintf(o->name, NAME_CAP, "compressed data of %s", path);
	else if (!title)
		snprintf(o->name, NAME_CAP, "attribute 0x%" PRIx32 " of %s", a->type, path);
	else if (*stream && strcmp(stream, "$I30"))
		snprintf(o->name, NAME_CAP, "%s %s of %s", title, stream, path);
	else
		snprintf(o->name, NAME_CAP, "%s of %s",
			 a->type == NTFS_BITMAP && *stream ? "index bitmap" : title, path);
}

static int claim_structure_hit(struct owning *o, const struct fs_entry *e)
{
	structure_name(o, e);
	return claim_structure(&o->c, o->hit->off, o->hit->len, o->name, e);
}

/* Bytes of the stream of o->attr that are on disk: what is behind them was never written. */
static uint64_t written(const struct owning *o)
{
	for (size_t i = 0; i < o->ino->n_attrs; i++) {
		const struct ntfs_attr *a = &o->ino->attrs[i].a;

		if (a->type == NTFS_DATA && !a->lowest_vcn && a->name.len == o->attr->name.len &&
		    (!a->name.len || !memcmp(a->name.p, o->attr->name.p, a->name.len)))
			return a->initialized < a->size ? a->initialized : a->size;
	}
	return UINT64_MAX; /* the first piece is lost, and with it the sizes */
}

/* Data of a file: what lies behind its end, or was never written, is free. */
static int claim_data(struct owning *o, const struct fs_entry *e)
{
	const struct ntfs_hit *h = o->hit;
	struct fs_owner own = {.off = h->off,
			       .len = h->len,
			       .kind = OWNER_FILE,
			       .file = e,
			       .file_off = h->stream_off,
			       .packed = h->packed};
	uint64_t data = h->len, size = written(o);
	int r = 0;

	if (!e || is_structure(e))
		return claim_structure_hit(o, e);
	if (h->packed) {
		uint64_t unit = (uint64_t)o->n->g.cluster << o->attr->unit;

		own.file_off &= ~(unit - 1);
		return claim(&o->c, &own);
	}
	if (h->stream_off >= size || size - h->stream_off < data)
		data = h->stream_off < size ? size - h->stream_off : 0;
	own.len = data;
	if (data)
		r = claim(&o->c, &own);
	if (!r && data < h->len)
		r = claim(&o->c, &(struct fs_owner){.off = h->off + data,
						    .len = h->len - data,
						    .kind = OWNER_FREE});
	return r;
}

static const struct ntfs_attr *attr_of(const struct ntfs_inode *ino, const struct ntfs_hit *h)
{
	for (size_t i = 0; i < ino->n_attrs; i++)
		if (ino->attrs[i].record == h->record && ino->attrs[i].a.at == h->attr)
			return &ino->attrs[i].a;
	return NULL;
}

/* A hit of the file in o->ino. */
static int claim_hit(struct owning *o, const struct ntfs_hit *h)
{
	char stream[NTFS_NAME_MAX + 8] = "";

	o->hit = h;
	o->attr = attr_of(o->ino, h);
	if (!o->attr) {
		/* Its record says whose it is, but that file knows nothing of it. */
		snprintf(o->name, NAME_CAP, "attribute of record %" PRIu64 " of $MFT", h->record);
		return claim_structure(&o->c, h->off, h->len, o->name, NULL);
	}
	if (o->attr->type != NTFS_DATA) {
		o->use = claim_structure_hit;
	} else if (ntfs_name_is(o->attr->name, "WofCompressedData")) {
		/* Chunks of any length: where they stand in the file only its table says. */
		o->use = claim_structure_hit;
	} else {
		o->use = claim_data;
		ntfs_name_put(o->attr->name, stream, sizeof(stream));
	}
	return with_entry(o, stream);
}

static int claim_hits(struct owning *o)
{
	bool loaded = false;
	int r = 0;

	for (size_t i = 0; i < o->hits.n && !r; i++) {
		if (!i || o->hits.v[i].base != o->hits.v[i - 1].base) {
			if (loaded)
				ntfs_inode_free(o->ino);
			loaded = true;
			r = ntfs_inode_load(o->l, o->hits.v[i].base, o->ino);
			if (r == -EBADMSG) {
				ntfs_inode_free(o->ino);
				r = ntfs_rest_load(o->l, o->x.t, o->hits.v[i].base, o->ino);
			}
			/* Nothing is left of it but this attribute. */
			if (r == -ENOENT)
				r = 0;
			o->ino->number = o->hits.v[i].base;
		}
		if (!r)
			r = claim_hit(o, &o->hits.v[i]);
	}
	if (loaded)
		ntfs_inode_free(o->ino);
	return r;
}

/* ---- what lies at places that the volume states ---- */

/* o->hit is a record of $MFT, o->ino its file. */
static int claim_record(struct owning *o, const struct fs_entry *e)
{
	const struct ntfs_hit *h = o->hit;

	snprintf(o->name, NAME_CAP, "$MFT record %" PRIu64 "%s%s", h->record, e ? " of " : "",
		 e ? e->path : "");
	return claim_structure(&o->c, h->off, h->len, o->name, e);
}

/* Record @number at @at: of a file, or of no file at present. */
static int claim_one_record(struct owning *o, uint64_t number, uint64_t at)
{
	struct ntfs_hit h = {.base = number, .record = number, .off = at, .len = o->n->g.record};
	int r = ntfs_inode_load(o->l, number, o->ino);

	if (!r && le64(ntfs_head(&o->ino->base)->base)) {
		h.base = ntfs_ref_number(le64(ntfs_head(&o->ino->base)->base));
		ntfs_inode_free(o->ino);
		r = ntfs_inode_load(o->l, h.base, o->ino);
	}
	o->hit = &h;
	o->use = claim_record;
	if (!r && !ntfs_inode_deleted(o->ino))
		r = with_entry(o, "");
	else if (!r || r == -EBADMSG)
		r = claim_record(o, NULL);
	ntfs_inode_free(o->ino);
	return r;
}

/* [off, off + len) of the volume holds records from @number on, the first of them whole. */
static int claim_records(struct owning *o, uint64_t off, uint64_t len, uint64_t number)
{
	uint32_t size = o->n->g.record;
	uint64_t count = (len + size - 1) / size;
	int r = 0;

	if (count > RECORDS_NAMED) {
		snprintf(o->name, NAME_CAP, "$MFT records %" PRIu64 " to %" PRIu64, number,
			 number + count - 1);
		return claim_structure(&o->c, off, len, o->name, NULL);
	}
	for (uint64_t i = 0; i < count && !r; i++)
		r = claim_one_record(o, number + i, off + i * size);
	return r;
}

static int claim_mft(struct owning *o)
{
	const struct ranges *w = o->c.wanted;
	uint32_t size = o->n->g.record;
	int r = 0;

	for (size_t i = 0; i < o->n->mft_runs.n && !r; i++) {
		const struct fs_run *run = &o->n->mft_runs.v[i];

		if (run->kind != EXTENT_DATA)
			continue;
		for (size_t k = ranges_find(w, run->at);
		     k < w->n && w->v[k].off < run->at + run->len && !r; k++) {
			uint64_t from = w->v[k].off > run->at ? w->v[k].off - run->at : 0;
			uint64_t to = w->v[k].off + w->v[k].len - run->at;

			if (to > run->len)
				to = run->len;
			/* A run of small clusters may begin inside a record. */
			from -= (run->off + from) % size < from ? (run->off + from) % size : from;
			r = claim_records(o, run->at + from, to - from, (run->off + from) / size);
		}
	}
	return r;
}

static int claim_places(struct owning *o)
{
	const struct ntfs_geometry *g = &o->n->g;
	int r = claim_structure(&o->c, 0, g->sector, "boot sector", NULL);

	if (!r)
		r = claim_structure(&o->c, g->sectors * g->sector, g->sector, "backup boot sector",
				    NULL);
	if (!r && ranges_overlap(o->c.wanted, g->mirr_lcn * g->cluster, 4ull * g->record))
		r = claim_structure(&o->c, g->mirr_lcn * g->cluster, 4ull * g->record, "$MFTMirr",
				    NULL);
	return r ? r : claim_mft(o);
}

/* ---- the rest ---- */

static void rest(void *arg, struct fs_owner *own)
{
	struct owning *o = arg;
	const struct ntfs *n = o->n;
	const uint8_t *bitmap = ntfs_cluster_bitmap(o->l);
	uint64_t lcn = own->off / n->g.cluster, end = own->off + own->len;
	bool used;

	/* Behind the last cluster, a few sectors before the copy of the boot sector. */
	if (lcn >= n->g.clusters) {
		own->kind = OWNER_FREE;
		return;
	}
	if (!bitmap)
		return;
	used = ntfs_cluster_used(n, bitmap, lcn);
	own->kind = used ? OWNER_UNKNOWN : OWNER_FREE;
	while (lcn * n->g.cluster < end && lcn < n->g.clusters &&
	       ntfs_cluster_used(n, bitmap, lcn) == used)
		lcn++;
	if (lcn * n->g.cluster < end)
		own->len = lcn * n->g.cluster - own->off;
}

int ntfs_owners(struct layer *l, const struct ranges *r,
		int (*fn)(void *arg, const struct fs_owner *o), void *arg)
{
	struct owning o = {.l = l, .n = l->priv, .c = {.wanted = r, .fn = fn, .arg = arg}};
	struct ntfs_tree *tree;
	int err = r->n ? ntfs_tree_get(l, &tree) : 0;

	if (err || !r->n)
		return err;
	o.ino = malloc(sizeof(*o.ino));
	o.name = malloc(NAME_CAP);
	err = ntfs_entries_init(&o.x, l, tree);
	o.x.fn = pick;
	o.x.arg = &o;
	if (!err && (!o.ino || !o.name))
		err = -ENOMEM;
	if (!err)
		err = ntfs_hits_find(l, r, &o.hits);
	if (!err)
		err = claim_places(&o);
	if (!err)
		err = claim_hits(&o);
	if (!err)
		err = claim_rest(&o.c, rest, &o);
	claims_free(&o.c);
	ntfs_entries_free(&o.x);
	free(o.hits.v);
	free(o.ino);
	free(o.name);
	return err;
}
