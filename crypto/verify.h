/* SPDX-License-Identifier: Apache-2.0 */
/* check --data on layers whose reads verify tags or hashes. */
#ifndef VDISKCK_CRYPTO_VERIFY_H
#define VDISKCK_CRYPTO_VERIFY_H

#include "vdiskck/core/layer.h"

/*
 * verify_bytes() - read [off, off + len) of @l, and collect what is bad for one of the reasons @why
 * @why ends with FINDING_COUNT; @what is for progress. What was read counts as checked.
 * Returns 0, -EINTR when stopped, or -errno; *bad holds what was met until then.
 */
int verify_bytes(struct layer *l, uint64_t off, uint64_t len, const char *what,
		 const enum finding_id *why, struct ranges *bad);

#endif
