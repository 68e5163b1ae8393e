/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream as a layer: runs of clusters, or packed ones; and around it, where the bytes may not be
 * what they were, a layer that says so.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ntfs.h"
#include "formats/fs/ntfs_packed.h"
#include "vdiskck/core/session.h"

/* ---- a file that is doubtful in parts ---- */

struct doubtful {
	struct layer *inner;
	struct ranges bad; /* of the file, flat */
};

static int doubtful_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	const struct doubtful *d = l->priv;
	int r = layer_read(d->inner, off, buf, len, bad);

	for (size_t i = ranges_find(&d->bad, off); bad && i < d->bad.n && !r; i++) {
		const struct range *v = &d->bad.v[i];
		uint64_t from = v->off > off ? v->off : off;
		uint64_t to = v->off + v->len < off + len ? v->off + v->len : off + len;

		if (from >= to)
			break;
		r = ranges_add(bad, from, to - from, v->grade, v->why);
	}
	return r;
}

static int doubtful_map(struct layer *l, uint64_t off, struct extent *run)
{
	const struct doubtful *d = l->priv;

	return layer_map(d->inner, off, run);
}

static void doubtful_close(struct layer *l)
{
	struct doubtful *d = l->priv;

	layer_free(d->inner);
	ranges_free(&d->bad);
	free(d);
}

static const struct layer_ops doubtful_ops = {
	.name = "file",
	.kind = LAYER_FILE,
	.read = doubtful_read,
	.map = doubtful_map,
	.close = doubtful_close,
};

/* Put it around @*file, for the ranges @bad; both are taken over. */
static int doubtful_new(struct layer *l, const char *path, struct ranges *bad, struct layer **file)
{
	struct doubtful *d = malloc(sizeof(*d));
	struct layer *outer = d ? layer_file_new(&doubtful_ops, l, path) : NULL;

	if (!outer) {
		free(d);
		ranges_free(bad);
		layer_free(*file);
		*file = NULL;
		return -ENOMEM;
	}
	*d = (struct doubtful){*file, *bad};
	outer->priv = d;
	outer->size = (*file)->size;
	*file = outer;
	return 0;
}

/*
 * A deleted file's clusters that are in use by now, as ranges of the file: @unit bytes at once,
 * where they are packed together.
 */
static int overwritten(struct layer *l, const struct fs_runs *runs, uint64_t unit,
		       struct ranges *bad)
{
	const struct ntfs *n = l->priv;
	const uint8_t *bitmap = ntfs_cluster_bitmap(l);
	const uint64_t *owned = ntfs_owned_bitmap(l);
	uint32_t cluster = n->g.cluster;
	int r = 0;

	for (size_t i = 0; i < runs->n && !r; i++) {
		const struct fs_run *run = &runs->v[i];

		if (run->kind != EXTENT_DATA)
			continue;
		for (uint64_t at = 0; at < run->len && run->at + at < l->below->size && !r;
		     at += cluster) {
			uint64_t off = (run->off + at) / unit * unit;
			uint64_t lcn = (run->at + at) / cluster;

			if (!bitmap || ntfs_cluster_used(n, bitmap, lcn) ||
			    (owned && ntfs_cluster_owned(n, owned, lcn)))
				r = ranges_add(bad, off, unit, GRADE_DOUBTFUL, NTFS_OVERWRITTEN);
		}
	}
	if (!r)
		r = ranges_flatten(bad);
	return r;
}

/* ---- which kind ---- */

/* Runs behind the initialized size hold what was there before: the file reads as zeros. */
static void cut(struct fs_runs *runs, uint64_t initialized)
{
	while (runs->n && runs->v[runs->n - 1].off >= initialized)
		runs->n--;
	if (runs->n) {
		struct fs_run *last = &runs->v[runs->n - 1];

		if (last->len > initialized - last->off)
			last->len = initialized - last->off;
	}
}

/* A file whose data are kept elsewhere, or can't be unpacked: @runs become one that is lost. */
static int lose_all(struct ntfs_stream *s, enum finding_id why)
{
	fs_runs_free(&s->runs);
	return fs_runs_add(&s->runs, &(struct fs_run){0, s->size, EXTENT_LOST, why, 0});
}

static int plain_open(struct layer *l, struct ntfs_stream *s, const char *path, struct layer **file)
{
	/* All that its record holds was read with it, unless something is wrong with it. */
	if (s->resident && s->value.len && !s->doubtful)
		return fs_file_held(l, path, s->value.p, s->value.len, &s->runs, file);
	cut(&s->runs, s->initialized);
	return fs_file_new(l, path, s->size, &s->runs, file);
}

static int packed_open(struct layer *l, struct ntfs_stream *s, const char *path,
		       struct layer **file)
{
	const struct ntfs *n = l->priv;
	struct ntfs_lznt1 a = {.size = s->size,
			       .valid = s->initialized,
			       .allocated = s->allocated,
			       .runs = s->runs};
	int r;

	if ((s->flags & NTFS_COMPRESSED) == 1 && s->unit < 16 &&
	    ((uint64_t)n->g.cluster << s->unit) <= NTFS_UNIT_MAX) {
		a.unit = n->g.cluster << s->unit;
		s->runs = (struct fs_runs){0};
		return ntfs_lznt1_new(l, path, &a, file);
	}
	r = lose_all(s, NTFS_COMPRESSION);
	return r ? r : fs_file_new(l, path, s->size, &s->runs, file);
}

/*
 * A file whose data are kept elsewhere until somebody asks: what is not in it is no hole. Clusters
 * that it has, and nobody has written to, are zeros as ever.
 */
