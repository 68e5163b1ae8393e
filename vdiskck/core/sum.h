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
/*
 * sum_crc32c_each() - the usual CRC-32C of each of @n runs of @len bytes, one behind the other
 * Four at a time where the processor has an instruction: one alone waits for its own result.
 */
void sum_crc32c_each(const void *p, size_t len, size_t n, uint32_t *crc);
/* CRC-32 register update (reflected 0xedb88320), no inversion: Linux's crc32_le(), dm-integrity. */
uint32_t sum_crc32_raw(uint32_t crc, const void *p, size_t len);
/* XXH64, seed 0, of two pieces as one message; the second may be empty. */
uint64_t sum_xxh64(const void *p, size_t len, const void *p2, size_t len2);
/* The sum of all bytes: VHD stores its one's complement. */
uint32_t sum_bytes(const void *p, size_t len);
/* Is every byte zero? */
int all_zero(const void *p, size_t len);

#endif
