/* SPDX-License-Identifier: Apache-2.0 */
/* What a container stores, as it stores it: the ciphertext of one that encrypts what it holds. */
#ifndef VDISKCK_RECOVER_STORED_H
#define VDISKCK_RECOVER_STORED_H

#include "vdiskck/core/layer.h"

/* stored_open() - a layer apart from the stack, with @container's addresses; layer_free(); or NULL */
struct layer *stored_open(struct layer *container);

#endif
