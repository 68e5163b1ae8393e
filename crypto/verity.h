/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dm-verity: blocks of data under a tree of hashes, as veritysetup lays it out.
 * Sources: Linux, Documentation/admin-guide/device-mapper/verity.rst; cryptsetup, docs/on-disk
 * format of the superblock (lib/verity/verity.c).
 */
#ifndef VDISKCK_CRYPTO_VERITY_H
#define VDISKCK_CRYPTO_VERITY_H

#include "crypto/prim.h"
#include "crypto/unit.h"
#include "vdiskck/core/endian.h"
#include "vdiskck/core/layer.h"

struct verity_superblock {
	uint8_t magic[8]; /* 0x00 "verity\0\0" */
	le32_t version;	  /* 1 */
	le32_t hash_type; /* 0: salt behind the data (Chrome OS); 1: before it */
	uint8_t uuid[16]; /* 0x10 */
	char algorithm[32];
	le32_t data_block_size; /* 0x40 */
	le32_t hash_block_size;
	le64_t data_blocks;
	le16_t salt_size; /* 0x50 */
	uint8_t pad[6];
	uint8_t salt[256];
	uint8_t pad2[168];
};
_Static_assert(sizeof(struct verity_superblock) == 512, "dm-verity superblock");

enum {
	VERITY_BLOCK_MIN = 512,
	VERITY_BLOCK_MAX = UNIT_MAX, /* the kernel takes no more than a page */
	VERITY_LEVELS = 22,
};
static const uint64_t verity_blocks_max = 1ull << 50;

struct verity {
	uint64_t sb_at;	   /* of the superblock, in the layer below */
	uint64_t data_len; /* bytes under the tree, present or not */
	bool bare;	   /* only the tree is here */
	char uuid[37], algorithm[33];
	int hash, type;
	uint32_t dbs, hbs; /* bytes of a data and a hash block */
	uint8_t salt[256];
	size_t salt_len, digest;
	unsigned bits;				      /* log2 of the digests in a hash block */
	unsigned levels;			      /* 0 is next to the data */
	uint64_t blocks;			      /* of data */
	uint64_t at[VERITY_LEVELS], n[VERITY_LEVELS]; /* of each level: where, and hash blocks */
	uint8_t root[PRIM_HASH_MAX];		      /* as the tree has it */
	enum { NOT_GIVEN, FITS, DIFFERS } anchor;
};

enum verity_fit { FIT, WRONG, UNREADABLE };

/* verity_find() - the superblock: at 0 of a hash device, or behind the file system; *at: where */
bool verity_find(struct layer *below, uint64_t *at, struct verity_superblock *sb);
void verity_hash(const struct verity *v, const void *p, size_t len, uint8_t *out);
/* verity_node() - a hash block, which is FIT or UNREADABLE; 0 or -errno */
int verity_node(struct layer *l, unsigned level, uint64_t n, uint8_t *buf, enum verity_fit *fit);
/* verity_slot() - the digest in @node of block @n of the level below */
const uint8_t *verity_slot(const struct verity *v, const uint8_t *node, uint64_t n);
int verity_check(struct layer *l);

extern const struct layer_ops verity_ops;

#endif
