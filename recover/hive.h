/* SPDX-License-Identifier: Apache-2.0 */
/* A registry hive that lies as a file in a file system. */
#ifndef VDISKCK_RECOVER_HIVE_H
#define VDISKCK_RECOVER_HIVE_H

#include "formats/log/regf.h"

/*
 * hive_open() - the hive at @path of file system @fs, its logs applied
 * @file: the layer it stands on; layer_free(*file), also when it is no hive. NULL: there is none.
 * Returns 0; -ENOENT, -ENOTDIR: no such file; -EBADMSG: no hive; else -errno.
 */
int hive_open(struct layer *fs, const char *path, struct layer **file, struct layer **hive);

#endif
