/* SPDX-License-Identifier: Apache-2.0 */
/* What damaged bytes look like: zeros, one value, noise where there should be structure. */
#ifndef VDISKCK_RECOVER_CAUSE_SHAPE_H
#define VDISKCK_RECOVER_CAUSE_SHAPE_H

#include "vdiskck/core/layer.h"

enum { CAUSE_SHAPE_MAX = 1 << 20 /* bytes that are looked at */ };

struct cause_shape {
	uint64_t len; /* bytes that were looked at, whole sectors around what was asked for */
	uint64_t flat, flat_off; /* whole sectors of one value, and where the first begins */
	uint8_t value;		 /* of these */
	bool noise; /* a block of 16 bytes that fits nothing around it, on a multiple of 16 */
	uint64_t noise_off;
	bool random; /* all of it looks random */
};

/* cause_shape() - of [off, off + len) of @l; 0 or -errno */
int cause_shape(struct layer *l, uint64_t off, uint64_t len, struct cause_shape *sh);

#endif
