/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VDISKCK_SCRUB_IMAGE_H
#define VDISKCK_SCRUB_IMAGE_H

#include "vdiskck/scrub.h"

/*
 * scrub_image() - what `scrub` does with one image; returns the exit status
 * @compare: how to compare; NULL: scrub_compare(). `merge` takes what shards met instead.
 */
int scrub_image(const struct args *a, int (*compare)(void *arg, struct scrub *s), void *arg);

#endif
