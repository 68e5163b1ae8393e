/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/container/alias.h"

static int alias_map(struct layer *l, uint64_t off, struct extent *run)
{
	run->kind = EXTENT_DATA;
	run->in = l->priv;
	run->at = off;
	run->len = l->size - off;
	return 0;
}

static const struct layer_ops alias_ops = {
	.name = "volume",
	.kind = LAYER_SOURCE,
	.read = layer_read_mapped,
	.map = alias_map,
};

struct layer *alias_new(struct layer *of)
{
	struct layer *l = layer_new(of->s, &alias_ops, NULL, of->path);

	if (!l)
		return NULL;
	l->priv = of;
	l->size = of->size;
	l->sector = of->sector;
	return l;
}

struct layer *alias_of(struct layer *l)
{
	return l->ops == &alias_ops ? l->priv : l;
}
