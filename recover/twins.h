/* SPDX-License-Identifier: Apache-2.0 */
/* Ciphertext that stands in two places: fingerprints of all blocks, sorted, and compared. */
#ifndef VDISKCK_RECOVER_TWINS_H
#define VDISKCK_RECOVER_TWINS_H

#include <stdatomic.h>

#include "vdiskck/core/layer.h"

/* The same bytes at @a and @b of the layer below the cipher, a < b. */
struct twin {
	uint64_t a, b, len;
};

struct twins {
	struct layer *in; /* below the cipher */
	uint32_t unit;	  /* bytes of a block: 512, or 4096 on volumes above 16 GiB */
	unsigned shift;	  /* of 2^shift blocks one is kept, by its fingerprint; 0: all */
	unsigned bits;	  /* low bits of a print that are the block's number */
	uint64_t *print;
	size_t cap;
	atomic_size_t n;
	struct twin *v; /* after twins_find(), by @a */
	size_t n_v;
	bool cut; /* there were more than are listed */
};

/* twins_open() - for blocks of @in; at most 256 MiB, used as blocks come. 0 or -ENOMEM. */
int twins_open(struct twins *t, struct layer *in);
/* twins_add() - @n blocks of random-looking bytes @p from @at (a multiple of 512) on; any thread */
void twins_add(struct twins *t, uint64_t at, const uint8_t *p, size_t n);
/* twins_find() - fill t->v; reads again what seems equal. 0, -EINTR, -ENOMEM. */
int twins_find(struct twins *t);
void twins_close(struct twins *t);

#endif
