/* SPDX-License-Identifier: Apache-2.0 */
/* Files that belong together by their names: a hive and its logs, parts of one log. */
#ifndef VDISKCK_FORMATS_FS_BESIDE_H
#define VDISKCK_FORMATS_FS_BESIDE_H

#include "vdiskck/core/layer.h"

/*
 * layer_beside() - the file whose name is that of the file @l with @suffix behind it
 * In the file system that holds @l; for a bare image, beside it. To be freed by layer_free().
 * -ENOENT: none, or @l is no whole file; -ENOMEM.
 */
int layer_beside(struct layer *l, const char *suffix, struct layer **beside);

#endif
