/* SPDX-License-Identifier: Apache-2.0 */
/* A journal of dm-integrity that is encrypted with a key of its own. */
#ifndef VDISKCK_CRYPTO_INTEGRITY_CRYPT_H
#define VDISKCK_CRYPTO_INTEGRITY_CRYPT_H

#include "crypto/integrity.h"

/*
 * integrity_crypt_find() - try the session's keys, with all ciphers; fills d->crypt and
 * d->commit_id. *keys: how many there were. 0 whether or not one fits; -ENOMEM.
 */
int integrity_crypt_find(struct integrity_dev *d, unsigned *keys);
/*
 * integrity_crypt_decrypt() - sectors of the journal in place, from @sector of @section on
 * @before: the last 16 bytes of the sector before them, as stored; not looked at for sector 0
 * Does nothing while d->crypt is NULL.
 */
int integrity_crypt_decrypt(struct integrity_dev *d, uint32_t section, uint32_t sector,
			    const uint8_t before[16], void *buf, size_t len);
/* integrity_crypt_echo() - as many bytes behind lost ones can't be decrypted either */
size_t integrity_crypt_echo(const struct integrity_dev *d);
/* integrity_crypt_name() - "ctr(aes)"; NULL: not encrypted, or the key is not known */
const char *integrity_crypt_name(const struct integrity_dev *d);
/* integrity_crypt_close() - sets d->commit_id to what it is without encryption */
void integrity_crypt_close(struct integrity_dev *d);

#endif
