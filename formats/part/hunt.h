/* SPDX-License-Identifier: Apache-2.0 */
/* The search itself: which volumes begin in a range of a disk. */
#ifndef VDISKCK_FORMATS_PART_HUNT_H
#define VDISKCK_FORMATS_PART_HUNT_H

#include "formats/signature.h"

enum {
	QUICK_PROBES = 16384, /* places looked at by quick searches of one disk */
	HUNT_MAX = 256,	      /* volumes found on one disk, at most */
};
#define FULL_AT_OPEN (64ull << 20)

struct hunt {
	struct layer *in;     /* the disk */
	unsigned probes;      /* done so far, by quick searches */
	uint64_t budget;      /* bytes of data that full searches may still read */
	uint64_t done, total; /* progress of full searches */
	struct signature v[HUNT_MAX];
	size_t n;
};

/* hunt_quick() - look in [from, to) where tools let partitions begin, and behind what is found */
int hunt_quick(struct hunt *h, uint64_t from, uint64_t to);
/*
 * hunt_full() - look at every sector of [from, to) that holds data
 * Returns 0, 1 when the budget is used up, -EINTR when stopped, -errno.
 */
int hunt_full(struct hunt *h, uint64_t from, uint64_t to);
/* hunt_sort() - by start; sizes that aren't stated: up to the next one, or to @end */
void hunt_sort(struct hunt *h, uint64_t end);

#endif
