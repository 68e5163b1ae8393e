/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/container/vhd.h"

int vhd_check(struct layer *l)
{
	(void)l;
	return 0;
}
