/* SPDX-License-Identifier: Apache-2.0 */
/* Every driver, by hand, in the order tried: one NULL-terminated array per kind. */
#ifndef VDISKCK_FORMATS_DRIVERS_H
#define VDISKCK_FORMATS_DRIVERS_H

#include "vdiskck/core/layer.h"

extern const struct layer_ops *const container_drivers[];
extern const struct layer_ops *const cipher_drivers[];
extern const struct layer_ops *const map_drivers[];

/* Named here only for what must refer to one of them: tests, fuzz targets, --format. */
extern const struct layer_ops vhd_ops, qcow2_ops, raw_ops, foreign_ops;
extern const struct layer_ops bitlocker_ops;
extern const struct layer_ops mbr_ops, gpt_ops;

/* driver_find() - a container driver by name, or NULL */
const struct layer_ops *driver_find(const char *name);

#endif
