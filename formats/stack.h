/* SPDX-License-Identifier: Apache-2.0 */
/* Discovery: what stands on what. */
#ifndef VDISKCK_FORMATS_STACK_H
#define VDISKCK_FORMATS_STACK_H

#include "vdiskck/core/layer.h"

/*
 * stack_open() - open @image and everything that is found in it
 * @source: the root; layers hang below it as children. layer_free(*source) frees all.
 * Returns 0 when there is a container to read (raw at the least), else -errno, said already.
 */
int stack_open(struct session *s, const char *image, struct layer **source);

/*
 * stack_discover() - probe and open what lies in @below, and in that, and so on
 * A layer that is recognised but can't be read is attached with its state set.
 */
int stack_discover(struct layer *below);
/*
 * stack_discover_as() - the same with these drivers alone, NULL at their end
 * For a file of which it is known what it can be: no key is tried on its noise.
 */
int stack_discover_as(struct layer *below, const struct layer_ops *const *drivers);

/*
 * stack_find() - a layer by path: "vhd/mbr/p2", "vhd~1", or a source's file name
 * A leading "raw/" may be left out. NULL: there is none, or nothing could be opened at all.
 */
struct layer *stack_find(struct layer *source, const char *path);

/* stack_walk() - every layer from @l up, parents of a chain before children; stops on non-zero */
int stack_walk(struct layer *l, int (*fn)(void *arg, struct layer *l), void *arg);

#endif
