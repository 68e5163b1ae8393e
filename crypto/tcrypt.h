/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TrueCrypt and VeraCrypt volumes. Nothing of them can be told from noise without the key: no
 * magic, no parameters; a key is right when what it decrypts says TRUE or VERA.
 * Sources: VeraCrypt documentation, "VeraCrypt Volume Format Specification"; mbroz/cryptsetup
 * lib/tcrypt/tcrypt.c (what the versions before differ in); the volumes of the corpus, which settle
 * where the legacy modes count their sectors from.
 */
#ifndef VDISKCK_CRYPTO_TCRYPT_H
#define VDISKCK_CRYPTO_TCRYPT_H

#include "crypto/prim.h"
#include "vdiskck/core/endian.h"
#include "vdiskck/core/layer.h"

enum {
	TCRYPT_HEADER = 512,
	TCRYPT_SALT = 64,
	TCRYPT_BODY = TCRYPT_HEADER - TCRYPT_SALT, /* what is encrypted of it */
	TCRYPT_KEYS = 256,			   /* bytes of key material at its end */
	TCRYPT_DERIVED = 192,			   /* bytes that the KDF gives */
	TCRYPT_GROUP = 131072, /* headers at either end of a volume, version 4 on */
	TCRYPT_PARTS = 3,      /* ciphers in a cascade, at most */
};

/* A volume header; what follows the salt is encrypted. */
struct tcrypt_header {
	uint8_t salt[TCRYPT_SALT];
	char magic[4];	       /* 0x40 "TRUE" or "VERA" */
	be16_t version;	       /* 0x44 1, 2: TrueCrypt to 4; 3: 5; 4: 6; 5: 7 and VeraCrypt */
	be16_t needed;	       /* 0x46 least version of the program */
	be32_t keys_crc;       /* 0x48 CRC-32 of keys[] */
	uint8_t times[16];     /* 0x4c versions 1 to 4 */
	be64_t hidden_size;    /* 0x5c of this volume if it is a hidden one, else 0 */
	be64_t volume_size;    /* 0x64 */
	be64_t start;	       /* 0x6c of what the master key covers */
	be64_t len;	       /* 0x74 of it: less than all while a disk is encrypted in place */
	be32_t flags;	       /* 0x7c enum tcrypt_flags */
	be32_t sector;	       /* 0x80 bytes, version 5; data units are 512 all the same */
	uint8_t reserved[120]; /* 0x84 */
	be32_t header_crc;     /* 0xfc CRC-32 of 0x40 to 0xfb, from version 4 on */
	uint8_t keys[TCRYPT_KEYS]; /* 0x100 */
};
_Static_assert(sizeof(struct tcrypt_header) == TCRYPT_HEADER, "VeraCrypt volume format");

enum tcrypt_flags { TCRYPT_SYSTEM_ENCRYPTION = 1, TCRYPT_IN_PLACE_ENCRYPTION = 2 };

/* Where a header may lie. */
enum tcrypt_place {
	TCRYPT_AT_PRIMARY,	 /* 0 */
	TCRYPT_AT_SYSTEM,	 /* sector 62 of a disk that is booted */
	TCRYPT_AT_HIDDEN,	 /* 64 KiB */
	TCRYPT_AT_OLD_HIDDEN,	 /* 1536 bytes before the end, versions to 3 */
	TCRYPT_AT_BACKUP,	 /* 128 KiB before the end */
	TCRYPT_AT_HIDDEN_BACKUP, /* 64 KiB before the end */
	TCRYPT_PLACES
};

enum tcrypt_mode { TCRYPT_XTS, TCRYPT_LRW, TCRYPT_CBC };

/*
 * A cascade: ciphers in the order of encryption; its name is the program's, which names the last one
 * first. Of the key material, XTS takes all first keys,
 * then all tweak keys; LRW and CBC keep 32 bytes for tweak, IV and whitening, then the keys.
 */
struct tcrypt_alg {
	const char *name;
	enum tcrypt_mode mode;
	bool inner; /* CBC: each cipher has a chain of its own; else one chain around all */
	const char *part[TCRYPT_PARTS];
};

extern const struct tcrypt_alg tcrypt_algs[];
extern const size_t tcrypt_n_algs;
const char *tcrypt_mode_name(enum tcrypt_mode mode);
unsigned tcrypt_alg_parts(const struct tcrypt_alg *a);

/* tcrypt_alg_need() - bytes of key material that it takes */
size_t tcrypt_alg_need(const struct tcrypt_alg *a);

struct tcrypt_cipher;
/*
 * tcrypt_cipher_open() - @key: derived or master key material, TCRYPT_DERIVED bytes are used
 * Returns 0, -EOPNOTSUPP (a cipher that is not to be had), or -ENOMEM.
 */
