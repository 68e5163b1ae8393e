/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Source: xapi-project/blktap, drivers/block-crypto.c (the key hash), drivers/crypto/xts_aes.h (the
 * tweak holds the low 32 bits of the sector number, as dm-crypt's "plain"), xts_aes.c (key sizes).
 */
#include "crypto/xen_vhd.h"

#include <errno.h>

#include "crypto/prim.h"

int xen_vhd_open(struct sector_cipher **c, const uint8_t nonce[XEN_VHD_HASH],
		 const uint8_t hash[XEN_VHD_HASH], const void *key, size_t len)
{
	static const struct sector_spec spec = {"aes", "xts", "plain", 512, 512};
	static const size_t sizes[] = {64, 32}; /* in the order that XenServer tries them */

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		const struct prim_part part[] = {{nonce, XEN_VHD_HASH}, {key, sizes[i]}};
		uint8_t sum[PRIM_HASH_MAX];

		if (len < sizes[i])
			continue;
		prim_hash_parts(PRIM_SHA256, part, 2, sum);
		if (prim_equal(sum, hash, XEN_VHD_HASH))
			return sector_open(c, &spec, key, sizes[i]);
	}
	return -EKEYREJECTED;
}
