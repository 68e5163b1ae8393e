/* SPDX-License-Identifier: Apache-2.0 */
#include "recover/stored.h"

static int stored_map(struct layer *l, uint64_t off, struct extent *run)
{
	int r = layer_map(l->priv, off, run);

	if (!r && run->packed) { /* no ciphertext that anybody asks for */
		*run = (struct extent){
			.off = off, .len = run->off + run->len - off, .kind = EXTENT_ZERO};
	}
	return r;
}

static const struct layer_ops stored_ops = {
	.name = "stored",
	.kind = LAYER_CONTAINER,
	.read = layer_read_mapped,
	.map = stored_map,
};

struct layer *stored_open(struct layer *container)
{
	struct layer *l = layer_new(container->s, &stored_ops, NULL, container->name);

	if (l) {
		l->priv = container;
		l->size = container->size;
		l->sector = container->sector;
	}
	return l;
}