int tcrypt_cipher_open(struct tcrypt_cipher **c, const struct tcrypt_alg *a, const uint8_t *key);
void tcrypt_cipher_close(struct tcrypt_cipher *c);
/* tcrypt_decrypt_header() - the TCRYPT_BODY bytes behind the salt; 0 or -ENOMEM */
int tcrypt_decrypt_header(struct tcrypt_cipher *c, uint8_t *body);
/*
 * tcrypt_decrypt() - whole 512-byte data units in place, numbered from @unit on; 0 or -ENOMEM
 * Safe from many threads.
 */
int tcrypt_decrypt(struct tcrypt_cipher *c, uint64_t unit, uint8_t *buf, size_t len);

/* How a header was opened, and what it turned out to be. */
struct tcrypt_hit {
	enum tcrypt_place place;
	uint64_t off; /* of the header, in the layer below */
	const struct tcrypt_alg *alg;
	const char *kdf;	 /* "PBKDF2-SHA-512" */
	unsigned kdf_no;	 /* which of the table */
	uint32_t passes, memory; /* iterations; Argon2id: also KiB */
	uint32_t pim;		 /* 0: none was given */
	unsigned key;		 /* the number of the passphrase, 0: key files alone */
	bool keyfiles;		 /* their pool was mixed in */
	bool crc_ok;		 /* the header's CRC fits (before version 4: there is none) */
	bool keys_ok;		 /* the CRC of the keys fits */
	struct tcrypt_header *h; /* decrypted, in secret memory */
};

struct tcrypt {
	bool sure; /* noise lies where a header belongs, or the user says so */
	bool open;
	bool whole; /* the layer is all of the one below, of which a part is encrypted */
	bool doubt; /* the key material is damaged: what it decrypts may be wrong */
	struct tcrypt_hit hit;
	uint64_t start, len; /* what is encrypted, in the layer below */
	uint64_t unit;	     /* number of the data unit at @start */
	struct tcrypt_cipher *cipher;
};

extern const struct layer_ops tcrypt_ops;

/* tcrypt_place_off() - where a header may lie in @size bytes; UINT64_MAX: nowhere */
uint64_t tcrypt_place_off(enum tcrypt_place p, uint64_t size);
bool tcrypt_is_hidden(enum tcrypt_place p);
const char *tcrypt_place_name(enum tcrypt_place p);
/* tcrypt_noise() - do the 512 bytes at @off look like ciphertext? */
bool tcrypt_noise(struct layer *l, uint64_t off);

enum { TCRYPT_POOL = 128 }; /* bytes of VeraCrypt's pool, for passphrases longer than 64 */

/* A password as the KDF takes it. */
struct tcrypt_candidate {
	unsigned key; /* number of its passphrase; 0: none */
	bool keyfiles, is_long;
	uint8_t *text; /* secret, TCRYPT_POOL bytes */
	size_t len;
};

struct tcrypt_candidates {
	struct tcrypt_candidate *v;
	size_t n;
	uint32_t *pim; /* at least one; 0: VeraCrypt's default */
	size_t n_pim;
};

/* tcrypt_candidates_make() - of the session's keys; 0 or -ENOMEM; tcrypt_candidates_free() in any case */
int tcrypt_candidates_make(struct layer *l, struct tcrypt_candidates *c);
void tcrypt_candidates_free(struct tcrypt_candidates *c);

/*
 * tcrypt_search() - try all keys of the session at the places of the mask @places
 * @hit: filled on success; its header is the caller's to free
 * Returns 0, -ENOKEY, -EKEYREJECTED, -EINTR, or -ENOMEM.
 */
int tcrypt_search(struct layer *l, unsigned places, struct tcrypt_hit *hit);
/* tcrypt_retry() - the keys, KDF and PIM of @hit on the header at @off: another copy */
int tcrypt_retry(struct layer *l, const struct tcrypt_hit *hit, enum tcrypt_place place,
		 uint64_t off, struct tcrypt_hit *copy);

/* tcrypt_header.c: of the header in t->hit */
/* tcrypt_apply() - take it at its word as far as it can be true; 0, or -EBADMSG after a finding */
int tcrypt_apply(struct layer *l);
/* tcrypt_twin() - the other copy of the header that was opened; UINT64_MAX: there is none */
uint64_t tcrypt_twin(const struct layer *l, const struct tcrypt_hit *hit, enum tcrypt_place *place);
/* tcrypt_prefer_copy() - it is damaged: its copy may be whole. *bad then is the damaged one. */
int tcrypt_prefer_copy(struct layer *l, struct tcrypt_hit *bad);
/* tcrypt_report_copy() - say which copy is used, and what is wrong with it */
void tcrypt_report_copy(struct layer *l, const struct tcrypt_hit *bad);

#endif
