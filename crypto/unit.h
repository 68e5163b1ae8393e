/* SPDX-License-Identifier: Apache-2.0 */
/* What all ciphers need to read by sectors what is asked for by bytes. */
#ifndef VDISKCK_CRYPTO_UNIT_H
#define VDISKCK_CRYPTO_UNIT_H

#include "vdiskck/core/layer.h"

enum { UNIT_MAX = 4096 };

/*
 * unit_read() - call @fn for whole units that cover [off, off + len), through a bounce buffer at
 * ragged ends, and give the caller the bytes and lost ranges that he asked for
 * @unit: a power of two, at most UNIT_MAX. @fn reads [off, off + len) of @l, both multiples of it.
 */
int unit_read(struct layer *l, size_t unit, uint64_t off, void *buf, size_t len, struct ranges *bad,
	      int (*fn)(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad));

/*
 * unit_blank() - after decryption: what was lost as ciphertext is lost as plaintext
 * @bad:   the ranges from index @from on lie in [off, off + len), which @buf holds; doubtful ones
 *	   stay as they are
 * @grain: a lost byte costs all of the aligned @grain bytes around it (16; a sector with Elephant)
 * @echo:  and as many bytes behind it, within its unit of @unit bytes (16 in CBC)
 * Widens the lost ranges and zeroes their bytes.
 */
void unit_blank(struct ranges *bad, size_t from, uint64_t off, void *buf, size_t len, size_t grain,
		size_t echo, size_t unit);

/*
 * unit_has_structure() - can these bytes be no ciphertext? @len a multiple of 512
 * By chi² of each 512 bytes against uniform: 512 and more happen to ciphertext once in 1e15
 * (EVIDENCE 3.1). False says nothing: packed data looks like ciphertext, too.
 */
bool unit_has_structure(const uint8_t *p, size_t len);

#endif
