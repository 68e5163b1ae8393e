/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass over $MFT: a record's runs are compared with the sorted ranges asked for, whatever file
 * they belong to.
 */
#include "formats/fs/ntfs_hits.h"

#include <errno.h>
#include <stdlib.h>

#include "vdiskck/core/session.h"

struct finding_hits {
	struct ntfs *n;
	const struct ranges *wanted;
	pthread_mutex_t lock; /* of @to */
	struct ntfs_hits *to;
};

static int add_hit(struct finding_hits *f, const struct ntfs_hit *h)
{
	int r = 0;

	pthread_mutex_lock(&f->lock);
	if (f->to->n == f->to->cap) {
		size_t cap = f->to->cap ? f->to->cap * 2 : 256;
		struct ntfs_hit *more = realloc(f->to->v, cap * sizeof(*more));

		if (more) {
			f->to->v = more;
			f->to->cap = cap;
		} else {
			r = -ENOMEM;
		}
	}
	if (!r)
		f->to->v[f->to->n++] = *h;
	pthread_mutex_unlock(&f->lock);
	return r;
}

/* Is the compression unit at @off without a hole, as far as this piece of the attribute tells? */
static bool unit_is_whole(const struct fs_runs *runs, uint64_t off, uint64_t unit)
{
	for (uint64_t at = off; at < off + unit;) {
		const struct fs_run *run = fs_runs_at(runs, at);

		if (!run || run->off > at)
			return false;
		at = run->off + run->len;
	}
	return true;
}

/* @h is a run: add what of it was asked for, compressed units one by one. */
static int add_run(struct finding_hits *f, const struct fs_runs *runs, struct ntfs_hit h,
		   uint64_t unit)
{
	uint64_t end = h.off + h.len;
	int r = 0;

	if (!ranges_overlap(f->wanted, h.off, h.len))
		return 0;
	if (!unit)
		return add_hit(f, &h);
	while (h.off < end && !r) {
		uint64_t start = h.stream_off & ~(unit - 1);
		struct ntfs_hit part = h;

		part.len = start + unit - h.stream_off;
		if (part.len > end - h.off)
			part.len = end - h.off;
		part.packed = !unit_is_whole(runs, start, unit);
		if (ranges_overlap(f->wanted, part.off, part.len))
			r = add_hit(f, &part);
		h.off += part.len;
		h.stream_off += part.len;
	}
	return r;
}

static int scan_attr(struct finding_hits *f, const struct ntfs_record *r, const struct ntfs_attr *a)
{
	const struct ntfs_record_header *h = ntfs_head(r);
	struct ntfs_hit hit = {.base = ntfs_ref_number(le64(h->base)), .record = r->number};
	uint64_t next, stored = 0, unit = 0;
	struct fs_runs runs = {0};
	int err = ntfs_pairs_decode(&f->n->g, a->value, a->lowest_vcn, &runs, &next, &stored);

	if (!le64(h->base))
		hit.base = r->number;
	hit.attr = (uint32_t)a->at;
	if (a->flags & NTFS_COMPRESSED && a->unit && a->unit < 16)
		unit = (uint64_t)f->n->g.cluster << a->unit;
	if (err == -EBADMSG) /* the runs before what can't be true are used */
		err = 0;
	for (size_t i = 0; i < runs.n && !err; i++) {
		const struct fs_run *run = &runs.v[i];

		if (run->kind != EXTENT_DATA)
			continue;
		hit.off = run->at;
		hit.len = run->len;
		hit.stream_off = run->off;
		err = add_run(f, &runs, hit, unit);
	}
	fs_runs_free(&runs);
	return err;
}

/* $MFT and $MFTMirr are told by the driver itself, which may have had to rebuild them. */
static bool by_geometry(const struct ntfs_record *r, const struct ntfs_attr *a)
{
	return r->number <= NTFS_MFTMIRR && a->type == NTFS_DATA && !a->name.len;
}

static int scan_record(void *arg, struct ntfs_record *r, void *out)
{
	const struct ntfs_record_header *h = ntfs_head(r);
	struct finding_hits *f = arg;
	struct ntfs_attr a;
	uint32_t pos = 0;
	int err = 0;

	(void)out;
	if ((r->state != NTFS_GOOD && r->state != NTFS_TORN) ||
	    (!(le16(h->flags) & NTFS_IN_USE) && r->number >= NTFS_SYSTEM_RECORDS))
		return 0;
	if (le64(h->base) && ntfs_ref_number(le64(h->base)) == NTFS_MFT)
		return 0;
	while (!err && ntfs_attr_next(f->n, r, &pos, &a))
		if (!a.resident && !by_geometry(r, &a))
			err = scan_attr(f, r, &a);
	return err;
}

static int deliver_nothing(void *arg, struct ntfs_record *r, size_t count, void *out)
{
	(void)arg;
	(void)r;
	(void)count;
	(void)out;
	return 0;
}

static int by_file(const void *pa, const void *pb)
{
	const struct ntfs_hit *a = pa, *b = pb;

	if (a->base != b->base)
		return a->base < b->base ? -1 : 1;
	return a->off < b->off ? -1 : a->off > b->off;
}

int ntfs_hits_find(struct layer *l, const struct ranges *wanted, struct ntfs_hits *h)
{
	struct finding_hits f = {.n = l->priv, .wanted = wanted, .to = h};
	struct ntfs_scan scan = {.l = l,
				 .what = "owners",
				 .work = scan_record,
				 .deliver = deliver_nothing,
				 .arg = &f};
	int r;

	pthread_mutex_init(&f.lock, NULL);
	r = ntfs_scan(&scan);
	pthread_mutex_destroy(&f.lock);
	if (h->n)
		qsort(h->v, h->n, sizeof(*h->v), by_file);
	return r;
}
