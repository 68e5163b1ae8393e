/* SPDX-License-Identifier: Apache-2.0 */
/* Which files the damage hit: for the reports, and for the findings that explain it. */
#ifndef VDISKCK_DAMAGE_H
#define VDISKCK_DAMAGE_H

#include <stdio.h>

#include "vdiskck/run.h"

/*
 * damage_by_name() - carry everything that is lost or doubtful up to the files that it hit
 * What findings say of any layer is taken, and @bad (may be NULL) of the disk. Fills r->hit,
 * sorted, and the paths of the findings that were kept. Returns 0 or -errno, said.
 */
int damage_by_name(struct run *r, const struct ranges *bad);

/*
 * damage_structures() - what a file system says is wrong with a structure, as damage to the file that it
 * describes; damage_by_name() calls it. 0 or -errno.
 */
int damage_structures(struct run *r);
/*
 * damage_inside() - what was found in files (hives, logs, programs) from finding number @since on,
 * as damage to them; for who looks into files after damage_by_name(). 0 or -errno.
 */
int damage_inside(struct run *r, uint64_t since);

/* damage_text() - the files hit, worst first, as people read it; nothing if there are none */
void damage_text(FILE *f, const struct run *r);
/* damage_records() - each of them as a "file" record, if it was not said before */
void damage_records(struct run *r);

#endif
