/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding $MFT. It is described by its own first record, of which $MFTMirr has a copy; where both
 * are lost, or the records that hold the rest of its runs, the volume is searched for its pieces.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ntfs.h"
#include "vdiskck/core/session.h"

enum {
	MIRRORED = 4, /* records that $MFTMirr has, at least */
	CLAIMS =
		64, /* $MFT may state this many times what the layer could hold, for one cut short */
	BITMAP_MAX = 512 << 20,
};

static int set_mft(struct layer *l, struct fs_runs *runs, uint64_t size)
{
	struct ntfs *n = l->priv;
	struct fs_runs copy = {0};
	uint64_t most = (l->below->size / n->g.record + 1) * CLAIMS;
	int r = 0;

	for (size_t i = 0; i < runs->n && !r; i++)
		r = fs_runs_add(&copy, &runs->v[i]);
	fs_runs_free(&n->mft_runs);
	n->mft_runs = *runs;
	*runs = (struct fs_runs){0};
	layer_free(n->mft);
	n->mft = NULL;
	n->records = size / n->g.record;
	if (n->records > most)
		n->records = most;
	if (n->records > UINT32_MAX) /* as Windows has it */
		n->records = UINT32_MAX;
	if (!r)
		r = fs_file_new(l, "/$MFT", n->records * n->g.record, &copy, &n->mft);
	fs_runs_free(&copy);
	return r;
}

/* The record @number from @at of the volume. True: it is one, and whole. */
static bool read_copy(struct layer *l, uint64_t at, uint64_t number, uint8_t *buf,
		      struct ntfs_record *r)
{
	const struct ntfs *n = l->priv;
	struct ranges bad = {0};
	bool good = !layer_read(l->below, at, buf, n->g.record, &bad) && !bad.n;

	ranges_free(&bad);
	if (good)
		ntfs_record_init(n, number, buf, NULL, r);
	return good && r->state == NTFS_GOOD && !le64(ntfs_head(r)->base);
}

/* $MFT as the record says; its attribute list is read through the runs of the record itself. */
static int from_record(struct layer *l, const struct ntfs_record *r, bool *partial)
{
	struct ntfs *n = l->priv;
	struct ntfs_inode *ino = malloc(sizeof(*ino));
	struct ntfs_stream s = {0};
	struct ntfs_attr data;
	struct fs_runs runs = {0};
	uint64_t next = 0, stored = 0;
	int err = ino ? 0 : -ENOMEM;

	if (!err && (!ntfs_attr_find(n, r, NTFS_DATA, NULL, &data) || data.resident))
		err = -EBADMSG;
	if (!err) {
		err = ntfs_pairs_decode(&n->g, data.value, data.lowest_vcn, &runs, &next, &stored);
		if (!err && (!runs.n || runs.v[0].off))
			err = -EBADMSG;
	}
	if (!err)
		err = set_mft(l, &runs, next * n->g.cluster);
	fs_runs_free(&runs);
	if (err) {
		free(ino);
		return err;
	}
	err = ntfs_inode_from(l, r, ino);
	if (!err)
		err = ntfs_stream_get(l, ino, NTFS_DATA, (struct span){0}, &s);
	*partial = s.partial;
	if (!err)
		err = set_mft(l, &s.runs, s.size);
	fs_runs_free(&s.runs);
	ntfs_inode_free(ino);
	free(ino);
	return err;
}

/* @to becomes what @runs say, and where they say lost, what @found has. */
static int fill_gaps(const struct fs_runs *runs, const struct fs_runs *found, struct fs_runs *to)
{
	int r = 0;

	for (size_t i = 0; i < runs->n && !r; i++) {
		const struct fs_run *run = &runs->v[i];

		if (run->kind != EXTENT_LOST) {
			r = fs_runs_add(to, run);
			continue;
		}
		for (uint64_t at = run->off, end = run->off + run->len; at < end && !r;) {
			const struct fs_run *f = fs_runs_at(found, at);
			struct fs_run piece = {at, end - at, EXTENT_LOST, run->why, 0};

			if (f && f->off > at && f->off < end) {
				piece.len = f->off - at;
			} else if (f && f->off <= at) {
				piece.len = f->off + f->len < end ? f->off + f->len - at : end - at;
				piece.kind = f->kind;
				piece.why = f->why;
				piece.at = f->at + (at - f->off);
			}
			r = fs_runs_add(to, &piece);
			at += piece.len;
		}
	}
	return r;
}

static uint64_t lost_bytes(const struct fs_runs *runs)
{
	uint64_t lost = 0;

	for (size_t i = 0; i < runs->n; i++)
		lost += runs->v[i].kind == EXTENT_LOST ? runs->v[i].len : 0;
	return lost;
}

