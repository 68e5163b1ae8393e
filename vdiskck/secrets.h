/* SPDX-License-Identifier: Apache-2.0 */
/* Where the keys of a run come from: a file, or a prompt on the terminal. */
#ifndef VDISKCK_SECRETS_H
#define VDISKCK_SECRETS_H

#include "vdiskck/run.h"

/*
 * secrets_open() - no core dumps from here on; the keys of --keys or VDISKCK_KEYS
 * Without either, and with a terminal, the user is asked when a layer turns out to be locked.
 * Returns 0, or -errno after the error was said: a key file that can't be read stops the run.
 */
int secrets_open(struct run *r);
void secrets_close(struct run *r);

#endif
