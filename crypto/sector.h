/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sector encryption as dm-crypt defines it: a block cipher in a mode, with an IV made from the
 * sector's number. LUKS, qcow2 and XenServer's VHDs differ only in where key and number come from.
 * Source: Linux Documentation/admin-guide/device-mapper/dm-crypt.rst, drivers/md/dm-crypt.c.
 */
#ifndef VDISKCK_CRYPTO_SECTOR_H
#define VDISKCK_CRYPTO_SECTOR_H

#include <stddef.h>
#include <stdint.h>

struct sector_spec {
	const char *cipher; /* "aes", "serpent", "twofish", "camellia", "cipher_null" */
	const char *mode;   /* "xts", "cbc", "ecb" */
	const char *iv;	 /* "plain", "plain64", "plain64be", "essiv:HASH", "benbi", "null"; or "" */
	uint32_t sector; /* bytes enciphered as one: a power of two, 512..4096 */
	uint32_t iv_unit; /* bytes that the IV counts in: 512, or @sector (iv_large_sectors) */
};

struct sector_cipher;

/*
 * sector_open() - 0, -EOPNOTSUPP (a cipher, mode, IV or key size that we don't know), -ENOMEM
 * @key: XTS takes both keys in one
 */
int sector_open(struct sector_cipher **c, const struct sector_spec *spec, const void *key,
		size_t key_len);
/*
 * sector_decrypt() - decrypt @buf in place; safe from many threads
 * @off: bytes from where the IV's count starts; @off and @len multiples of the sector size
 * Returns 0, -EINVAL, or -ENOMEM.
 */
int sector_decrypt(struct sector_cipher *c, uint64_t off, void *buf, size_t len);
int sector_encrypt(struct sector_cipher *c, uint64_t off, void *buf, size_t len);
void sector_close(struct sector_cipher *c);

#endif
