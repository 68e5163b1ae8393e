/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the BitLocker driver: what its files share. */
#ifndef VDISKCK_CRYPTO_BITLOCKER_H
#define VDISKCK_CRYPTO_BITLOCKER_H

#include "crypto/fve.h"
#include "crypto/keys.h"

struct prim_cipher;

/* A part of the volume that is not simply ciphertext at its own place. */
struct fve_region {
	uint64_t off, len;
	enum {
		FVE_ZERO,    /* metadata: Windows shows zeros */
		FVE_MOVED,   /* the first sectors, stored at @at */
		FVE_PLAIN,   /* never encrypted */
		FVE_PATCHED, /* Vista's boot sector: plain, with two fields of NTFS overwritten */
	} kind;
	uint64_t at;
};

/* Encrypt-on-write: which chunks of a part of the volume are encrypted. */
struct fve_eow_region {
	uint64_t off, len;	     /* the part of the volume */
	uint64_t bitmap, bitmap_len; /* where its bitmap lies, with its two records */
	uint64_t log;		     /* its conversion log */
	uint8_t *bits;		     /* a set bit: encrypted; NULL: no record could be read */
	uint32_t n_bits;
};

struct fve_eow {
	uint64_t off[FVE_EOW_COPIES]; /* of the information blocks */
	uint32_t size, chunk, log_size;
	struct fve_eow_region *region; /* by offset */
	size_t n;
};

struct bitlocker {
	struct fve_boot boot;
	struct fve_copy copy[FVE_COPIES];
	int used;		   /* index of the copy that all below was taken from */
	bool header_lost;	   /* the blocks were found by search */
	uint32_t sector;	   /* bytes that are encrypted as one */
	uint16_t method;	   /* enum fve_method */
	uint16_t state;		   /* enum fve_state */
	uint64_t watermark;	   /* bytes from the start that are encrypted; UINT64_MAX: all */
	struct fve_region *region; /* by offset, none overlaps */
	size_t n_regions;
	struct fve_eow eow;
	bool open;
	uint8_t *vmk; /* 32 bytes of secret memory; NULL: not known (a raw FVEK was given) */
	struct prim_cipher *cipher; /* data */
	struct prim_cipher *iv;	    /* CBC: makes the IV from the sector's address */
	struct prim_cipher *tweak;  /* Elephant: makes the sector key */
};

extern const struct layer_ops bitlocker_ops;

/* Key material. */
enum { FVE_KEY_LEN = 32, FVE_FVEK_MAX = 64 };

/*
 * fve_unlock() - try the session's keys on all protectors of all usable copies; no raw FVEK
 * @volume: its id, as text. On success @fvek holds the key of @fvek_len bytes and b->vmk the VMK if one was involved.
 * Returns 0, -ENOKEY, -EKEYREJECTED, -EINTR, or -ENOMEM.
 */
int fve_unlock(struct layer *l, const char *volume, uint8_t fvek[FVE_FVEK_MAX], size_t *fvek_len);
/* fve_hash_fits() - does the block's encrypted SHA-256 fit? 1, 0, or -ENOENT: it has none */
int fve_hash_fits(const struct fve_copy *c, const uint8_t vmk[FVE_KEY_LEN]);
/* fve_protector_name() - "password", "TPM and PIM" ... of a VMK datum */
const char *fve_protector_name(uint16_t protector);
/* fve_opened_by() - the kinds of key (enum key_kind) that open this protector */
unsigned fve_opened_by(uint16_t protector);

/* fve_cipher_open() - set up b->cipher and what goes with it from the FVEK; 0 or -errno */
int fve_cipher_open(struct bitlocker *b, const uint8_t *fvek, size_t len);
void fve_cipher_close(struct bitlocker *b);
/* fve_fvek_len() - bytes of key that a method takes; 0: not a method that we know */
size_t fve_fvek_len(uint16_t method);
const char *fve_method_name(uint16_t method);
/* fve_decrypt() - whole sectors in place; @at: where they lie in the volume */
int fve_decrypt(const struct bitlocker *b, uint64_t at, uint8_t *buf, size_t len);

/* fve_copies_read() - all copies that can be found, and the one to use; -EBADMSG: none */
int fve_copies_read(struct layer *l);
void fve_copies_report(struct layer *l);
/* fve_regions_make() - b->region, once metadata and sector size are known; 0 or -ENOMEM */
int fve_regions_make(struct layer *l);
/* What the vtable has: bitlocker_map.c, bitlocker_info.c */
int bitlocker_map(struct layer *l, uint64_t off, struct extent *run);
int bitlocker_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad);
int bitlocker_ciphertext(struct layer *l, uint64_t at, uint64_t *len, uint64_t *off);
int bitlocker_decrypt_as(struct layer *l, uint64_t at, void *buf, size_t len);
void bitlocker_info(struct layer *l, struct json *to);
bool bitlocker_structure(struct layer *l, uint64_t at, char *name, size_t cap, uint64_t *start,
			 uint64_t *len);

/* fve_eow_read() - the encrypt-on-write structures; reports what is damaged. 0 or -ENOMEM. */
int fve_eow_read(struct layer *l);
void fve_eow_free(struct fve_eow *e);

#endif
