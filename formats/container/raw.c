/* SPDX-License-Identifier: Apache-2.0 */
/* A raw image: the bytes of the file are the bytes of the disk. */
#include "formats/drivers.h"

static int raw_open(struct layer *l)
{
	l->size = l->below->size;
	return 0;
}

static int raw_map(struct layer *l, uint64_t off, struct extent *run)
{
	return layer_map_below(l, off, 0, run);
}

const struct layer_ops raw_ops = {
	.name = "raw",
	.kind = LAYER_CONTAINER,
	.open = raw_open,
	.read = layer_read_mapped,
	.map = raw_map,
};
