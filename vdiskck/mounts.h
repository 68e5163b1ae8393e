/* SPDX-License-Identifier: Apache-2.0 */
/* What a Linux system mounts where, by its fstab, and which layers of the image these are. */
#ifndef VDISKCK_MOUNTS_H
#define VDISKCK_MOUNTS_H

#include <stdio.h>

#include "vdiskck/core/layer.h"

struct json;

/* mounts_json() - objects with "at", "device", and "layer" if it is here; NULL: @fs has no fstab */
struct json *mounts_json(struct layer *fs);
/* mounts_text() - one line for each */
void mounts_text(FILE *f, struct layer *fs);

#endif
