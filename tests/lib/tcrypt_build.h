/* SPDX-License-Identifier: Apache-2.0 */
/* TrueCrypt volumes for tests: AES-XTS, PBKDF2 with RIPEMD-160, the first that is tried. */
#ifndef VDISKCK_TESTS_TCRYPT_BUILD_H
#define VDISKCK_TESTS_TCRYPT_BUILD_H

#include "crypto/tcrypt.h"

/* What the header says; the CRCs are made when it is put. */
void tcrypt_header_init(struct tcrypt_header *h, uint64_t start, uint64_t volume_size,
			uint64_t hidden_size);
/* tcrypt_header_sign() - make its CRCs fit */
void tcrypt_header_sign(struct tcrypt_header *h);
/* tcrypt_header_put() - write it at byte @off of @buf, encrypted */
void tcrypt_header_put(uint8_t *buf, uint64_t off, const char *password,
		       const struct tcrypt_header *h);
/*
 * tcrypt_data_put() - encrypt [@start, @start + @len) of @buf in place; each data unit then reads
 * as its number in every 8 bytes, from 0 on
 */
void tcrypt_data_put(uint8_t *buf, uint64_t start, uint64_t len, const struct tcrypt_header *h);
/* tcrypt_noise_put() - bytes that look like ciphertext */
void tcrypt_noise_put(uint8_t *buf, uint64_t off, uint64_t len);

#endif
