/* SPDX-License-Identifier: Apache-2.0 */
/* LZNT1, the compression of NTFS: [MS-XCA] 2.5 */
#ifndef VDISKCK_FORMATS_FS_LZNT1_H
#define VDISKCK_FORMATS_FS_LZNT1_H

#include <stddef.h>
#include <stdint.h>

#include "vdiskck/core/ranges.h"

#define LZNT1_CHUNK 4096

/*
 * lznt1_decode() - the bytes of one compression unit
 * @in:     its packed bytes, and what follows behind the end mark
 * @in_bad: those of them that are lost or doubtful, counted from @in; sorted, or NULL
 * @out:    receives @out_len bytes
 * @want:   bytes of @out that must come out of @in; what is behind them may be left out
 * @bad:    added to, counted from @out; may be NULL
 *
 * A chunk stands for itself, so damage costs only the chunk it is in. What came out before the
 * damage in it is kept: as it is when the place of the damage is known, as doubtful otherwise.
 * Returns 0 or -ENOMEM.
 */
int lznt1_decode(const uint8_t *in, size_t in_len, const struct ranges *in_bad, uint8_t *out,
		 size_t out_len, size_t want, struct ranges *bad);

#endif
