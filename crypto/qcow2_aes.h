/* SPDX-License-Identifier: Apache-2.0 */
/* qcow2's first encryption, crypt_method 1: AES-128-CBC, the sector number as IV. */
#ifndef VDISKCK_CRYPTO_QCOW2_AES_H
#define VDISKCK_CRYPTO_QCOW2_AES_H

#include <stdbool.h>

#include "crypto/sector.h"

/*
 * qcow2_aes_open() - the cipher for a password: its first 16 bytes, or padded with zeros, are the
 * key. IVs count guest sectors of 512 bytes. Nothing in the image proves a key: see below.
 * 0 or -ENOMEM.
 */
int qcow2_aes_open(struct sector_cipher **c, const void *password, size_t len);
/*
 * qcow2_aes_fits() - does any sector of @stored, guest bytes from @off on, become less random by
 * @c? A wrong key turns ciphertext into noise; no disk is nothing but noise.
 * @work: @len bytes to decrypt in; off and len multiples of 512. 1, 0, or -ENOMEM.
 */
int qcow2_aes_fits(struct sector_cipher *c, uint64_t off, const void *stored, void *work,
		   size_t len);

#endif
