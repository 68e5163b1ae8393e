/* SPDX-License-Identifier: Apache-2.0 */
/* LVM2: from a byte of a volume to the disk that holds it. */
#include <string.h>

#include "formats/part/lvm2.h"

static void lost(struct extent *run, enum finding_id why)
{
	run->kind = EXTENT_LOST;
	run->why = why;
}

static int map_column(struct lvm *g, const struct lvm_column *c, uint64_t off, struct extent *run,
		      unsigned depth)
{
	uint64_t asked = run->off;
	int r = 0;

	off += c->off;
	if (c->pv) {
		if (off >= c->pv->len) {
			lost(run, LVM2_SEGMENT_BAD);
		} else if (!c->pv->on) {
			lost(run, LVM2_PV_MISSING);
		} else if (c->pv->start + off >= c->pv->on->size) {
			lost(run, LVM2_PV_SHORT);
		} else {
			run->kind = EXTENT_DATA;
			run->in = c->pv->on;
			run->at = c->pv->start + off;
			if (run->len > c->pv->len - off)
				run->len = c->pv->len - off;
			if (run->len > run->in->size - run->at)
				run->len = run->in->size - run->at;
		}
	} else if (c->lv && depth < LVM_DEPTH) {
		struct extent sub = {.off = off, .len = run->len};

		r = lvm_map_own(g, c->lv, off, &sub, depth + 1);
		if (sub.len > run->len)
			sub.len = run->len;
		*run = sub;
		run->off = asked;
	} else {
		lost(run, LVM2_SEGMENT_BAD);
	}
	return r;
}

static int map_striped(struct lvm *g, const struct lvm_segment *s, uint64_t off, struct extent *run,
		       unsigned depth)
{
	uint64_t stripe, in;

	if (!s->n) {
		lost(run, LVM2_SEGMENT_BAD);
		return 0;
	}
	if (s->n == 1)
		return map_column(g, &s->column[0], off, run, depth);
	if (!s->stripe) {
		lost(run, LVM2_SEGMENT_BAD);
		return 0;
	}
	stripe = off / s->stripe;
	in = off % s->stripe;
	if (run->len > s->stripe - in)
		run->len = s->stripe - in;
	return map_column(g, &s->column[stripe % s->n], stripe / s->n * s->stripe + in, run, depth);
}

/* Any leg will do; one that is there is better than one that is not. */
static int map_mirror(struct lvm *g, const struct lvm_segment *s, uint64_t off, struct extent *run,
		      unsigned depth)
{
	struct extent best = *run;
	int r = 0;

	lost(&best, LVM2_SEGMENT_BAD);
	for (unsigned i = 0; i < s->n && i < LVM_LEGS && !r && best.kind == EXTENT_LOST; i++) {
		struct extent leg = *run;

		r = map_column(g, &s->column[i], off, &leg, depth + LVM_MIRROR_DEPTH);
		if (!i || leg.kind != EXTENT_LOST || leg.len < best.len)
			best = leg;
	}
	*run = best;
	return r;
}

static const struct lvm_segment *segment_at(const struct lvm_lv *lv, uint64_t off)
{
	unsigned lo = 0, hi = lv->n;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;

		if (lv->segment[mid].off + lv->segment[mid].len <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < lv->n ? &lv->segment[lo] : NULL;
}

int lvm_map_own(struct lvm *g, const struct lvm_lv *lv, uint64_t off, struct extent *run,
		unsigned depth)
{
	const struct lvm_segment *s = segment_at(lv, off);
	uint64_t end = s ? s->off > off ? s->off : s->off + s->len : lv->size;

	if (off < end && run->len > end - off)
		run->len = end - off;
	if (!s || s->off > off || depth > LVM_DEPTH) {
		lost(run, LVM2_SEGMENT_BAD);
		return 0;
	}
	off -= s->off;
	switch (s->type) {
	case LVM_STRIPED: return map_striped(g, s, off, run, depth);
	case LVM_MIRROR: return map_mirror(g, s, off, run, depth);
	case LVM_RAID:
		/* The array is a layer: what parity makes up for is read through it. */
		if (!s->array || off >= s->array->size || depth >= LVM_DEPTH) {
			lost(run, LVM2_SEGMENT_BAD);
			return 0;
		}
		run->kind = EXTENT_DATA;
		run->in = s->array;
		run->at = off;
		return 0;
	case LVM_THIN: return lvm_thin_map(g, s, off, run, depth);
	case LVM_ZERO: run->kind = EXTENT_ZERO; return 0;
	default: lost(run, LVM2_SEGMENT_UNKNOWN); return 0;
	}
}

int lvm_map(struct lvm *g, const struct lvm_lv *lv, uint64_t off, struct extent *run,
	    unsigned depth)
{
	return lv->origin ? lvm_snapshot_map(g, lv, off, run, depth)
			  : lvm_map_own(g, lv, off, run, depth);
}

int lvm_read(struct lvm *g, const struct lvm_lv *lv, uint64_t off, void *buf, size_t len,
	     struct ranges *bad)
{
	uint8_t *p = buf;
	uint64_t done = 0;
	int r = 0;

	while (done < len && !r) {
		struct extent run = {.off = off + done, .len = len - done};

		if (off + done >= lv->size) {
			run.kind = EXTENT_LOST;
			run.why = LVM2_SEGMENT_BAD;
		} else {
			r = lvm_map_own(g, lv, off + done, &run, 0);
		}
		if (r)
			break;
		if (run.kind == EXTENT_DATA)
			r = layer_read_as(run.in, run.at, p + done, (size_t)run.len, done, bad);
		else
			memset(p + done, 0, (size_t)run.len);
		if (run.kind == EXTENT_LOST && !r)
			r = ranges_add(bad, done, run.len, GRADE_LOST, run.why);
		done += run.len;
	}
	return r;
}
