/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ciphertext shows without a key. It looks random everywhere and is nowhere the same, so
 * what does not look random, or stands twice, was written below the cipher.
 */
#ifndef VDISKCK_RECOVER_KEYLESS_H
#define VDISKCK_RECOVER_KEYLESS_H

#include "vdiskck/core/layer.h"

/* What a sector of 512 bytes looks like. */
enum look {
	LOOK_RANDOM, /* as ciphertext does */
	LOOK_WEAK,   /* hardly ever ciphertext; counts only beside one that is none */
	LOOK_PLAIN,  /* no ciphertext: some bytes are far too frequent */
	LOOK_CONSTANT,
	LOOK_ZERO,
};

/*
 * keyless_look() - by the chi² of the byte histogram against uniform
 * PLAIN from 512 on: ciphertext gets there once in 1e15 sectors (extrapolated from 6e8
 * measured ones); WEAK from 400 on: once in 1e7. Don't take bounds from the chi² law: at two
 * expected counts a byte, its tail is far too thin.
 */
enum look keyless_look(const uint8_t sector[512]);

/*
 * keyless_check() - go once through the ciphertext of @l, locked or open, and report
 * sectors that are none and ciphertext that stands twice. With the key, sectors that decrypt to
 * noise amid data are tried as of other addresses (cause.h).
 * Layers without ops->ciphertext: nothing is done. Returns 0, -EINTR, -ENOMEM.
 */
int keyless_check(struct layer *l);
/* keyless_check_in() - the same with room for @prints fingerprints (a power of two) */
int keyless_check_in(struct layer *l, size_t prints);

#endif
