/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LUKS1 and LUKS2 in one shape: keyslots hold volume keys, digests prove them, segments use them.
 * Sources: "LUKS On-Disk Format Specification" 1.2.3, "LUKS2 On-Disk Format Specification" 1.1.1.
 */
#ifndef VDISKCK_CRYPTO_LUKS_H
#define VDISKCK_CRYPTO_LUKS_H

#include "crypto/prim.h"
#include "crypto/sector.h"
#include "vdiskck/core/layer.h"
#include "vdiskck/core/span.h"

enum {
	LUKS_SLOTS = 32, /* LUKS2's limit; LUKS1 has 8 */
	LUKS_DIGESTS = 32,
	LUKS_SEGMENTS = 32,
	LUKS_TOKENS = 32,
	LUKS_KEY_MAX = 512, /* bytes; cryptsetup's limit for a volume key */
	LUKS_SALT_MAX = 256,
	LUKS_NAME = 64,
	LUKS2_BINARY = 4096, /* bytes of a header in front of its JSON */
	LUKS2_HEADER_MIN = 16 << 10,
	LUKS_AREA_MAX = 4 << 20, /* bytes of one keyslot's material: 4000 stripes of 1 KiB */
};

enum luks_kdf { LUKS_PBKDF2, LUKS_ARGON2I, LUKS_ARGON2ID };

/* A cipher as dm-crypt writes it, "aes-xts-plain64", taken apart. */
struct luks_cipher {
	char text[LUKS_NAME];
	char name[LUKS_NAME], mode[LUKS_NAME], iv[LUKS_NAME];
};

enum luks_slot_state {
	LUKS_SLOT_GOOD,	       /* nothing speaks against it */
	LUKS_SLOT_IMPOSSIBLE,  /* its description can't be true */
	LUKS_SLOT_UNKNOWN,     /* of a type or with a KDF that we don't know */
	LUKS_SLOT_REENCRYPT,   /* holds no key, but the state of a conversion */
	LUKS_SLOT_COSTLY,      /* its KDF is meant to last for ever; not tried */
	LUKS_SLOT_OVERWRITTEN, /* its material does not look like ciphertext */
	LUKS_SLOT_OPENED,      /* a key opened it */
};

struct luks_slot {
	unsigned id;
	enum luks_slot_state state;
	uint64_t off, len; /* of the key material, in the layer below (or the detached header) */
	struct luks_cipher cipher;
	size_t area_key; /* bytes of key for the material */
	size_t key_len;	 /* bytes of the volume key */
	uint32_t stripes;
	int af_hash; /* enum prim_hash */
	enum luks_kdf kdf;
	int kdf_hash; /* PBKDF2 */
	uint64_t passes;
	uint32_t memory, lanes; /* Argon2: KiB */
	uint8_t salt[LUKS_SALT_MAX];
	size_t salt_len;
	uint32_t digests; /* bit mask of the digests that prove its key */
	int priority;
};

struct luks_digest {
	unsigned id;
	int hash;
	uint64_t passes;
	uint8_t salt[LUKS_SALT_MAX];
	size_t salt_len;
	uint8_t value[PRIM_HASH_MAX];
	size_t value_len;
	uint32_t segments; /* bit mask */
	uint8_t *key;	   /* secret; NULL: not opened */
	size_t key_len;
};

enum luks_segment_kind { LUKS_CRYPT, LUKS_LINEAR, LUKS_SEGMENT_UNKNOWN };

struct luks_segment {
	unsigned id;
	enum luks_segment_kind kind;
	uint64_t start;	   /* in the layer */
	uint64_t off, len; /* below; the last one's may be cut by the end of the device */
	uint64_t iv_tweak; /* in 512-byte sectors */
	uint32_t sector;
	struct luks_cipher cipher;
	char integrity[LUKS_NAME]; /* "": none; "hmac(sha256)", "aead", "poly1305" */
	int digest;		   /* index, or -1 */
	bool hot;		   /* LUKS2: a reencryption was at work on it */
	struct sector_cipher *c;
	struct luks_aead *aead; /* authenticated encryption: instead of @c; NULL: none */
};

/*
 * The segment that an interrupted reencryption was at work on: each of its blocks is still the old
 * one or already the new one. The reencrypt keyslot's area tells (LUKS2 3.2.1, cryptsetup
 * lib/luks2/luks2_reencrypt.c), or the old blocks are elsewhere, and untouched.
 */
enum luks_hot_how {
	LUKS_HOT_NONE,	   /* no way to tell: resilience "none" */
	LUKS_HOT_CHECKSUM, /* the area holds a hash of each old block */
	LUKS_HOT_JOURNAL,  /* the area holds the old ciphertext itself */
	LUKS_HOT_SHIFT, /* data moves by more than the zone: what it was read from is still there */
};

