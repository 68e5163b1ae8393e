/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/core/ranges.h"

#include <errno.h>
#include <stdlib.h>

int ranges_add(struct ranges *r, uint64_t off, uint64_t len, enum grade grade, enum finding_id why)
{
	struct range *last, *v;
	size_t cap;

	if (!r || !len)
		return 0;
	last = r->n ? &r->v[r->n - 1] : NULL;
	if (last && last->off + last->len == off && last->grade == grade && last->why == why) {
		last->len += len;
		return 0;
	}
	if (r->n == r->cap) {
		cap = r->cap ? 2 * r->cap : 8;
		v = realloc(r->v, cap * sizeof(*v));
		if (!v)
			return -ENOMEM;
		r->v = v;
		r->cap = cap;
	}
	r->v[r->n++] = (struct range){off, len, grade, why};
	return 0;
}

void ranges_shift(struct ranges *r, size_t from, uint64_t from_off, uint64_t to)
{
	if (!r)
		return;
	for (size_t i = from; i < r->n; i++)
		r->v[i].off = r->v[i].off - from_off + to;
}

int ranges_append(struct ranges *r, const struct ranges *more)
{
	int err = 0;

	for (size_t i = 0; !err && i < more->n; i++)
		err = ranges_add(r, more->v[i].off, more->v[i].len, more->v[i].grade,
				 more->v[i].why);
	return err;
}

static int range_cmp(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	if (x->off != y->off)
		return x->off < y->off ? -1 : 1;
	if (x->grade != y->grade)
		return x->grade < y->grade ? -1 : 1;
	if (x->why != y->why)
		return x->why < y->why ? -1 : 1;
	return x->len < y->len ? -1 : x->len > y->len;
}

void ranges_sort(struct ranges *r)
{
	size_t out = 0;

	if (!r->n)
		return;
	qsort(r->v, r->n, sizeof(*r->v), range_cmp);
	for (size_t i = 1; i < r->n; i++) {
		struct range *a = &r->v[out], b = r->v[i];

		if (a->grade == b.grade && a->why == b.why && b.off <= a->off + a->len) {
			if (b.off + b.len > a->off + a->len)
				a->len = b.off + b.len - a->off;
			continue;
		}
		r->v[++out] = b;
	}
	r->n = out + 1;
}

/* Add the parts of @r that have @grade and lie outside @taken and what was added before. */
static int add_free(struct ranges *to, const struct ranges *r, enum grade grade,
		    const struct ranges *taken)
{
	uint64_t off = 0;
	size_t k = 0;
	int err = 0;

	for (size_t i = 0; i < r->n; i++) {
		uint64_t end = r->v[i].off + r->v[i].len;

		if (r->v[i].grade != grade)
			continue;
		if (off < r->v[i].off)
			off = r->v[i].off;
		while (off < end && !err) {
			while (k < taken->n && taken->v[k].off + taken->v[k].len <= off)
				k++;
			if (k < taken->n && taken->v[k].off <= off) {
				off = taken->v[k].off + taken->v[k].len;
			} else {
				uint64_t stop = k < taken->n && taken->v[k].off < end
							? taken->v[k].off
							: end;

				err = ranges_add(to, off, stop - off, grade, r->v[i].why);
				off = stop;
			}
		}
	}
	return err;
}

int ranges_flatten(struct ranges *r)
{
	struct ranges lost = {0}, none = {0}, all = {0};
	int err;

	ranges_sort(r);
	err = add_free(&lost, r, GRADE_LOST, &none);
	if (!err)
		err = ranges_append(&all, &lost);
	if (!err)
		err = add_free(&all, r, GRADE_DOUBTFUL, &lost);
	ranges_free(&lost);
	if (err) {
		ranges_free(&all);
		return err;
	}
	ranges_sort(&all);
	ranges_free(r);
	*r = all;
	return 0;
}

uint64_t ranges_bytes(const struct ranges *r, enum grade grade)
{
	uint64_t sum = 0, end = 0;

	for (size_t i = 0; i < r->n; i++) {
		uint64_t from = r->v[i].off, to = from + r->v[i].len;

		if (r->v[i].grade != grade)
			continue;
		if (from < end)
			from = end;
		if (to > from) {
			sum += to - from;
			end = to;
		}
	}
	return sum;
}

size_t ranges_find(const struct ranges *r, uint64_t off)
{
	size_t lo = 0, hi = r->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (r->v[mid].off + r->v[mid].len <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool ranges_overlap(const struct ranges *r, uint64_t off, uint64_t len)
{
	size_t i = ranges_find(r, off);

	return i < r->n && r->v[i].off < off + len;
}

void ranges_free(struct ranges *r)
{
	free(r->v);
	*r = (struct ranges){0};
}
