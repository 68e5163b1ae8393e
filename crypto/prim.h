/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cryptographic primitives. prim.c is the only file that calls libgcrypt.
 * Handles of libgcrypt serve one thread at a time; the objects here may be used by many: each
 * call, or each prim_begin() .. prim_end(), borrows a handle of its own.
 */
#ifndef VDISKCK_CRYPTO_PRIM_H
#define VDISKCK_CRYPTO_PRIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PRIM_HASH_MAX = 64, PRIM_BLOCK = 16 };

/* Memory for secrets: locked where the system allows, wiped when freed. NULL: none left. */
void *prim_secret(size_t len);
void prim_secret_free(void *p);
/* prim_wipe() - zeros that the compiler can't leave out, for secrets on the stack */
void prim_wipe(void *p, size_t len);
/* prim_equal() - compare in a time that does not depend on where they differ */
bool prim_equal(const void *a, const void *b, size_t len);

enum prim_hash {
	PRIM_MD5,
	PRIM_SHA1,
	PRIM_SHA224,
	PRIM_SHA256,
	PRIM_SHA384,
	PRIM_SHA512,
	PRIM_RIPEMD160,
	PRIM_WHIRLPOOL,
	PRIM_STREEBOG512,
	PRIM_BLAKE2S256,
	PRIM_BLAKE2B512,
	PRIM_SHA3_224,
	PRIM_SHA3_256,
	PRIM_SHA3_384,
	PRIM_SHA3_512,
	PRIM_SM3,
	PRIM_HASHES
};

/* A message in pieces. */
struct prim_part {
	const void *p;
	size_t len;
};

/* prim_hash_find() - by the name that LUKS headers use ("sha256", "ripemd160"), or -1 */
int prim_hash_find(const char *name);
const char *prim_hash_name(enum prim_hash h);
size_t prim_hash_len(enum prim_hash h); /* bytes of a digest */
void prim_hash(enum prim_hash h, const void *p, size_t len, uint8_t *out);
/* At most 8 parts. */
void prim_hash_parts(enum prim_hash h, const struct prim_part *part, size_t n, uint8_t *out);
/* A message that comes bit by bit. NULL: no memory. prim_digest_end() makes it ready for another. */
struct prim_digest;
struct prim_digest *prim_digest_open(enum prim_hash h);
void prim_digest_add(struct prim_digest *d, const void *p, size_t len);
void prim_digest_end(struct prim_digest *d, uint8_t *out);
void prim_digest_close(struct prim_digest *d); /* may be NULL */
void prim_hmac_parts(enum prim_hash h, const void *key, size_t key_len,
		     const struct prim_part *part, size_t n, uint8_t *out);

/* The same HMAC key over many messages: the key schedule is done once per thread. */
struct prim_mac;
struct prim_mac *prim_mac_open(enum prim_hash h, const void *key, size_t key_len);
int prim_mac_sum(struct prim_mac *m, const struct prim_part *part, size_t n, uint8_t *out);
void prim_mac_close(struct prim_mac *m);

/* Key derivation. 0, -ENOMEM, or -EINVAL for parameters that libgcrypt refuses. */
int prim_pbkdf2(enum prim_hash h, const void *pass, size_t pass_len, const void *salt,
		size_t salt_len, uint64_t iterations, void *out, size_t out_len);
/*
 * prim_pbkdf2_blocks() - blocks [first, first + n) of the same, each of prim_hash_len() bytes,
 * counted from 1: for who needs the first ones soon, or all of them by several threads
 * @stop: asked some hundred times a second; true: give up with -EINTR
 */
int prim_pbkdf2_blocks(enum prim_hash h, const void *pass, size_t pass_len, const void *salt,
		       size_t salt_len, uint64_t iterations, uint32_t first, uint32_t n,
		       uint8_t *out, bool (*stop)(void *arg), void *arg);
enum prim_argon2 { PRIM_ARGON2I, PRIM_ARGON2ID };
/* @memory in KiB; @parallel lanes, each on a thread of its own (RFC 9106) */
int prim_argon2(enum prim_argon2 kind, const void *pass, size_t pass_len, const void *salt,
		size_t salt_len, uint32_t passes, uint32_t memory, uint32_t parallel, void *out,
		size_t out_len);

enum prim_mode { PRIM_ECB, PRIM_CBC, PRIM_XTS, PRIM_CTR };
struct prim_cipher;
struct prim_handle;

/*
 * prim_cipher_open() - a block cipher in a mode
 * @name: "aes", "serpent", "twofish", "camellia"; "cast5", "blowfish", "des3" (ECB, CBC only);
 * "chacha20" (CTR only: it is a stream)
 * @key_len: bytes; it selects AES-128 or 256 and so on; XTS takes both of its keys in one
 * Returns 0, -EOPNOTSUPP (no such cipher, mode or key size here), or -ENOMEM.
 */
int prim_cipher_open(struct prim_cipher **c, const char *name, enum prim_mode mode, const void *key,
		     size_t key_len);
void prim_cipher_close(struct prim_cipher *c);
size_t prim_cipher_block(const struct prim_cipher *c); /* bytes: 16, or 8 */
/* prim_begin() - borrow a handle; NULL: no memory. prim_end() gives it back. */
struct prim_handle *prim_begin(struct prim_cipher *c);
void prim_end(struct prim_cipher *c, struct prim_handle *h);
/*
 * prim_iv() - the IV or tweak of what comes next: prim_cipher_block() bytes
 * In XTS the tweak counts up by itself, as a little-endian number, with each call of
 * prim_decrypt() or prim_encrypt(): consecutive sectors need prim_iv() once.
 * In CTR it is the counter, big-endian; of chacha20 the counter in 4 bytes, little-endian, and the
 * nonce behind it.
 */
void prim_iv(struct prim_cipher *c, struct prim_handle *h, const uint8_t *iv);
/* In place; @len a multiple of the block size (XTS: at least 16). */
void prim_decrypt(struct prim_handle *h, void *buf, size_t len);
void prim_encrypt(struct prim_handle *h, void *buf, size_t len);

enum prim_aead { PRIM_AES_CCM, PRIM_AES_GCM, PRIM_CHACHA20_POLY1305 };
struct prim_aead_key;
/* prim_aead_open() - one key for many messages; NULL: no such key size, or no memory */
struct prim_aead_key *prim_aead_open(enum prim_aead a, const void *key, size_t key_len);
void prim_aead_close(struct prim_aead_key *k);
/*
 * prim_aead_decrypt() - decrypt @buf in place and verify the tag
 * Returns 0; -EBADMSG: the tag does not fit, @buf holds the plaintext all the same; -EINVAL for
 * lengths that the mode does not take; -ENOMEM.
 */
int prim_aead_decrypt(struct prim_aead_key *k, const void *nonce, size_t nonce_len,
		      const struct prim_part *aad, size_t n_aad, void *buf, size_t len,
		      const void *tag, size_t tag_len);
/* prim_aead_encrypt() - the reverse, for fixtures and known answers */
int prim_aead_encrypt(struct prim_aead_key *k, const void *nonce, size_t nonce_len,
		      const struct prim_part *aad, size_t n_aad, void *buf, size_t len, void *tag,
		      size_t tag_len);

#endif
