/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/drivers.h"

static int gpt_probe(struct layer *below)
{
	(void)below;
	return 0;
}

const struct layer_ops gpt_ops = {
	.name = "gpt",
	.kind = LAYER_MAP,
	.probe = gpt_probe,
};
