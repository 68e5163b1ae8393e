/* SPDX-License-Identifier: Apache-2.0 */
/* XenServer's VHD encryption: AES-XTS, 32-bit guest sector numbers as tweaks. */
#ifndef VDISKCK_CRYPTO_XEN_VHD_H
#define VDISKCK_CRYPTO_XEN_VHD_H

#include "crypto/sector.h"

enum { XEN_VHD_HASH = 32 };

/*
 * xen_vhd_open() - the cipher, if the key is the disk's: SHA-256(nonce, key) is the stored hash
 * @key: of a key file, 32 or 64 bytes used (AES-128 or 256); what follows them is ignored
 * Returns 0, -EKEYREJECTED, or -ENOMEM.
 */
int xen_vhd_open(struct sector_cipher **c, const uint8_t nonce[XEN_VHD_HASH],
		 const uint8_t hash[XEN_VHD_HASH], const void *key, size_t len);

#endif
