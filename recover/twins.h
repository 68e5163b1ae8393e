/* SPDX-License-Identifier: Apache-2.0 */
/* Ciphertext that stands in two places: fingerprints of all blocks, sorted, and compared. */
#ifndef VDISKCK_RECOVER_TWINS_H
#define VDISKCK_RECOVER_TWINS_H

#include "vdiskck/core/layer.h"

/* The same bytes at @a and @b of the layer below the cipher, a < b. */
struct twin {
	uint64_t a, b, len;
};

struct twins {
	struct layer *in; /* below the cipher */
	uint32_t unit;	  /* bytes of a block: 512, or 4096 on volumes above 16 GiB */
	unsigned shift;	  /* of 2^shift blocks one is kept: whose print starts with so many zeros */
	unsigned bits;	  /* low bits of a print that are the block's number */
	uint64_t *print;
	size_t n, cap;
	struct twin *v; /* after twins_find(), by @a */
	size_t n_v;
	bool cut; /* there were more than are listed */
};

/* Fingerprints that a pass keeps: 256 MiB, used as blocks come. */
enum { TWINS_PRINTS = 1 << 25 };

/* twins_open() - for blocks of @in; at most @max (a power of two) prints are kept. 0 or -ENOMEM. */
int twins_open(struct twins *t, struct layer *in, size_t max);
/*
 * twins_add() - one block of random-looking bytes @p from @at (a multiple of 512); one call at a
 * time. When there is no more room, half of what is kept goes, and half of what comes.
 */
void twins_add(struct twins *t, uint64_t at, const uint8_t *p);
/* twins_find() - fill t->v; reads again what seems equal. 0, -EINTR, -ENOMEM. */
int twins_find(struct twins *t);
void twins_close(struct twins *t);

#endif
