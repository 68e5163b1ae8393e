/* SPDX-License-Identifier: Apache-2.0 */
/* A volume as the source of an image: XenServer keeps VHDs and their parents in one volume group. */
#ifndef VDISKCK_FORMATS_CONTAINER_ALIAS_H
#define VDISKCK_FORMATS_CONTAINER_ALIAS_H

#include "vdiskck/core/layer.h"

/* alias_new() - a source that has the bytes of @of, which outlives it; NULL: no memory */
struct layer *alias_new(struct layer *of);
/* alias_of() - the layer that @l stands for; @l itself if it is no alias */
struct layer *alias_of(struct layer *l);

#endif
