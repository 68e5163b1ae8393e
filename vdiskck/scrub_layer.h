/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VDISKCK_SCRUB_LAYER_H
#define VDISKCK_SCRUB_LAYER_H

#include "vdiskck/core/layer.h"
#include "vdiskck/seal.h"

/*
 * scrub_layer() - the layer of the stack that @to is of: by what it says that it is, else by its
 * place and size. NULL: none; @other: a layer of that path is there, but it is another image's.
 */
struct layer *scrub_layer(struct layer *source, const struct seal *to, bool *other);

#endif
