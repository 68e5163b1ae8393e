/* SPDX-License-Identifier: Apache-2.0 */
/* What damage to a file means for the machine, by the file's name. */
#ifndef VDISKCK_RECOVER_RANK_H
#define VDISKCK_RECOVER_RANK_H

#include <stdbool.h>

/* Worst first. */
enum rank {
	RANK_BOOT,    /* without it the machine may not start */
	RANK_VOLUME,  /* the file system's own structures */
	RANK_LOGS,    /* what says what happened */
	RANK_SYSTEM,  /* the operating system and its programs */
	RANK_USER,    /* everything else that is a file */
	RANK_DELETED, /* data of a deleted file */
	RANK_FREE,    /* nothing refers to it */
	RANKS
};

/* rank_of() - the rank of a file that is not deleted; @path: in its file system */
enum rank rank_of(const char *path);
const char *rank_name(enum rank r); /* "boot-critical" */

#endif
