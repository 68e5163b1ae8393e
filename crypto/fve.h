/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BitLocker metadata: the volume header, the three FVE information blocks and their datums.
 * Sources: libyal/libbde "BitLocker Drive Encryption (BDE) format", mbroz/cryptsetup lib/bitlk,
 * fox-it/dissect.fve, Aorimn/dislocker, and the volumes of the corpus, which settle what these
 * disagree about. The names are Microsoft's as far as they are known.
 */
#ifndef VDISKCK_CRYPTO_FVE_H
#define VDISKCK_CRYPTO_FVE_H

#include "vdiskck/core/endian.h"
#include "vdiskck/core/layer.h"
#include "vdiskck/core/span.h"

enum {
	FVE_COPIES = 3,
	FVE_BLOCK = 64 << 10, /* what a copy takes, from Windows 7 on */
	FVE_EOW_COPIES = 2,
};

/* FVE information block */
struct fve_header {
	uint8_t signature[8];  /* 0x00 "-FVE-FS-" */
	le16_t size;	       /* 0x08 of what validation covers: bytes (version 1), 16 bytes (2) */
	le16_t version;	       /* 0x0a 1: Vista, 2: Windows 7 and later */
	le16_t state;	       /* 0x0c enum fve_state */
	le16_t next_state;     /* 0x0e */
	le64_t state_offset;   /* 0x10 bytes from the start that are encrypted; 0: all */
	le32_t state_size;     /* 0x18 of a conversion log at state_offset */
	le32_t header_sectors; /* 0x1c sectors from the start that are stored elsewhere */
	le64_t copy[3];	       /* 0x20 where the three blocks lie, in bytes */
	le64_t header_offset;  /* 0x38 version 2: where the first sectors are; 1: $MFTMirr's LCN */
};
_Static_assert(sizeof(struct fve_header) == 64, "FVE information header");

enum fve_state {
	FVE_DECRYPTED = 1,
	FVE_SWITCHING_DIRTY = 2,
	FVE_PAUSED = 3,
	FVE_ENCRYPTED = 4,
	FVE_SWITCHING = 5,
};

/* The dataset that follows; also what a .BEK file consists of. */
struct fve_dataset {
	le32_t size; /* 0x00 all of it, this header too */
	le32_t version;
	le32_t start;	  /* 0x08 of the first datum: 48 */
	le32_t end;	  /* 0x0c */
	uint8_t id[16];	  /* 0x10 volume identifier */
	le32_t nonce;	  /* 0x20 next counter */
	le16_t method;	  /* 0x24 enum fve_method */
	le16_t preferred; /* 0x26 */
	le64_t created;	  /* 0x28 FILETIME */
};
_Static_assert(sizeof(struct fve_dataset) == 48, "FVE dataset header");

enum fve_method {
	FVE_CBC128_ELEPHANT = 0x8000,
	FVE_CBC256_ELEPHANT = 0x8001,
	FVE_CBC128 = 0x8002,
	FVE_CBC256 = 0x8003,
	FVE_XTS128 = 0x8004,
	FVE_XTS256 = 0x8005,
};

/* Follows the @size bytes that it covers, at the end of the block. */
struct fve_validation {
	le16_t size;
	le16_t version; /* from 2 on an encrypted SHA-256 of the block follows as a datum */
	le32_t crc32;
};
_Static_assert(sizeof(struct fve_validation) == 8, "FVE validation");

enum fve_role {
	FVE_ROLE_VMK = 2,
	FVE_ROLE_FVEK = 3,
	FVE_ROLE_STARTUP_KEY = 6,
	FVE_ROLE_DESCRIPTION = 7,
};

enum fve_type {
	FVE_TYPE_KEY = 1,
	FVE_TYPE_UNICODE = 2,
	FVE_TYPE_STRETCH_KEY = 3,
	FVE_TYPE_USE_KEY = 4,
	FVE_TYPE_AES_CCM = 5,
	FVE_TYPE_TPM = 6,
	FVE_TYPE_VMK = 8,
	FVE_TYPE_EXTERNAL = 9,
};

struct fve_datum {
	uint16_t role, type;
	struct span body; /* what follows the 8 bytes of size, role, type and flags */
};

/* Body of a VMK datum; datums that hold the key follow. */
struct fve_vmk {
	uint8_t id[16];
	le64_t modified; /* FILETIME */
	le16_t hints;
	le16_t protector; /* 0x1a enum fve_protector, in the upper byte */
};
_Static_assert(sizeof(struct fve_vmk) == 28, "FVE VMK info");

enum fve_protector {
	FVE_CLEAR = 0x0000,
	FVE_TPM = 0x0100,
	FVE_EXTERNAL = 0x0200,
	FVE_TPM_PIN = 0x0400,
	FVE_RECOVERY = 0x0800,
	FVE_PASSWORD = 0x2000,
};

enum fve_verdict {
	FVE_GOOD,	/* CRC fits, or the SHA-256 does */
	FVE_UNREADABLE, /* the image has no bytes there */
	FVE_NO_SIGNATURE,
	FVE_TORN,      /* a size that can't be: nothing to parse */
	FVE_BAD_CRC,   /* parsed all the same if no copy is better */
	FVE_MISPLACED, /* self-consistent, but says that it belongs elsewhere */
	FVE_BAD_HASH, /* CRC fits, the encrypted SHA-256 does not: altered on purpose or by chance */
};

struct fve_copy {
	uint64_t off; /* in the volume; 0: nobody says where */
	enum fve_verdict verdict;
	bool usable;	/* has datums that can be walked */
	uint8_t *bytes; /* FVE_BLOCK of them */
	size_t size;	/* of what validation covers */
	struct span datums;
	uint32_t stored_crc, crc;
};

/* fve_copy_read() - read and judge the block at @off; 0 or -ENOMEM */
int fve_copy_read(struct layer *below, uint64_t off, struct fve_copy *c);
void fve_copy_free(struct fve_copy *c);
const struct fve_header *fve_copy_header(const struct fve_copy *c);
const struct fve_dataset *fve_copy_dataset(const struct fve_copy *c);
const char *fve_verdict_text(enum fve_verdict v);

/* fve_datum_next() - take the next datum off @rest; false at the end or where it makes no sense */
bool fve_datum_next(struct span *rest, struct fve_datum *d);
/* fve_datum_find() - the first datum of @type (and @role, unless -1) in @datums */
bool fve_datum_find(struct span datums, int role, int type, struct fve_datum *d);
/* fve_dataset_datums() - the datums of a dataset that lies at the start of @s; empty if it can't be */
struct span fve_dataset_datums(struct span s);

/* What the volume header says. */
struct fve_boot {
	bool found;	 /* it names at least one block */
	bool to_go;	 /* BitLocker To Go: the discovery volume's FAT header */
	bool vista;	 /* no GUID: one block, by cluster number */
	bool eow;	 /* encrypt-on-write */
	bool oem;	 /* has one of the names that BitLocker gives it */
	uint32_t sector; /* bytes, 512 or 4096; 0: not a number that it could be */
	uint32_t cluster;
	uint64_t copy[FVE_COPIES];
	uint64_t eow_off[FVE_EOW_COPIES];
};

void fve_boot_parse(const uint8_t sector[512], struct fve_boot *b);

/*
 * fve_search() - find a block by its signature, from @from on, at multiples of 512
 * A hit states its own address. @limit: where to stop looking. Returns 1, *off, and in *slot which
 * of the copies it says that it is; 0: none; or -errno (-EINTR when stopped).
 */
int fve_search(struct layer *below, uint64_t from, uint64_t limit, uint64_t *off, int *slot);

#endif
