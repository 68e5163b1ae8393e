/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/drivers.h"

static int qcow2_probe(struct layer *below)
{
	(void)below;
	return 0;
}

const struct layer_ops qcow2_ops = {
	.name = "qcow2",
	.kind = LAYER_CONTAINER,
	.probe = qcow2_probe,
};
