/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the layers has been read without loss. Tags are verified and ciphertext is looked at on
 * the way from the disk; what that took from there need not be read once more to see that it can.
 */
#ifndef VDISKCK_CORE_READS_H
#define VDISKCK_CORE_READS_H

#include "vdiskck/core/layer.h"

struct reads {
	struct reads_run {
		struct layer *l; /* NULL: it is gone */
		uint64_t off, len;
	} * v;
	size_t n, cap;
};

/* reads_forget() - layer_free() does: a layer may be made for one pass only */
void reads_forget(struct reads *r, const struct layer *l);
/* reads_note() - the engine does, where session.reads is set; what does not fit is forgotten */
void reads_note(struct reads *r, struct layer *l, uint64_t off, uint64_t len);
/*
 * reads_of() - the bytes of @disk that were read, by way of any layer on it
 * @out: sorted; grade and reason mean nothing. Returns 0 or -errno.
 */
int reads_of(const struct reads *r, struct layer *disk, struct ranges *out);
void reads_free(struct reads *r);

#endif
