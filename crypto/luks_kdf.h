/* SPDX-License-Identifier: Apache-2.0 */
/* What a passphrase costs: key derivation for LUKS, its bounds, and its progress. */
#ifndef VDISKCK_CRYPTO_LUKS_KDF_H
#define VDISKCK_CRYPTO_LUKS_KDF_H

#include "crypto/luks.h"

/*
 * luks_kdf_judge() - which keyslots are tried, and in which order: the cheapest first, until one
 * passphrase would cost more than any real header asks for. The others become LUKS_SLOT_COSTLY.
 */
void luks_kdf_judge(struct layer *l);
/* luks_kdf_derive() - slot->area_key bytes of @out; 0, -EINVAL, -ENOMEM, or -EINTR: stopped */
int luks_kdf_derive(struct session *s, const struct luks_slot *slot, const void *pass, size_t len,
		    uint8_t *out);
/* luks_digest_fits() - is it this key that @d is the digest of? */
bool luks_digest_fits(struct session *s, const struct luks_digest *d, const uint8_t *key,
		      size_t len);

#endif
