/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Elephant diffuser of BitLocker in Windows Vista and 7.
 * Source: N. Ferguson, "AES-CBC + Elephant diffuser", Microsoft 2006.
 */
#ifndef VDISKCK_CRYPTO_ELEPHANT_H
#define VDISKCK_CRYPTO_ELEPHANT_H

#include <stddef.h>
#include <stdint.h>

/* elephant_undo() - what stands between AES-CBC and the plaintext, for one sector in place
 * @key: the sector key, 32 bytes; @len: 512 to 8192, a multiple of 32 */
void elephant_undo(uint8_t *sector, size_t len, const uint8_t key[32]);
/* elephant_undo_many() - for @n sectors of @len bytes, one behind the other, as are their keys */
void elephant_undo_many(uint8_t *buf, size_t len, size_t n, const uint8_t *keys);
/* elephant_do() - the way back: before AES-CBC encryption */
void elephant_do(uint8_t *sector, size_t len, const uint8_t key[32]);

#endif
