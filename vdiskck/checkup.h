/* SPDX-License-Identifier: Apache-2.0 */
/* The whole examination of an open stack, as `check` and `triage` do it. */
#ifndef VDISKCK_CHECKUP_H
#define VDISKCK_CHECKUP_H

#include "vdiskck/run.h"

/*
 * checkup() - verify every layer that lies within r->volume, then add up what is lost
 * With s->opt.data everything the disk holds is read, too; what can't be is reported unless a
 * finding says so already. Sets r->lost, and fills @lost (may be NULL) with the lost and doubtful
 * ranges of the disk, sorted. Returns 0 or -errno, said.
 */
int checkup(struct run *r, struct ranges *lost);

#endif