static int lose_holes(struct ntfs_stream *s)
{
	struct fs_runs all = {0};
	uint64_t at = 0;
	int r = 0;

	for (size_t i = 0; i <= s->runs.n && at < s->size && !r; i++) {
		struct fs_run end = {.off = s->size}, run = i < s->runs.n ? s->runs.v[i] : end;
		uint64_t to = run.off < s->size ? run.off : s->size;

		if (to > at)
			r = fs_runs_add(&all, &(struct fs_run){at, to - at, EXTENT_LOST,
							       NTFS_DATA_ELSEWHERE, 0});
		at = run.off + run.len;
		if (at > s->initialized)
			run.len = s->initialized > run.off ? s->initialized - run.off : 0;
		if (!r)
			r = fs_runs_add(&all, &run);
	}
	fs_runs_free(&s->runs);
	s->runs = all;
	return r;
}

/* The stream @s, which is used up, with what is known against it. */
static int open_stream(struct layer *l, struct ntfs_stream *s, bool deleted, const char *path,
		       struct layer **file)
{
	const struct ntfs *n = l->priv;
	bool packed = !s->resident && s->flags & NTFS_COMPRESSED;
	uint64_t unit = (uint64_t)n->g.cluster << (packed && s->unit < 16 ? s->unit : 0);
	struct ranges bad = {0};
	int r = 0;

	if (s->doubtful)
		r = ranges_add(&bad, 0, s->size, GRADE_DOUBTFUL, NTFS_RECORD_TORN);
	else if (s->flags & NTFS_ENCRYPTED)
		r = ranges_add(&bad, 0, s->size, GRADE_DOUBTFUL, NTFS_EFS);
	else if (deleted && !s->resident)
		r = overwritten(l, &s->runs, unit, &bad);
	if (!r)
		r = packed ? packed_open(l, s, path, file) : plain_open(l, s, path, file);
	if (!r && bad.n)
		return doubtful_new(l, path, &bad, file);
	ranges_free(&bad);
	return r;
}

/* A file that CompactOS compressed, of @size bytes. */
static int open_wof(struct layer *l, const struct ntfs_inode *ino, enum wof_format format,
		    uint64_t size, const char *path, struct layer **file)
{
	const struct ntfs_attr *a = ntfs_inode_find(ino, NTFS_DATA, "WofCompressedData");
	struct layer *packed;
	int r = a ? ntfs_stream_open(l, ino, NTFS_DATA, a->name, path, &packed) : -ENOENT;

	return r ? r : ntfs_wof_new(l, path, size, format, packed, file);
}

/*
 * Deduplicated, or of a cloud: what was fetched, or written since, lies in the file as any file's
 * data; the rest are holes. -ENOENT: @s is to be read as it is.
 */
static int open_fetched(struct layer *l, struct ntfs_stream *s, const char *path,
			struct layer **file)
{
	int r;

	if (s->resident)
		return -ENOENT;
	if (s->flags & NTFS_COMPRESSED) /* its holes are units that pack well, as well */
		r = lose_all(s, NTFS_DATA_ELSEWHERE);
	else
		r = lose_holes(s);
	return r ? r : fs_file_new(l, path, s->size, &s->runs, file);
}

/* What a filter driver makes of the unnamed $DATA. -ENOENT: nothing. */
static int open_filtered(struct layer *l, const struct ntfs_inode *ino, struct ntfs_stream *s,
			 const char *path, struct layer **file)
{
	struct ntfs_reparse *rp = malloc(sizeof(*rp));
	int r = rp ? -ENOENT : -ENOMEM;

	if (!rp || !ntfs_reparse_get(l, ino, rp)) {
		free(rp);
		return r;
	}
	if (rp->wof) {
		r = open_wof(l, ino, (enum wof_format)rp->format, s->size, path, file);
		if (r == -ENOENT)
			r = lose_all(s, NTFS_WOF);
		if (!r && !*file)
			r = fs_file_new(l, path, s->size, &s->runs, file);
	} else if (rp->elsewhere) {
		r = open_fetched(l, s, path, file);
	}
	free(rp);
	return r;
}

int ntfs_stream_open(struct layer *l, const struct ntfs_inode *ino, uint32_t type, struct span name,
		     const char *path, struct layer **file)
{
	struct ntfs_stream s;
	int r = ntfs_stream_get(l, ino, type, name, &s);

	*file = NULL;
	if (!r) {
		r = -ENOENT;
		if (type == NTFS_DATA && !name.len)
			r = open_filtered(l, ino, &s, path, file);
		if (r == -ENOENT)
			r = open_stream(l, &s, ntfs_inode_deleted(ino), path, file);
	}
	fs_runs_free(&s.runs);
	return r;
}

uint8_t *ntfs_stream_load(struct layer *l, uint64_t number, uint32_t type, const char *name,
			  size_t max, size_t *len, struct ranges *bad)
{
	struct ntfs_inode *ino = malloc(sizeof(*ino));
	const struct ntfs_attr *a;
	struct layer *file = NULL;
	uint8_t *buf = NULL;

	if (!ino)
		return NULL;
	if (!ntfs_inode_load(l, number, ino) &&
	    (a = ntfs_inode_find(ino, type, name ? name : "")) &&
	    !ntfs_stream_open(l, ino, type, a->name, "", &file)) {
		*len = file->size < max ? (size_t)file->size : max;
		buf = malloc(*len + 1);
		if (buf && layer_read(file, 0, buf, *len, bad)) {
			free(buf);
			buf = NULL;
		}
	}
	layer_free(file);
	ntfs_inode_free(ino);
	free(ino);
	return buf;
}
