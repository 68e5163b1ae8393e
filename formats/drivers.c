/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/drivers.h"

#include <string.h>

const struct layer_ops *const container_drivers[] = {
	&vhd_ops,
	&qcow2_ops,
	&foreign_ops,
	NULL,
};

const struct layer_ops *const cipher_drivers[] = {
	&bitlocker_ops,
	NULL,
};

const struct layer_ops *const map_drivers[] = {
	&gpt_ops,
	&mbr_ops,
	NULL,
};

const struct layer_ops *driver_find(const char *name)
{
	if (!strcmp(name, raw_ops.name))
		return &raw_ops;
	for (size_t i = 0; container_drivers[i]; i++)
		if (!strcmp(name, container_drivers[i]->name))
			return container_drivers[i];
	return NULL;
}
