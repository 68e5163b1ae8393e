/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VDISKCK_CORE_SUM_H
#define VDISKCK_CORE_SUM_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32 (IEEE 802.3: GPT, LVM2, EVTX); start with @crc 0, or go on with the last result. */
uint32_t sum_crc32(uint32_t crc, const void *p, size_t len);
/*
 * CRC-32C register update (Castagnoli, reflected 0x82f63b78): no inversion of any kind.
 * The usual CRC-32C is ~sum_crc32c(~0, ...); ext4 and jbd2 use the register as it is.
 */
uint32_t sum_crc32c(uint32_t crc, const void *p, size_t len);
/* The sum of all bytes: VHD stores its one's complement. */
uint32_t sum_bytes(const void *p, size_t len);
/* Is every byte zero? */
int all_zero(const void *p, size_t len);

#endif
