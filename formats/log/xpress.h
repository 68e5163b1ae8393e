/* SPDX-License-Identifier: Apache-2.0 */
/* LZ77+Huffman of [MS-XCA] 2.1 and 2.2, over more than one block: what MAM files have. */
#ifndef VDISKCK_FORMATS_LOG_XPRESS_H
#define VDISKCK_FORMATS_LOG_XPRESS_H

#include <stddef.h>
#include <stdint.h>

/*
 * xpress_unpack() - fill @out
 * 0; -EBADMSG where the data breaks off or is damaged: *@done bytes are there. -ENOMEM.
 */
int xpress_unpack(const uint8_t *in, size_t in_len, uint8_t *out, size_t out_len, size_t *done);

#endif
