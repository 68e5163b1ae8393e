/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which single bit would make a checksum fit again: in the bytes as they are read, or in the
 * ciphertext that they were decrypted from. A CRC is linear, so that each bit that could be wrong
 * has a difference of its own, and all of them are tried in one pass from the end.
 */
#ifndef VDISKCK_RECOVER_CAUSE_BIT_H
#define VDISKCK_RECOVER_CAUSE_BIT_H

#include "vdiskck/core/layer.h"

#define CRC32_POLY  0xedb88320u /* reflected; IEEE 802.3 */
#define CRC32C_POLY 0x82f63b78u /* Castagnoli */

enum {
	CAUSE_BIT_PLAIN = 64 << 20, /* bytes in which a bit as read is looked for */
	CAUSE_BIT_CIPHER = 1 << 20, /* and one of the ciphertext: the rest is not tried */
};

/* What a checksum covers: @len bytes of @l from @off on, a part of which may not count. */
struct cause_sum {
	struct layer *l;
	uint64_t off, len;
	uint64_t hole, hole_len; /* from @off; EVTX: a chunk's header leaves out 8 bytes; or 0 */
	uint32_t poly;
	uint32_t differs; /* what is stored XOR what the bytes give */
};

struct cause_bit {
	bool in_cipher, in_sum; /* in the ciphertext; in the stored checksum itself */
	struct layer *in;	/* the layer that holds the wrong byte as it is stored */
	uint64_t at;		/* where in @in */
	uint64_t off; /* the byte of @l that is wrong; ciphertext: its block begins here */
	unsigned bit;
	uint32_t spoilt; /* ciphertext: so many bytes from @off are noise; or 0 */
	bool chained;	 /* ciphertext: and the same bit of the block behind them is wrong (CBC) */
};

/* cause_bit_find() - 1: there is such a bit, and no second one; 0: there is none; -errno */
int cause_bit_find(const struct cause_sum *s, struct cause_bit *b);
/* cause_below() - the open cipher that the byte @off of @l comes from, and where below it; or NULL */
struct layer *cause_below(struct layer *l, uint64_t off, uint64_t *at, uint64_t *len);

#endif
