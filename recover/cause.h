/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a sector decrypts to noise. A cipher binds a sector to its address: taken as of the
 * address that it was written for, a misdirected one becomes data again.
 */
#ifndef VDISKCK_RECOVER_CAUSE_H
#define VDISKCK_RECOVER_CAUSE_H

#include <pthread.h>

#include "vdiskck/core/layer.h"

/* Noise with data on both sides, in the layer below the cipher. */
struct suspect {
	uint64_t at, len;
};

enum {
	SUSPECTS_TORN = 512,  /* kept of those smaller than an aligned 4 KiB block */
	SUSPECTS_WHOLE = 256, /* and of whole blocks: compressed files look like that */
};

struct suspects {
	struct layer *l; /* the cipher, open */
	pthread_mutex_t lock;
	struct suspect torn[SUSPECTS_TORN], whole[SUSPECTS_WHOLE];
	size_t n_torn, n_whole;
	bool cut;	    /* there were more */
	struct ranges said; /* in the layer below: explained already */
};

/* cause_open() - NULL: @l is locked, can't decrypt_as(), or there is no memory */
struct suspects *cause_open(struct layer *l);
/*
 * cause_look() - decrypt @buf (its bytes are spoilt), which stands at @at of the layer below and
 * @off of the cipher's, and keep what is noise amid data
 * @look: of each 512 bytes of ciphertext (enum look). From any thread. 0 or -errno.
 */
int cause_look(struct suspects *s, uint64_t at, uint64_t off, uint8_t *buf, size_t len,
	       const uint8_t *look);
/*
 * cause_try() - decrypt each suspect as of other addresses: up to 4096 sectors around it, with
 * one address bit flipped (in the volume, in the disk), off by a power of two, by the
 * factor 8 of sector sizes, by the partition's start. Reports CIPHERTEXT_MISDIRECTED.
 */
int cause_try(struct suspects *s);
void cause_close(struct suspects *s);

/*
 * cause_home() - of two places with the same ciphertext, the one where it decrypts to data
 * 1: @a; 2: @b; 0: neither, both (CBC), or no key; -errno
 */
int cause_home(struct layer *l, uint64_t a, uint64_t b);

#endif
