/* SPDX-License-Identifier: Apache-2.0 */
/* What a Windows program proves about itself: the checksum in its PE header. */
#ifndef VDISKCK_RECOVER_PE_H
#define VDISKCK_RECOVER_PE_H

#include "vdiskck/core/layer.h"

enum pe_state {
	PE_FITS,     /* the checksum is that of the bytes; it misses words that changed places */
	PE_DIFFERS,  /* it is not: bytes were changed, lost, or are those of another file */
	PE_NO_SUM,   /* the header states none */
	PE_NO_IMAGE, /* no MZ and PE headers where they must be */
};

/*
 * pe_check() - read all of @file and compare
 * @stored, @sum: what the header says, what the bytes give. 0 or -errno.
 * Source: Microsoft PE/COFF specification, "CheckSum"; the sum is IMAGEHLP's.
 */
int pe_check(struct layer *file, enum pe_state *state, uint32_t *stored, uint32_t *sum);

#endif
