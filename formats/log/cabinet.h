/* SPDX-License-Identifier: Apache-2.0 */
/* Microsoft cabinets, as far as Windows packs its own logs into them: stored, and MSZIP. */
#ifndef VDISKCK_FORMATS_LOG_CABINET_H
#define VDISKCK_FORMATS_LOG_CABINET_H

#include <stddef.h>
#include <stdint.h>

/*
 * cabinet_unpack() - all that is in the cabinet, one file behind the other, @max bytes at most
 * As unpack_all() of core/inflate.h. -EOPNOTSUPP: packed in a way that is not read (LZX, Quantum).
 */
int cabinet_unpack(const uint8_t *p, size_t len, size_t max, uint8_t **out, size_t *out_len);

#endif
