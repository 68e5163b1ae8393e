/* SPDX-License-Identifier: Apache-2.0 */
/* What findings in any layer cost the disk that the machine saw. */
#ifndef VDISKCK_DAMAGE_H
#define VDISKCK_DAMAGE_H

#include "vdiskck/collect.h"

/*
 * damage_on_disk() - add to @to what findings say is lost or doubtful, in addresses of @disk
 * @source: the root of the stack; @disk: the container of the image itself
 * Findings of layers on the disk (partitions) are followed down to it, those of its ancestors up
 * through the runs that the disk leaves to them. Layers below the disk show when they are read.
 * Linear in the runs of the layers concerned. Returns 0, -ENOMEM, or -EINTR when stopped.
 */
int damage_on_disk(struct collect *c, struct layer *source, struct layer *disk, struct ranges *to);

#endif
