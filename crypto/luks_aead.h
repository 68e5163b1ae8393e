/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LUKS2 authenticated encryption: dm-crypt over dm-integrity. Beside each sector's ciphertext lie
 * its authentication tag and, for random IVs, its IV. A sector whose tag does not fit is decrypted
 * all the same, and doubtful.
 * Source: Linux, drivers/md/dm-crypt.c (crypt_convert_block_aead(), crypt_authenckey()); cryptsetup,
 * lib/luks2/luks2_json_format.c and lib/integrity/integrity.c for the names.
 */
#ifndef VDISKCK_CRYPTO_LUKS_AEAD_H
#define VDISKCK_CRYPTO_LUKS_AEAD_H

#include "crypto/luks.h"

struct luks_aead;

/*
 * luks_aead_open() - find dm-integrity's superblock where segment @g starts, and set ->len by it
 * Needs no key. 0 with g->aead set, or NULL when the scheme is not known or the superblock is
 * lost (both after a finding); -ENOMEM, -EINTR.
 */
int luks_aead_open(struct layer *l, struct luks_segment *g);
/* luks_aead_key() - the volume key; 0, -EOPNOTSUPP when it has another length, -ENOMEM */
int luks_aead_key(struct luks_aead *a, const void *key, size_t len);
bool luks_aead_ready(const struct luks_aead *a); /* has its key? */
/* luks_aead_read(), luks_aead_map() - bytes of the segment; sectors for read; @start its place in
 * the layer, in whose addresses @off counts */
int luks_aead_read(struct luks_aead *a, uint64_t start, uint64_t off, void *buf, size_t len,
		   struct ranges *bad);
int luks_aead_map(struct luks_aead *a, uint64_t off, struct extent *run);
/* luks_aead_check() - with --data: every sector's tag */
int luks_aead_check(struct luks_aead *a, uint64_t start);
void luks_aead_info(const struct luks_aead *a, struct json *to);
bool luks_aead_structure(const struct luks_aead *a, uint64_t at, char *name, size_t cap,
			 uint64_t *start, uint64_t *len);
void luks_aead_close(struct luks_aead *a);

#endif
