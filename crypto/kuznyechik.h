/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block cipher Kuznyechik (GOST R 34.12-2015, RFC 7801), which libgcrypt 1.10 does not have.
 * Table lookups depend on key and data: good enough to read what lies on a disk, no more.
 */
#ifndef VDISKCK_CRYPTO_KUZNYECHIK_H
#define VDISKCK_CRYPTO_KUZNYECHIK_H

#include <stdint.h>

enum { KUZNYECHIK_BLOCK = 16, KUZNYECHIK_KEY = 32, KUZNYECHIK_ROUNDS = 10 };

struct kuznyechik {
	uint8_t round[KUZNYECHIK_ROUNDS][KUZNYECHIK_BLOCK]; /* a secret, as the key is */
};

void kuznyechik_key(struct kuznyechik *k, const uint8_t key[KUZNYECHIK_KEY]);
/* One block in place; safe from many threads. */
void kuznyechik_encrypt(const struct kuznyechik *k, uint8_t block[KUZNYECHIK_BLOCK]);
void kuznyechik_decrypt(const struct kuznyechik *k, uint8_t block[KUZNYECHIK_BLOCK]);

#endif