/* Search the volume for what of $MFT is not known: all of it, unless @have. */
static int rebuild(struct layer *l, bool have)
{
	struct ntfs *n = l->priv;
	struct ntfs_hunt h = {.record = n->g.record};
	struct fs_runs found = {0}, all = {0};
	uint64_t size = have ? n->records * n->g.record : 0;
	int r = ntfs_hunt(l->below, 0, n->g.clusters * n->g.cluster, &h);

	if (!r)
		r = ntfs_hunt_runs(&h, &found);
	if (!r && have) {
		r = fill_gaps(&n->mft_runs, &found, &all);
	} else if (!r) {
		all = found;
		found = (struct fs_runs){0};
		if (all.n)
			size = all.v[all.n - 1].off + all.v[all.n - 1].len;
	}
	if (!r) {
		uint64_t lost = lost_bytes(&all) / n->g.record;
		const char *what = have ? "records that tell where $MFT lies are lost"
					: "the record of $MFT is lost, and so is its copy";

		if (h.n)
			finding(l, NTFS_MFT_REBUILT, n->g.mft_lcn * n->g.cluster, n->g.record,
				"%s: its %zu pieces were found by the numbers that records state%s",
				what, h.n, lost ? "" : "; no number is missing between them");
		else
			finding(l, NTFS_MFT_LOST, n->g.mft_lcn * n->g.cluster, n->g.record,
				"%s, and no record of a file was found anywhere", what);
		if (lost)
			finding(l, NTFS_MFT_LOST, n->g.mft_lcn * n->g.cluster, n->g.record,
				"%" PRIu64 " records of $MFT were found nowhere", lost);
		n->mft_rebuilt = true;
		r = set_mft(l, &all, size);
	}
	fs_runs_free(&all);
	fs_runs_free(&found);
	ntfs_hunt_free(&h);
	return r;
}

/* Replace the bytes of record @number in the runs by those at @at. */
static int redirect(struct layer *l, uint64_t number, uint64_t at)
{
	struct ntfs *n = l->priv;
	uint64_t from = number * n->g.record, to = from + n->g.record;
	struct fs_run here = {from, n->g.record, EXTENT_DATA, 0, at};
	struct fs_runs all = {0};
	bool done = false;
	int r = 0;

	for (size_t i = 0; i < n->mft_runs.n && !r; i++) {
		struct fs_run a = n->mft_runs.v[i], b = a;
		uint64_t end = a.off + a.len;

		if (a.off < from) {
			a.len = end < from ? a.len : from - a.off;
			r = fs_runs_add(&all, &a);
		}
		if (!r && !done && end > from) {
			r = fs_runs_add(&all, &here);
			done = true;
		}
		if (!r && end > to) {
			uint64_t skip = b.off < to ? to - b.off : 0;

			b.off += skip;
			b.at += skip;
			b.len -= skip;
			r = fs_runs_add(&all, &b);
		}
	}
	if (!r)
		r = set_mft(l, &all, n->records * n->g.record);
	fs_runs_free(&all);
	return r;
}

/* The first records, if they are damaged, from $MFTMirr. */
static int use_mirror(struct layer *l, uint8_t *buf)
{
	static const char *const names[MIRRORED] = {"$MFT", "$MFTMirr", "$LogFile", "$Volume"};
	struct ntfs *n = l->priv;
	int r = 0;

	for (uint64_t i = 0; i < MIRRORED && i < n->records && !r; i++) {
		uint64_t at = n->g.mirr_lcn * n->g.cluster + i * n->g.record;
		uint64_t own = ntfs_record_at(n, i, 0);
		struct ntfs_record rec;

		r = ntfs_record_read(l, i, buf, &rec);
		if (r || rec.state == NTFS_GOOD)
			continue;
		if (own != at && read_copy(l, at, i, buf, &rec)) {
			finding(l, NTFS_MIRROR_USED, own == UINT64_MAX ? at : own, n->g.record,
				"record %" PRIu64 " (%s) is damaged: its copy in $MFTMirr is used",
				i, names[i]);
			r = redirect(l, i, at);
		}
	}
	return r;
}

static int load_bitmap(struct layer *l)
{
	struct ntfs *n = l->priv;
	struct ranges bad = {0};
	size_t want = (size_t)(n->records / 8 + 1), got = 0;
	uint8_t *p = ntfs_stream_load(l, NTFS_MFT, NTFS_BITMAP, NULL,
				      want < BITMAP_MAX ? want : BITMAP_MAX, &got, &bad);

	/* What is lost says that every record may be in use. */
	free(n->mft_bitmap);
	n->mft_bitmap = malloc(want);
	if (n->mft_bitmap) {
		memset(n->mft_bitmap, 0xff, want);
		if (p)
			memcpy(n->mft_bitmap, p, got);
		for (size_t i = 0; i < bad.n; i++)
			if (range_inside(bad.v[i].off, bad.v[i].len, got))
				memset(n->mft_bitmap + bad.v[i].off, 0xff, bad.v[i].len);
	}
	free(p);
	ranges_free(&bad);
	return n->mft_bitmap ? 0 : -ENOMEM;
}

int ntfs_mft_open(struct layer *l)
{
	struct ntfs *n = l->priv;
	uint64_t at[] = {n->g.mft_lcn * n->g.cluster, n->g.mirr_lcn * n->g.cluster};
	uint8_t *buf = malloc(n->g.record);
	bool partial = false;
	int r = -EBADMSG;

	for (int i = 0; i < 2 && buf && r == -EBADMSG; i++) {
		struct ntfs_record rec;

		if (read_copy(l, at[i], NTFS_MFT, buf, &rec))
			r = from_record(l, &rec, &partial);
	}
	if (!buf)
		r = -ENOMEM;
	if (r == -EBADMSG)
		r = rebuild(l, false);
	else if (!r && partial)
		r = rebuild(l, true);
	if (!r && !n->records)
		r = -EBADMSG;
	if (!r)
		r = use_mirror(l, buf);
	if (!r)
		r = load_bitmap(l);
	free(buf);
	return r;
}
