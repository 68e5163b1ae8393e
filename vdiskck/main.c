/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "vdiskck/version.h"

int main(void)
{
	puts("vdiskck " VDISKCK_VERSION);
	return 3;
}
