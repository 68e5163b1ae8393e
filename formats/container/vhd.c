/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/drivers.h"

static int vhd_probe(struct layer *below)
{
	(void)below;
	return 0;
}

const struct layer_ops vhd_ops = {
	.name = "vhd",
	.kind = LAYER_CONTAINER,
	.probe = vhd_probe,
};
