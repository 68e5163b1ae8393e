/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/commands.h"

int cmd_extract(const struct args *a)
{
	return usage_hint(a, "soon");
}
