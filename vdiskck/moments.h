/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times that no log wrote: of files, of registry keys, and those that containers, ciphers and file
 * systems state of themselves. For the timeline, around the last record of the logs.
 */
#ifndef VDISKCK_MOMENTS_H
#define VDISKCK_MOMENTS_H

#include <stdio.h>

#include "vdiskck/run.h"

enum {
	MOMENTS_BEFORE =
		6 * 3600,     /* seconds before the last record; all that is later belongs, too */
	MOMENTS_KEPT = 20000, /* beyond that, those nearest to the last record */
};

struct moment {
	int64_t sec;
	uint32_t nsec;
	uint32_t what;	    /* index of its description */
	const char *source; /* "ntfs", "regf", "vhd" */
	const char *layer;
	char *path; /* in a file system or hive; of a layer: the name of the fact */
	bool deleted;
};

struct moments {
	struct moment *v;
	size_t n, cap;
	int64_t last;  /* the last record's time; INT64_MIN: there is none */
	uint64_t left; /* that were not kept */
	size_t next;   /* that moments_until() begins with */
	char **hive;   /* names of hives, for @layer */
	size_t n_hives;
};

/*
 * moments_find() - every time from MOMENTS_BEFORE before @last on, in order; without @known, all of
 * the last hours before the newest. Returns 0, -EINTR or -ENOMEM. moments_free() in any case.
 */
int moments_find(struct moments *m, struct run *r, int64_t last, bool known);
/* moments_until() - lines for Timesketch of those before @sec that were not written yet */
void moments_until(struct moments *m, FILE *f, int64_t sec);
void moments_free(struct moments *m);

#endif
