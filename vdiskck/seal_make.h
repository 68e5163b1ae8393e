/* SPDX-License-Identifier: Apache-2.0 */
/* From the bytes of a layer to leaves in order: what sealing and scrubbing share. */
#ifndef VDISKCK_SEAL_MAKE_H
#define VDISKCK_SEAL_MAKE_H

#include "vdiskck/seal.h"

/* Leaves [index, index + n) of the layer, of one kind; DATA: one at a time. */
struct seal_reading {
	struct layer *l;
	uint64_t first, leaves; /* which to read; bounded to the layer */
	const char *what;	/* for progress */
	/* In order. @leaf: for DATA. 0, or -errno to stop. */
	int (*fn)(void *arg, uint64_t index, uint64_t n, enum seal_kind kind,
		  const struct seal_leaf *leaf);
	void *arg;
	struct ranges
		*bad; /* gets what is lost and doubtful, in the layer's addresses; may be NULL */
};

/*
 * seal_read_leaves() - read and hash on all cores, deliver in order
 * A leaf of which any byte is lost or doubtful is SEAL_LOST. Returns 0, -EINTR, or -errno.
 */
int seal_read_leaves(const struct seal_reading *r);

#endif
