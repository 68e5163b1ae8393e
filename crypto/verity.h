/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dm-verity: blocks of data under a tree of hashes, as veritysetup lays it out.
 * Sources: Linux, Documentation/admin-guide/device-mapper/verity.rst; cryptsetup, docs/on-disk
 * format of the superblock (lib/verity/verity.c).
 */
#ifndef VDISKCK_CRYPTO_VERITY_H
#define VDISKCK_CRYPTO_VERITY_H

#include "crypto/prim.h"
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

extern const struct layer_ops verity_ops;

#endif
