/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of byte ranges that are not plain data, each with its grade and its reason. They travel
 * up the stack with the data that was read (see layer.h).
 */
#ifndef VDISKCK_CORE_RANGES_H
#define VDISKCK_CORE_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vdiskck/core/findings.h"

enum grade {
	GRADE_LOST,	/* not there: the buffer holds zeros in its place */
	GRADE_DOUBTFUL, /* there, but a check on it failed (tag, checksum) */
};

struct range {
	uint64_t off, len; /* bytes, in the layer that the list belongs to */
	enum grade grade;
	enum finding_id why; /* the finding that explains it */
};

/* An empty list is all zeros; ranges_free() makes it empty again. */
struct ranges {
	struct range *v;
	size_t n, cap;
};

/*
 * ranges_add() - append [off, off + len); joined with the last range if it continues it
 * @r may be NULL: then nothing is recorded. Returns 0 or -ENOMEM.
 */
int ranges_add(struct ranges *r, uint64_t off, uint64_t len, enum grade grade, enum finding_id why);
/* ranges_shift() - move the ranges from index @from on by @to - @from_off bytes, as data moves */
void ranges_shift(struct ranges *r, size_t from, uint64_t from_off, uint64_t to);
/* ranges_append() - add all of @more to @r */
int ranges_append(struct ranges *r, const struct ranges *more);
/* ranges_sort() - by offset; overlapping or touching ranges of one grade and reason are joined */
void ranges_sort(struct ranges *r);
/*
 * ranges_flatten() - ranges_sort(), and each byte in one range only: lost before doubtful, of
 * one grade the one that begins first. Returns 0 or -ENOMEM (then only sorted).
 */
int ranges_flatten(struct ranges *r);
/* ranges_bytes() - bytes of the given grade; @r sorted, overlaps are counted once */
uint64_t ranges_bytes(const struct ranges *r, enum grade grade);
/* ranges_find() - index of the first range that ends behind @off; r->n if none. @r sorted. */
size_t ranges_find(const struct ranges *r, uint64_t off);
bool ranges_overlap(const struct ranges *r, uint64_t off, uint64_t len);
void ranges_free(struct ranges *r);

#endif
