/* SPDX-License-Identifier: Apache-2.0 */
/* Where the bytes come from: image files, devices, split files. Opened read-only, always. */
#ifndef VDISKCK_CORE_SOURCE_H
#define VDISKCK_CORE_SOURCE_H

#include "vdiskck/core/layer.h"

/*
 * source_open() - the image that the user named
 * A path that ends in .001 (.000, .01 ...) with neighbours is a split image. With
 * s->opt.bad_map its unrescued areas are lost. Returns NULL after session_err().
 */
int source_open(struct session *s, const char *path, struct layer **l);

/*
 * source_open_beside() - a file that an image names: parent, extent, data file
 * @by:   the source of the image that names it
 * @name: what the image says, UTF-8; either kind of slash
 * Opened only if, after resolving links, it lies in the folder of @by or in one of
 * s->opt.chain, or below; and only if it is a regular file, or a block device that the user
 * named with --chain. An absolute name is tried below the --chain folders that hold it; then its
 * last component beside @by and in each --chain folder.
 * Returns 0; -ENOENT: no such file; -EACCES: it exists but must not be opened (outside, or no
 * regular file); other -errno. No findings: the caller knows what the file was for.
 */
int source_open_beside(struct layer *by, const char *name, struct layer **l);

/*
 * source_each_beside() - every regular file in the folder of @by and in the --chain folders
 * @fn gets an open source that it may keep (return 1: it is kept and the search ends), or not
 * (0: it is closed). At most 4096 files are tried; not below sub-folders. Returns what @fn
 * returned last, or -errno.
 */
int source_each_beside(struct layer *by, int (*fn)(void *arg, struct layer *source), void *arg);

/* source_same() - are the two the same file (device and inode)? */
bool source_same(const struct layer *a, const struct layer *b);
/* source_mtime() - last modification, seconds since 1970; false: not known */
bool source_mtime(const struct layer *l, int64_t *sec);
/* source_changed() - report SOURCE_SHRANK or SOURCE_CHANGED if the file is not as it was opened */
void source_changed(struct layer *l);

extern const struct layer_ops source_ops;

#endif
