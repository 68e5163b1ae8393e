/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A writer of BitLocker volumes: no other free program makes them. It works from the description
 * of the format alone ([libbde], and what Windows' volumes of the corpus hold), calls nothing of
 * our reader, and cryptsetup, dislocker and libbde are asked whether they agree.
 *
 *	struct bitlocker_build b = {.password = "secret"};
 *	bitlocker_build(&b, bytes, len);	bytes: a volume in plaintext; encrypted in place
 *
 * Metadata goes to places that hold zeros, near 1/4, 1/2 and 3/4 of the volume, as in Windows: a
 * reader shows zeros there, so the plaintext stays what it was. Keys and ids come from @seed: the
 * same recipe makes the same bytes.
 */
#ifndef VDISKCK_TESTS_BITLOCKER_BUILD_H
#define VDISKCK_TESTS_BITLOCKER_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/fve.h"

/* Zero fields have the default in brackets. */
struct bitlocker_build {
	enum fve_method method; /* [FVE_XTS128] */
	uint32_t sector;	/* bytes, 512 or 4096 [512] */
	const char *password;	/* UTF-8 */
	const char *recovery;	/* eight groups of six digits, each a multiple of 11 */
	bool startup;		/* a startup key: @bek is what goes into the .BEK file */
	bool clear;		/* suspended: the key stands in the metadata */
	uint64_t watermark;	/* conversion paused: so many bytes are encrypted [all] */
	/* Encrypt-on-write: chunks of so many bytes, of which @eow_set says which are encrypted. */
	uint32_t eow_chunk;
	bool (*eow_set)(uint64_t chunk);
	const char *seed; /* ["vdiskck"] */
	/* What was made, for tests that damage it. */
	uint8_t *vol;
	uint64_t len;
	uint64_t copy[FVE_COPIES], header_off; /* blocks; moved sectors */
	uint32_t header_len;
	size_t block; /* bytes of a block that its validation covers */
	uint64_t eow[FVE_EOW_COPIES], eow_bitmap, eow_log;
	uint32_t eow_size, eow_record[2]; /* of an information block; where the records start */
	uint8_t vmk[32], fvek[64];
	size_t fvek_len;
	uint8_t bek[156];
	char bek_name[48];
	uint64_t taken[8][2]; /* places of metadata: from, to */
	size_t n_taken;
	unsigned random; /* how much was taken from @seed */
};

/* bitlocker_build() - 0; -ENOSPC: no room of zeros; -EINVAL: a password that can't be */
int bitlocker_build(struct bitlocker_build *b, uint8_t *vol, uint64_t len);
/* bitlocker_build_seal() - make CRC-32 and encrypted SHA-256 of a block fit what it holds now */
void bitlocker_build_seal(struct bitlocker_build *b, int copy);
/* bitlocker_build_seal_eow() - the same for CRCs of the encrypt-on-write structures */
void bitlocker_build_seal_eow(struct bitlocker_build *b);

#endif
