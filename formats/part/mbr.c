/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/drivers.h"

static int mbr_probe(struct layer *below)
{
	(void)below;
	return 0;
}

const struct layer_ops mbr_ops = {
	.name = "mbr",
	.kind = LAYER_MAP,
	.probe = mbr_probe,
};
