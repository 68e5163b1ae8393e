/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VDISKCK_SCRUB_LABEL_H
#define VDISKCK_SCRUB_LABEL_H

#include "vdiskck/core/layer.h"

struct json;

/*
 * label_put() - what tells an image from others in a fleet, as members of @j: image (@path, as it was
 * given), name, id (what it says that it is, or ""), format, storage (the name of the folder that it
 * lies in: an SR, a volume group; of an NBD export: ""). Nothing of what the guest stores.
 */
void label_put(struct layer *source, const char *path, struct json *j);

#endif
