/* SPDX-License-Identifier: Apache-2.0 */
/* What writing a seal asks of reading one. */
#ifndef VDISKCK_SEAL_INTERNAL_H
#define VDISKCK_SEAL_INTERNAL_H

#include "vdiskck/seal.h"

/* seal_end() - the page behind the last generation that is whole */
uint64_t seal_end(const struct seal *to);

#endif
