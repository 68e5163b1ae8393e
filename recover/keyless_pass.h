/* SPDX-License-Identifier: Apache-2.0 */
/* One pass over ciphertext: what keyless.c has seen of it, and keyless_say.c says of that. */
#ifndef VDISKCK_RECOVER_KEYLESS_PASS_H
#define VDISKCK_RECOVER_KEYLESS_PASS_H

#include <pthread.h>

#include "recover/cause.h"
#include "recover/keyless.h"
#include "recover/twins.h"

enum { KEYLESS_SECTOR = 512 };

/* A run of sectors that are no ciphertext, in the layer below and in the cipher's. */
struct odd {
	uint64_t at, off, len;
	uint64_t zero, constant; /* bytes in such sectors; the rest is plaintext or a pattern */
};

struct pass {
	struct layer *l;
	struct layer *in; /* what is read: the layer below, or what a container stores */
	pthread_mutex_t lock;
	struct odd *run;
	size_t n, cap;
	bool many;	     /* more than are kept */
	uint64_t bytes, odd; /* of the ciphertext's place that were seen, and that are none */
	struct twins twins;
	struct suspects *suspects; /* NULL: no key */
};

/* keyless_join() - sort the runs, and join what pieces cut */
void keyless_join(struct pass *ps);
/* keyless_decide() - what the runs that are no ciphertext mean */
void keyless_decide(struct pass *ps);
/* keyless_decide_twins() - and ciphertext that stands twice; 0 or -errno */
int keyless_decide_twins(struct pass *ps);

#endif