struct luks_hot {
	enum luks_hot_how how;
	enum luks_hot_how first; /* the same, of the zone that starts the volume */
	uint64_t off, len;	 /* the area, in the header's layer */
	int hash;
	uint32_t block;
	uint64_t shift; /* data_shift: by how much data moves, to higher addresses if @backward */
	bool backward;
	int segment;		      /* index, or -1: no zone was left half done */
	struct luks_segment previous; /* as it was before; id UINT_MAX: not stated */
	/* Where the first bytes of the volume were put out of the header's way; id UINT_MAX: no */
	struct luks_segment moved;
};

struct json;

struct luks_token {
	unsigned id;
	char type[LUKS_NAME];
};

/* One of LUKS2's two headers. */
struct luks2_copy {
	uint64_t off;
	enum { LUKS2_GOOD, LUKS2_ABSENT, LUKS2_BAD_SUM, LUKS2_BAD_JSON, LUKS2_MISPLACED } verdict;
	uint64_t size, seqid; /* size: with the JSON area */
	struct json *json;
	char *text;
};

struct luks {
	int version;
	struct layer *meta;   /* the layer that holds the headers: l->below, or l->aside */
	const char *header;   /* the --header that is in use; NULL: none */
	uint64_t base, limit; /* LUKS1 inside an image: the header's place in @meta; else 0 */
	char uuid[41], label[49], subsystem[49];
	struct luks2_copy copy[2];
	int used;
	struct luks_slot slot[LUKS_SLOTS];
	size_t n_slots;
	uint8_t order[LUKS_SLOTS]; /* in which they are tried */
	struct luks_digest digest[LUKS_DIGESTS];
	size_t n_digests;
	struct luks_segment segment[LUKS_SEGMENTS];
	size_t n_segments;
	struct luks_token token[LUKS_TOKENS];
	size_t n_tokens;
	char requirements[128]; /* LUKS2: features that one must know to write */
	bool reencryption;	/* one was interrupted */
	struct luks_hot hot;
	uint64_t header_end; /* end of headers and key material */
	bool open;
	bool untried_said; /* that no keyslot is of a kind that is known */
};

extern const struct layer_ops luks1_ops, luks2_ops;

/* luks1_parse(), luks2_parse() - fill l->priv from the headers in ->meta; report what is wrong.
 * 0, -EBADMSG (nothing usable), -EOPNOTSUPP, -ENOMEM */
int luks1_parse(struct layer *l);
int luks2_parse(struct layer *l);
/*
 * luks_hot_read() - whole sectors of the segment that a reencryption was at work on, at @off of the
 * layer: each block by the key that it has. Doubtful where nothing tells which that is.
 */
int luks_hot_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad);
/* luks_hot_at() - where byte @in of that segment lies below, as luks_hot_read() takes it */
uint64_t luks_hot_at(const struct luks *u, uint64_t in);
/* luks_hot_unit() - the bytes that are read together */
uint32_t luks_hot_unit(const struct luks *u);
/* luks_version() - 1 or 2 where @below starts with a LUKS header, else 0 */
int luks_version(struct layer *below);
/* luks2_copies_open() - read both headers, choose, report; 0, -EBADMSG (none is of use), -ENOMEM */
int luks2_copies_open(struct layer *l);
/* luks2_find() - offset of a secondary header (or 0), for when the primary is lost; 1 or 0 */
int luks2_find(struct layer *below, uint64_t *off);
/* luks_cipher_parse() - "aes-cbc-essiv:sha256" into its parts; false: not of that form */
bool luks_cipher_parse(const char *text, struct luks_cipher *c);
/*
 * luks1_inside_open() - a LUKS1 header at [off, off + len) of @image->below, which the container
 * @image uses for its own data (qcow2)
 * *out is a layer apart from the stack, which speaks as @image does: for luks_unlock(),
 * luks_check_slots(), luks1_ops.info, and layer_free(). The cipher is luks_inside_cipher().
 * Returns 0, -EBADMSG, -EOPNOTSUPP after findings, or -ENOMEM; *out is NULL then.
 */
int luks1_inside_open(struct layer *image, uint64_t off, uint64_t len, struct layer **out);
/* luks_inside_cipher() - after luks_unlock(); NULL: locked, or of a kind that is not known */
struct sector_cipher *luks_inside_cipher(const struct layer *luks);

/*
 * luks_unlock() - try the session's keys on all keyslots until every segment has its key
 * 0; -ENOKEY; -EKEYREJECTED; -ENOMEM. Opens the segments' ciphers.
 */
int luks_unlock(struct layer *l);
/* luks_info(), luks_structure() - as layer_ops has them */
void luks_info(struct layer *l, struct json *to);
bool luks_structure(struct layer *l, uint64_t at, char *name, size_t cap, uint64_t *start,
		    uint64_t *len);
/* luks_check_overlap() - two keyslots on the same bytes: at most one of them can be whole */
void luks_check_overlap(struct layer *l);
/* luks_check_slots() - does each keyslot's material look like ciphertext? Reports and marks. */
int luks_check_slots(struct layer *l);

#endif
