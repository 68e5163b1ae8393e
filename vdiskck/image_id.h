/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VDISKCK_IMAGE_ID_H
#define VDISKCK_IMAGE_ID_H

#include "vdiskck/seal.h"

/*
 * image_id() - what @l says that it is: "vhd UUID", or of what stands on it: "gpt GUID", "luks2 UUID"
 * Empty when nothing says anything: raw bytes, qcow2.
 */
void image_id(struct layer *l, char id[SEAL_ID]);

#endif
