/* SPDX-License-Identifier: Apache-2.0 */
/* The tags of dm-integrity: a hash over a block's number and its data. */
#ifndef VDISKCK_CRYPTO_INTEGRITY_TAG_H
#define VDISKCK_CRYPTO_INTEGRITY_TAG_H

#include <stddef.h>
#include <stdint.h>

enum {
	INTEGRITY_TAG_MAX = 432, /* what a journal entry has room for: the kernel's MAX_TAG_SIZE */
	INTEGRITY_SALT = 16,
};

struct integrity_hash;

/*
 * integrity_hash_open() - one of the hashes that integritysetup offers
 * @i:   0.. ; first those that need no key, then with @key the HMACs
 * @key: NULL: none. @salt: goes into the message first (FIXED_HMAC), or NULL
 * Returns 0, -ENOENT when there is no hash @i, or -ENOMEM.
 */
int integrity_hash_open(struct integrity_hash **h, unsigned i, const void *key, size_t key_len,
			const uint8_t *salt);
void integrity_hash_close(struct integrity_hash *h);
const char *integrity_hash_name(const struct integrity_hash *h);
/* integrity_hash_len() - bytes of a digest; tags are cut short or filled up with zeros */
size_t integrity_hash_len(const struct integrity_hash *h);
/*
 * integrity_hash_tag() - the tag of one block; safe from many threads
 * @sector: its first 512-byte sector. @tag: @tag_len bytes, at most INTEGRITY_TAG_MAX.
 */
int integrity_hash_tag(struct integrity_hash *h, uint64_t sector, const void *data, size_t len,
		       uint8_t *tag, size_t tag_len);

#endif
