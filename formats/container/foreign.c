/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/drivers.h"

static int foreign_probe(struct layer *below)
{
	(void)below;
	return 0;
}

const struct layer_ops foreign_ops = {
	.name = "foreign",
	.kind = LAYER_CONTAINER,
	.probe = foreign_probe,
};
